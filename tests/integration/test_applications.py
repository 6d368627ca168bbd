"""Several applications in one gateway: IPv4 and IPv6, on either side and mixed."""

from __future__ import annotations

import concurrent.futures
import ftplib
import io
import socket
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from origin import Origin
from tests.kit import PATIENCE
from tests.kit.capture import Protect
from tests.kit.clients import logged_in, run
from tests.kit.content import content
from tests.kit.conversation import Conversation
from tests.kit.gateway import RunningGateway, application
from tests.kit.passive import passive_port
from tests.kit.ports import take
from tests.kit.servers import DAEMONS, Daemon
from tests.kit.servers.requirements import require

ENDPOINTS = {"IPv4": r"tcp:0:interface=127.0.0.1", "IPv6": r"tcp6:0:interface=\:\:1"}
ORIGINS = {"IPv4": "127.0.0.2", "IPv6": "::1"}


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback")


@attrs.frozen
class Mix:
    """One application of each kind.

    :param client: the family that clients come with.
    :param origin: the family of the origin.
    """

    client: str
    origin: str
    origin_ports: range
    public_ports: range

    @property
    def name(self) -> str:
        return f"{self.client}-to-{self.origin}"


MIXES = [
    Mix("IPv4", "IPv4", *(take(20),) * 2),
    Mix("IPv4", "IPv6", *(take(20),) * 2),
    Mix("IPv6", "IPv4", *(take(20),) * 2),
    Mix("IPv6", "IPv6", take(20), take(20)),  # one address on this machine: mapped
]


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    """What each application's origin serves: a file with the application's name in it."""
    roots = {mix.name: tmp_path / mix.name for mix in MIXES}
    for name, root in roots.items():
        root.mkdir()
        (root / "whose").write_text(name)
    return roots


@pytest.fixture
def running(roots: dict[str, Path], protect: Protect) -> Iterator[RunningGateway]:
    origins = [
        Origin(
            roots[mix.name],
            listen=(ORIGINS[mix.origin], 0),
            passive_ports=mix.origin_ports,
            users={"user": mix.name},
            writable=True,
        )
        for mix in MIXES
    ]
    with origins[0], origins[1], origins[2], origins[3]:
        applications = [
            application(
                origin.address,
                mix.origin_ports,
                public_ports=mix.public_ports,
                name=mix.name,
                # Endpoints are told apart by their text.
                listen=f"{ENDPOINTS[mix.client]}:backlog={50 + number}",
            )
            for number, (mix, origin) in enumerate(zip(MIXES, origins, strict=True))
        ]
        yield protect(*applications)


@pytest.fixture(params=MIXES, ids=lambda mix: mix.name)
def mix(request: pytest.FixtureRequest) -> Mix:
    chosen: Mix = request.param
    return chosen


