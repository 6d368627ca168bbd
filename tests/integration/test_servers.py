"""The real servers by themselves, without a gateway.

Later tests rely on two facts: each server serves both passive commands within its range, and each by itself refuses
data connections from an address other than the client's.
"""

import contextlib
import ftplib
import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.passive import passive_port
from tests.kit.ports import take
from tests.kit.servers import DAEMONS, EXAMPLE_ADDRESS, SPECTRUM_RECIPE, Daemon, Server, vsftpd
from tests.kit.servers.requirements import missing, require

HOST = "127.0.0.21"
CLIENT = "127.0.0.1"
STRANGER = "127.0.0.9"
PASSIVE_PORTS = take(21)
CONTENT = bytes(range(256)) * 4096
SECONDS = 10.0


def port_of_pasv(ftp: ftplib.FTP) -> int:
    return passive_port(ftp.sendcmd("PASV"))


def port_of_epsv(ftp: ftplib.FTP) -> int:
    return passive_port(ftp.sendcmd("EPSV"))


def log_in(server: Server) -> ftplib.FTP:
    """A session from `CLIENT`, or from the only IPv6 loopback address."""
    source = None if ":" in server.address[0] else (CLIENT, 0)
    ftp = ftplib.FTP(timeout=SECONDS, source_address=source)
    ftp.connect(*server.address)
    ftp.login(server.user, server.password)
    ftp.voidcmd("TYPE I")
    return ftp


def connect_data(server: Server, port: int, source: str | None = None) -> socket.socket:
    return socket.create_connection(
        (server.address[0], port), SECONDS, source_address=None if source is None else (source, 0)
    )


def received(connection: socket.socket) -> bytes:
    """All that arrives until the connection ends; a reset ends it as well."""
    arrived = b""
    try:
        while chunk := connection.recv(65536):
            arrived += chunk
    except ConnectionResetError:
        pass
    return arrived


@pytest.fixture(params=DAEMONS, ids=[daemon.name for daemon in DAEMONS])
def daemon(request: pytest.FixtureRequest) -> Daemon:
    chosen: Daemon = request.param
    require(chosen.name)
    return chosen


@pytest.fixture
def server(daemon: Daemon, tmp_path: Path) -> Iterator[Server]:
    with daemon(tmp_path, HOST, passive_ports=PASSIVE_PORTS) as running:
        yield running


def check_transfers(server: Server, passive_port: Callable[[ftplib.FTP], int]) -> None:
    """Send a file and fetch it again, with data connections from the client's own address."""
    with log_in(server) as ftp:
        port = passive_port(ftp)
        assert port in server.passive_ports
        with connect_data(server, port) as data:
            assert ftp.sendcmd("STOR file").startswith("150")
            data.sendall(CONTENT)
        ftp.voidresp()
        assert (server.root / "file").read_bytes() == CONTENT

        port = passive_port(ftp)
        assert port in server.passive_ports
        with connect_data(server, port) as data:
            assert ftp.sendcmd("RETR file").startswith("150")
            assert received(data) == CONTENT
        ftp.voidresp()


@pytest.mark.parametrize("passive_port", [port_of_pasv, port_of_epsv])
def test_transfers(server: Server, passive_port: Callable[[ftplib.FTP], int]) -> None:
    check_transfers(server, passive_port)


def test_transfers_over_ipv6(daemon: Daemon, tmp_path: Path) -> None:
    with daemon(tmp_path, "::1", passive_ports=PASSIVE_PORTS) as server:
        check_transfers(server, port_of_epsv)


def test_pasv_names_the_address_that_the_client_reached(server: Server) -> None:
    with log_in(server) as ftp:
        host, _port = ftplib.parse227(ftp.sendcmd("PASV"))
    assert host == HOST


def test_every_way_of_writing(server: Server) -> None:
    with log_in(server) as ftp:
        ftp.storbinary("STOR file", io.BytesIO(b"one two"))
        ftp.storbinary("APPE file", io.BytesIO(b" four"))
        ftp.storbinary("STOR file", io.BytesIO(b"six"), rest=4)
        assert (server.root / "file").read_bytes().startswith(b"one six")
        ftp.storbinary("STOR file", io.BytesIO(b"anew"))
        assert (server.root / "file").read_bytes() == b"anew"
        ftp.storbinary("STOU", io.BytesIO(b"unique"))
        assert len(list(server.root.iterdir())) == 2
        ftp.mkd("directory")
        ftp.rename("file", "directory/renamed")
        ftp.delete("directory/renamed")
        ftp.rmd("directory")
        assert not (server.root / "directory").exists()


def test_the_user_is_confined_to_the_root(server: Server) -> None:
    with log_in(server) as ftp:
        assert ftp.pwd() == "/"
        ftp.cwd("..")
        assert ftp.pwd() == "/"


def fetch_as_stranger(server: Server) -> bytes:
    """Let a stranger take the data connection, and say what it got of the file."""
    (server.root / "file").write_bytes(CONTENT)
    # Closed, not quit: Pure-FTPd goes on waiting for the client's own data connection.
    with (
        contextlib.closing(log_in(server)) as ftp,
        connect_data(server, port_of_epsv(ftp), STRANGER) as data,
    ):
        ftp.putcmd("RETR file")
        return received(data)


def test_data_goes_to_the_address_of_the_client_alone(server: Server) -> None:
    assert fetch_as_stranger(server) == b""


def test_the_spectrum_recipe_names_the_public_address_and_trusts_strangers(tmp_path: Path) -> None:
    require("vsftpd")
    with vsftpd(tmp_path, HOST, passive_ports=PASSIVE_PORTS, settings=SPECTRUM_RECIPE) as server:
        with log_in(server) as ftp:
            host, _port = ftplib.parse227(ftp.sendcmd("PASV"))
        assert host == EXAMPLE_ADDRESS
        assert fetch_as_stranger(server) == CONTENT


def test_nothing_outlives_the_block(daemon: Daemon, tmp_path: Path) -> None:
    with daemon(tmp_path, HOST) as server:
        ftp = log_in(server)
        sessions = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert sessions
    assert not any(Path("/proc", pid).exists() for pid in [str(server.pid), *sessions])
    with ftp, pytest.raises((EOFError, ConnectionError)):
        ftp.voidcmd("NOOP")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address, SECONDS)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    require("vsftpd")
    with (
        pytest.raises(RuntimeError, match="unrecognised variable in config file: no_such_option"),
        vsftpd(tmp_path, HOST, settings={"no_such_option": "YES"}),
    ):
        pass


def test_a_missing_program_skips_a_test_but_fails_it_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing("sh") is None
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        require("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        require("no-such-program")
