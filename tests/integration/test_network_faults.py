"""Faults of the network: client, gateway and origin are hosts of their own, with links that lose, slow and break.

The gateway and the origin are processes. One gateway and one origin serve all tests here.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from tests.kit.capture import naming
from tests.kit.clients import logged_in
from tests.kit.content import MEBIBYTE, content
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import application
from tests.kit.namespaces import Link, Network, network, require_namespaces
from tests.kit.packets import Tap, hosts, streams
from tests.kit.passive import passive_port
from tests.kit.ports import take
from tests.kit.programs import BIN, Program, assert_no_traceback, ready, running, until
from tests.kit.sockets import read_exactly, silent, was_reset

GATEWAY, ORIGIN, CLIENT = "198.51.100.1", "203.0.113.2", "198.51.100.2"
PATIENT, HASTY = (GATEWAY, 2121), (GATEWAY, 2122)
PORTS = take(100)
OTHER_PORTS = take(100)
FILE = content(200_000)
LARGE = content(MEBIBYTE) + bytes(63 * MEBIBYTE)  # more than all the buffers on its way hold
UNAVAILABLE = b"421 Service not available; closing control connection."

TIMEOUTS = """
    [application.timeouts]
    origin_connect = 1
    idle = 2
    data_stall = 1
"""


@attrs.define(eq=False)
class Machines:
    """The hosts, and what runs on them."""

    network: Network
    gateway: Program
    directory: Path
    root: Path
    _origin: contextlib.ExitStack = attrs.field(factory=contextlib.ExitStack)

    def start_origin(self) -> None:
        """Returns once it listens. It names itself in its greeting."""
        options = ["--listen", f"{ORIGIN}:21", "--root", str(self.root), "--user", "user:secret", "--writable"]
        options += ["--passive-ports", f"{PORTS[0]}-{PORTS[-1]}", "--dialect", "proftpd"]
        command = self.network.origin.command(sys.executable, "-W", "ignore", "-m", "origin", *options)
        origin = self._origin.enter_context(running(*command, directory=self.directory))
        origin.out.wait("origin ready: ")

    def kill_origin(self) -> None:
        """At once, as the kernel kills."""
        self._origin.close()

    def descriptors(self) -> int:
        """How many the gateway has."""
        return len(list(Path(f"/proc/{self.gateway.process.pid}/fd").iterdir()))

    @property
    def links(self) -> dict[str, Link]:
        """By where they are, as seen from the gateway."""
        return {"outside": self.network.outside, "inside": self.network.inside}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    require_namespaces()
    directory, root = tmp_path_factory.mktemp("gateway"), tmp_path_factory.mktemp("root")
    (root / "file").write_bytes(FILE)
    (root / "large").write_bytes(LARGE)
    hasty = application(
        (ORIGIN, 21), PORTS, public_ports=OTHER_PORTS, name="hasty", listen=endpoint(HASTY), more=TIMEOUTS
    )
    toml = application((ORIGIN, 21), PORTS, name="patient", listen=endpoint(PATIENT)) + hasty
    (directory / "gateway.toml").write_text(toml)
    with network() as hosts, contextlib.ExitStack() as stack:
        command = hosts.gateway.command(BIN / "twistd", "-n", "ftp-gateway", "--config", "gateway.toml")
        gateway = stack.enter_context(running(*command, directory=directory))
        machines = Machines(hosts, gateway, directory, root)
        stack.callback(machines.kill_origin)
        machines.start_origin()
        ready(gateway)
        idle = machines.descriptors()
        yield machines
        until(lambda: machines.descriptors() == idle)
        assert gateway.stop() == 0
        assert_no_traceback([*gateway.out.lines, *gateway.err.lines])


def endpoint(place: tuple[str, int]) -> str:
    host, port = place
    return f"tcp:{port}:interface={host}"


@pytest.fixture
def machines(shared: Machines) -> Iterator[Machines]:
    """The test is on the client's host."""
    with shared.network.client.inside():
        yield shared


@pytest.fixture(params=["outside", "inside"])
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def begun(client: Conversation, command: bytes) -> socket.socket:
    """A data connection, and a transfer that runs on it."""
    client.login()
    assert client.ask(b"TYPE I").startswith(b"200")
    data = connect((GATEWAY, passive_port(client.ask(b"EPSV"))), CLIENT)
    assert client.ask(command).startswith(b"150")
    return data