@needs_ipv6
class TestMixes:
    def test_transfers(self, running: RunningGateway, mix: Mix) -> None:
        address = running.places[mix.name]
        assert (":" in address[0]) == (mix.client == "IPv6")
        sent = content(300_000)
        with logged_in(address, password=mix.name) as ftp:
            assert ftp.makepasv()[1] in mix.public_ports
            assert ftp.get("whose").decode() == mix.name
            ftp.storbinary("STOR file", io.BytesIO(sent))
            assert ftp.get("file") == sent
            assert sorted(ftp.nlst()) == ["file", "whose"]
        told = running.journal.wait("dataChannel", 5, application=mix.name)
        assert told["dataClient"] == told["client"] == address[0]

    def test_pasv(self, running: RunningGateway, mix: Mix) -> None:
        with logged_in(running.places[mix.name], "PASV", password=mix.name) as ftp:
            if mix.client == "IPv4" and mix.origin == "IPv4":
                assert ftp.get("whose").decode() == mix.name
                return
            with pytest.raises(ftplib.error_temp, match="425") as refusal:
                ftp.get("whose")
            if mix.client == "IPv6":
                assert str(refusal.value) == "425 PASV cannot name an IPv6 address; use EPSV."
                refused = running.journal.wait("commandRefused", application=mix.name)
                assert refused["verb"] == "PASV"
            ftp.passive = "EPSV"
            assert ftp.get("whose").decode() == mix.name

    @pytest.mark.parametrize("argument", ["1", "2"])
    def test_epsv_with_the_clients_protocol(self, running: RunningGateway, mix: Mix, argument: str) -> None:
        ours = "1" if mix.client == "IPv4" else "2"
        with logged_in(running.places[mix.name], password=mix.name) as ftp:
            assert ftp.sock is not None
            if argument != ours and mix.client == mix.origin:
                with pytest.raises(ftplib.error_perm, match="522"):
                    ftp.sendcmd(f"EPSV {argument}")
                return
            ftp.voidcmd("TYPE I")
            place = ftplib.parse229(ftp.sendcmd(f"EPSV {argument}"), ftp.sock.getpeername())
            with socket.create_connection(place, PATIENCE) as data:
                ftp.putcmd("RETR whose")
                with data.makefile("rb") as file:
                    assert file.read().decode() == mix.name
            assert ftp.getresp().startswith("1")
            assert ftp.getresp().startswith("226")

    def test_epsv_all(self, running: RunningGateway, mix: Mix) -> None:
        with Conversation.to(running.places[mix.name]) as client:
            client.login(password=mix.name)
            assert client.ask(b"EPSV ALL").startswith(b"220 ")  # pyftpdlib's 2yz
            assert client.ask(b"PASV").startswith(b"503 ")
            assert client.ask(b"EPSV").startswith(b"229 ")
            assert client.ask(b"QUIT").startswith(b"221 ")

    def test_curl(self, here: Path, running: RunningGateway, mix: Mix) -> None:
        require("curl")
        host, port = running.places[mix.name]
        url = f"ftp://user:{mix.name}@" + (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        (here / "file").write_bytes(content(300_000))
        put = run("curl", "-q", "-sS", "--upload-file", "file", f"{url}/there", directory=here)
        assert put.returncode == 0, put.stderr
        get = run("curl", "-q", "-sS", f"{url}/there", directory=here)
        assert get.stdout == content(300_000)

    def test_all_at_once(self, running: RunningGateway, roots: dict[str, Path]) -> None:
        def work(mix: Mix) -> None:
            with logged_in(running.places[mix.name], password=mix.name) as ftp:
                for number in range(25):
                    sent = content(number * 1000, number)
                    ftp.storbinary(f"STOR {number}", io.BytesIO(sent))
                    assert (roots[mix.name] / str(number)).read_bytes() == sent
                    assert ftp.get(str(number)) == sent
                assert ftp.get("whose").decode() == mix.name

        with concurrent.futures.ThreadPoolExecutor(len(MIXES)) as pool:
            list(pool.map(work, MIXES))
        for mix in MIXES:
            running.journal.wait("dataChannel", 51, application=mix.name, outcome="complete")

    def test_a_password_opens_one_application_alone(
        self, running: RunningGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("origin.listener.FTPHandler.auth_failed_timeout", 0)
        with Conversation.to(running.places["IPv4-to-IPv4"]) as client:
            client.reply()
            client.ask(b"USER user")
            client.send(b"PASS IPv4-to-IPv6\r\n")
            assert client.reply().startswith(b"530 ")


@needs_ipv6
@pytest.mark.parametrize("daemon", DAEMONS, ids=[daemon.name for daemon in DAEMONS])
@pytest.mark.parametrize("client", ENDPOINTS)
@pytest.mark.parametrize("host", ["127.0.0.21", "::1"], ids=["IPv4", "IPv6"])
def test_real_servers(daemon: Daemon, client: str, host: str, root: Path, protect: Protect) -> None:
    """An argument to EPSV names the client's protocol, and the origin may know another one."""
    require(daemon.name)
    (root / "file").write_bytes(b"content")
    ports, public_ports = take(50), take(50)
    with daemon(root, host, passive_ports=ports) as server:
        running = protect(application(server.address, ports, public_ports=public_ports, listen=ENDPOINTS[client]))
        with logged_in(running.address, user=server.user, password=server.password) as ftp:
            assert ftp.get("file") == b"content"
            assert ftp.sock is not None
            reply = ftp.sendcmd("EPSV 1" if client == "IPv4" else "EPSV 2")
            assert passive_port(reply) in public_ports
            ftp.storbinary("STOR other", io.BytesIO(b"other content"))
            assert (root / "other").read_bytes() == b"other content"


@needs_ipv6
def test_one_application_with_two_doors(root: Path, protect: Protect) -> None:
    (root / "file").write_bytes(b"content")
    users = {"user": "secret"}
    ports = take(20)
    with Origin(root, listen=("127.0.0.2", 0), passive_ports=ports, users=users) as origin:
        running = protect(application(origin.address, ports, listen=[*ENDPOINTS.values()]))
        assert len(running.doors["ftp.example.com"]) == 2
        for address in running.doors["ftp.example.com"]:
            with logged_in(address) as ftp:
                assert ftp.get("file") == b"content"
