"""The embedded origin's faults behind the gateway: the session always ends, and never with a lie."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from origin import Origin
from tests.kit.capture import naming
from tests.kit.clients import logged_in
from tests.kit.content import MEBIBYTE, content
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import RunningGateway
from tests.kit.passive import passive_port
from tests.kit.ports import take
from tests.kit.programs import until
from tests.kit.reactor import descriptors, in_reactor, reactor
from tests.kit.sockets import read_all, silent
from tests.kit.stage import before, stage

HOST = "127.0.0.23"
PASSIVE_PORTS = take(10)
USERS = {"user": "secret"}
LARGE = content(MEBIBYTE) + bytes(63 * MEBIBYTE)  # more than all the buffers on its way hold
UNAVAILABLE = b"421 Service not available; closing control connection."

Start = Callable[[str], RunningGateway]


@pytest.fixture(scope="module")
def warm() -> None:
    """The first gateway of a run opens what all share."""
    with stage():
        pass


@pytest.fixture
def start(warm: None, root: Path) -> Iterator[Start]:
    """Starts an origin with that fault, and a gateway in front of it. In the end nothing of its sessions is left."""
    (root / "file").write_bytes(content(100_000))
    with contextlib.ExitStack() as stack:
        counts = []

        def run(fault: str) -> RunningGateway:
            origin = stack.enter_context(
                Origin(root, listen=(HOST, 0), passive_ports=PASSIVE_PORTS, users=USERS, writable=True, fault=fault)
            )
            running = stack.enter_context(before(origin.address, data_ports=PASSIVE_PORTS))
            counts.append(descriptors())
            return running

        yield run
        until(lambda: descriptors() == counts[0])
        assert in_reactor(reactor.getDelayedCalls) == []


@contextlib.contextmanager
def session(running: RunningGateway, binary: bool = True) -> Iterator[Conversation]:
    with Conversation.to(running.address) as client:
        client.login()
        if binary:
            assert client.ask(b"TYPE I").startswith(b"200")
        yield client
        assert not naming(HOST, client.received)


def passive(running: RunningGateway, client: Conversation) -> socket.socket:
    """A data connection."""
    return connect((running.address[0], passive_port(client.ask(b"EPSV"))))


@pytest.mark.parametrize("way", ["EPSV", "PASV"])
@pytest.mark.parametrize("fault", ["split", "late", "twice", "wrong-address", "early-226"])
def test_faults_that_clients_never_notice(fault: str, way: str, start: Start, root: Path) -> None:
    running = start(fault)
    with logged_in(running.address, way) as ftp:
        assert ftp.get("file") == content(100_000)
        assert ftp.storbinary("STOR copy", io.BytesIO(content(50_000))).startswith("226")
        until(lambda: (root / "copy").read_bytes() == content(50_000))  # an early 226 is no word of the origin's
        assert sorted(ftp.nlst()) == ["copy", "file"]
        assert ftp.sendcmd("NOOP").startswith("200")
    assert running.journal.wait("disconnect")["outcome"] == "quit"
    ignored = len(running.journal.all("originError", reason="reply to no command"))
    assert (ignored > 0) == (fault == "twice")


def test_a_226_before_its_150(start: Start) -> None:
    """The 226 stands where it belongs, behind the data; the 150 belongs nowhere any more."""
    running = start("out-of-order")
    with session(running) as client:
        for number in range(1, 4):
            with passive(running, client) as data:
                client.send(b"RETR file\r\n")
                assert len(read_all(data)) == 100_000
                assert client.reply().startswith(b"226 ")
            running.journal.wait("originError", number, reason="reply to no command")
            assert client.ask(b"SIZE file") == b"213 100000"
    assert running.journal.wait("dataChannel", 3)["outcome"] == "complete"


def test_a_226_before_the_data_of_a_download(start: Start, root: Path) -> None:
    (root / "large").write_bytes(LARGE)
    running = start("early-226")
    with session(running) as client, passive(running, client) as data:
        assert client.ask(b"RETR large").startswith(b"1")
        assert silent(client.socket)
        assert read_all(data) == LARGE
        assert client.reply() == b"226 Transfer complete."


def test_a_226_before_the_data_of_an_upload(start: Start, root: Path) -> None:
    running = start("early-226")
    with session(running) as client:
        with passive(running, client) as data:
            assert client.ask(b"STOR new").startswith(b"1")
            data.sendall(b"half ")
            assert silent(client.socket)
            data.sendall(b"whole")
        assert client.reply() == b"226 Transfer complete."
        until(lambda: (root / "new").read_bytes() == b"half whole")


@pytest.mark.parametrize("command", [b"EPSV", b"PASV"])
def test_another_port(command: bytes, start: Start) -> None:
    """Nobody listens there, and nothing else of the session is lost."""
    running = start("other-port")
    with session(running) as client:
        assert client.ask(command)[:3] == {b"EPSV": b"229", b"PASV": b"227"}[command]
        assert client.ask(b"RETR file") == b"425 Cannot open a data connection."
        assert running.journal.wait("dataChannel")["outcome"] == "origin unreachable"
        assert client.ask(b"SIZE file") == b"213 100000"


@pytest.mark.parametrize("command", [b"EPSV", b"PASV", b"PWD", b"FEAT"])
def test_death_in_a_reply(command: bytes, start: Start) -> None:
    """The half of it is not passed on, and opens nothing."""
    running = start("die-in-reply")
    with session(running, binary=False) as client:
        assert client.ask(command) == UNAVAILABLE
        assert client.at_end()
    assert running.journal.wait("disconnect")["outcome"] == "origin lost"
    assert not running.journal.all("dataChannel")


def test_death_in_a_download(start: Start, root: Path) -> None:
    (root / "large").write_bytes(LARGE)
    running = start("die-in-transfer")
    with session(running) as client, passive(running, client) as data:
        client.send(b"RETR large\r\n")
        received = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while block := data.recv(1 << 16):
                received += block
        assert LARGE.startswith(received)
        assert len(received) < MEBIBYTE
        assert client.reply().startswith(b"1")
        assert client.reply() == UNAVAILABLE
        assert client.at_end()
    assert running.journal.wait("disconnect")["outcome"] == "origin lost"


def test_death_in_an_upload(start: Start, root: Path) -> None:
    running = start("die-in-transfer")
    with session(running) as client, passive(running, client) as data:
        assert client.ask(b"STOR new").startswith(b"1")
        with pytest.raises(ConnectionError):
            while True:
                data.sendall(content(50_000))
        assert client.reply() == UNAVAILABLE
        assert client.at_end()
    assert running.journal.wait("disconnect")["outcome"] == "origin lost"
    assert 0 < (root / "new").stat().st_size < MEBIBYTE


@pytest.mark.parametrize("transfer", [b"RETR file", b"STOR new"])
def test_death_before_the_226(transfer: bytes, start: Start) -> None:
    """All of the data came, but nobody says so. What the client has not read by then, it may lose."""
    running = start("die-before-226")
    with session(running) as client:
        with passive(running, client) as data:
            assert client.ask(transfer).startswith(b"1")
            if transfer == b"RETR file":
                with contextlib.suppress(ConnectionResetError):
                    assert read_all(data) == content(100_000)
            else:
                data.sendall(content(50_000))
        assert client.reply() == UNAVAILABLE
        assert client.at_end()
    assert running.journal.wait("disconnect")["outcome"] == "origin lost"