def test_no_byte_to_the_client_names_the_origin(machines: Machines) -> None:
    """And no packet comes from it, or goes there: the client's host has no way to the origin's."""
    with Tap.at(machines.network.outside.ends[1].device) as tap:
        with pytest.raises(OSError):
            connect((ORIGIN, 21), CLIENT)
        for passive in ("EPSV", "PASV"):
            with logged_in(PATIENT, passive) as ftp:
                assert ftp.get("file") == FILE
                assert ftp.sendcmd("STAT").splitlines()[1] == f" Connected to: {GATEWAY}:21"
                assert ftp.makepasv()[0] == GATEWAY
        packets = tap.packets()
    assert {host for packet in packets for host in hosts(packet)} == {GATEWAY, CLIENT}
    received = [stream.content for stream in streams(packets) if stream.destination[0] == CLIENT]
    assert FILE in received
    assert b"ProFTPD Server (ProFTPD) [198.51.100.1]" in b"".join(received)
    assert [line for stream in received if stream != FILE for line in naming(ORIGIN, stream)] == []
    with machines.network.gateway.inside(), Conversation(connect((ORIGIN, 21), "203.0.113.1")) as direct:
        assert naming(ORIGIN, direct.reply())


def test_loss(machines: Machines, side: str) -> None:
    def session(number: int) -> None:
        with logged_in(PATIENT) as ftp:
            assert ftp.get("file") == FILE
            ftp.storbinary(f"STOR {number}", io.BytesIO(FILE))
            assert (machines.root / str(number)).read_bytes() == FILE

    with machines.links[side].lossy(5), ThreadPoolExecutor() as pool:
        list(pool.map(session, range(3)))


def test_a_slow_link(machines: Machines, side: str) -> None:
    """It takes longer than a transfer may stall, but it never stalls."""
    with machines.links[side].slow("1200kbit"), logged_in(HASTY) as ftp:
        assert ftp.get("file") == FILE
        assert ftp.storbinary("STOR slowly", io.BytesIO(FILE[:50_000])).startswith("226")
        assert (machines.root / "slowly").read_bytes() == FILE[:50_000]


def test_a_black_hole_where_the_origin_was(machines: Machines) -> None:
    with machines.network.inside.black_hole(), Conversation(connect(HASTY, CLIENT)) as client:
        assert client.reply() == UNAVAILABLE
        assert client.at_end()


@pytest.mark.parametrize("command", [b"RETR large", b"STOR lost"])
def test_a_black_hole_on_the_way_to_the_origin(machines: Machines, command: bytes) -> None:
    """Nothing ends as if it were whole: the data in a reset, the session in a 421."""
    with Conversation(connect(HASTY, CLIENT)) as client, begun(client, command) as data:
        if command == b"RETR large":
            read_exactly(data, MEBIBYTE)
        with machines.network.inside.black_hole():
            if command == b"RETR large":
                assert was_reset(data)
            else:
                with pytest.raises(ConnectionError):
                    while True:
                        data.sendall(FILE)
            assert client.reply() == b"421 Idle timeout; closing control connection."
            assert client.at_end()


@pytest.mark.parametrize("command", [b"RETR large", b"STOR lost"])
def test_a_black_hole_on_the_way_to_the_client(machines: Machines, command: bytes) -> None:
    """Once it is gone, the client is told that the transfer failed."""
    stalled = sum("outcome=stalled" in line for line in machines.gateway.out.lines)
    with Conversation(connect(HASTY, CLIENT)) as client, begun(client, command) as data:
        if command == b"RETR large":
            read_exactly(data, MEBIBYTE)
        else:
            data.sendall(FILE)
        with machines.network.outside.black_hole():
            machines.gateway.out.wait("outcome=stalled", stalled + 1)
        assert client.reply().startswith(b"426 ")
        assert client.ask(b"NOOP").startswith(b"200 ")


def test_a_link_down_and_up_again(machines: Machines, side: str) -> None:
    with Conversation(connect(PATIENT, CLIENT)) as client, begun(client, b"RETR large") as data:
        received = bytearray(read_exactly(data, MEBIBYTE))
        with machines.links[side].down():
            while not silent(data):
                received += data.recv(1 << 20)
            client.send(b"NOOP\r\n")
        assert len(received) < len(LARGE)
        received += read_exactly(data, len(LARGE) - len(received))
        assert received == LARGE
        assert data.recv(1) == b""
        assert sorted(client.reply()[:3] for _ in range(2)) == [b"200", b"226"]


def test_an_origin_that_is_restarted(machines: Machines) -> None:
    with Conversation(connect(PATIENT, CLIENT)) as client, begun(client, b"RETR large") as data:
        received = len(read_exactly(data, MEBIBYTE))
        machines.kill_origin()
        with contextlib.suppress(ConnectionResetError):
            while block := data.recv(1 << 20):
                received += len(block)
        assert received < len(LARGE)
        assert client.reply() == UNAVAILABLE
        assert client.at_end()
    with pytest.raises(ftplib.error_temp, match=r"^421 "), logged_in(PATIENT):
        pass
    machines.start_origin()
    with logged_in(PATIENT) as ftp:
        assert ftp.get("file") == FILE
