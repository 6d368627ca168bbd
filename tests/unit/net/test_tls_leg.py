"""A leg with TLS: against OpenSSL over a real connection, and against a scripted connection."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import attrs
import pytest
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from gateway.net.tls_leg import Handshake, TLSBroken, TLSLeg
from gateway.tls.certificates import CertificateFiles, read_certificate
from gateway.tls.to_clients import ServerTLS, SessionTLS
from gateway.tls.to_origin import OriginTLS
from tests.kit import PATIENCE
from tests.kit.certificates import certificates
from tests.kit.manual_reactor import ManualReactor
from tests.kit.mistakes import Planted
from tests.kit.sockets import reset
from tests.unit.tls.handshake import leave, shake_hands

BUFFER = 1 << 18


@attrs.define(eq=False)
class Pair:
    """A leg of the gateway's towards a client, and that client."""

    loop: ManualReactor
    leg: TLSLeg
    client: SSL.Connection
    socket: socket.socket
    failures: list[str | None] = attrs.field(factory=list)

    def shake_hands(self) -> None:
        """Begins at both ends, and waits until both are done."""
        self.client.set_connect_state()
        self.socket.setblocking(False)
        self.leg.secure(self.failures.append)
        over = False
        while not over or not self.failures:
            with contextlib.suppress(SSL.WantReadError):
                self.client.do_handshake()
                over = True
            self.loop.turn(0)
        self.socket.settimeout(PATIENCE)

    def receive(self, size: int = BUFFER) -> bytes:
        """What the leg gives at once."""
        buffer = bytearray(size)
        return bytes(buffer[: self.leg.receive_into(memoryview(buffer))])

    def await_bytes(self) -> None:
        """Until something came for the leg."""
        select.select([self.leg.socket], [], [], PATIENCE)

    def heard(self) -> bytes:
        """What the client hears until close_notify.

        :raises SSL.Error: where the end is another.
        """
        received = bytearray()
        while True:
            try:
                received += self.client.recv(1 << 16)
            except SSL.ZeroReturnError:
                return bytes(received)
            except SSL.WantReadError:
                select.select([self.socket], [], [], PATIENCE)


def connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname(), PATIENCE)
        other, _ = listener.accept()
    return one, other


def client_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(certificates().ca))
    context.set_verify(SSL.VERIFY_PEER)
    return context


def gateway_session() -> SessionTLS:
    pair = certificates().server
    return ServerTLS(CertificateFiles(pair.certificate, pair.key), "1.2", lambda _: None).session()


def content_with(check: Callable[[SSL.Connection], str | None]) -> Iterator[Pair]:
    loop = ManualReactor()
    theirs, ours = connected()
    with theirs:
        leg = TLSLeg(loop, ours, handshake=Handshake(gateway_session().accept, check))
        yield Pair(loop, leg, SSL.Connection(client_context(), theirs), theirs)
        leg.reset()
    assert not loop.readers and not loop.writers


@pytest.fixture
def fresh() -> Iterator[Pair]:
    """Nothing was said yet."""
    yield from content_with(lambda _: None)


@pytest.fixture
def pair(fresh: Pair) -> Pair:
    """The handshake is over."""
    fresh.shake_hands()
    assert fresh.failures == [None]
    return fresh


# The handshake


def test_a_handshake(pair: Pair) -> None:
    assert not pair.loop.readers and not pair.loop.writers
    pair.client.send(b"in")
    pair.await_bytes()
    assert pair.receive() == b"in"
    assert pair.leg.send(memoryview(b"out")) == 3
    assert pair.client.recv(10) == b"out"


def test_a_handshake_that_is_not_good_enough() -> None:
    for pair in content_with(lambda _: "not good enough"):
        pair.shake_hands()
        assert pair.failures == ["not good enough"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "http request"),
        (b"total 12\r\n-rw-r--r-- 1", "wrong version number"),
        (b"", "connection lost"),
        (b"\x16\x03\x01", "connection lost"),
    ],
)
def test_a_handshake_that_fails(fresh: Pair, said: bytes, reason: str) -> None:
    fresh.leg.secure(fresh.failures.append)
    fresh.socket.sendall(said)
    fresh.socket.shutdown(socket.SHUT_WR)
    fresh.loop.until(lambda: fresh.failures)
    assert fresh.failures == [reason]


def test_a_reset_in_the_handshake(fresh: Pair) -> None:
    fresh.leg.secure(fresh.failures.append)
    reset(fresh.socket)
    fresh.loop.until(lambda: fresh.failures)
    assert fresh.failures == ["connection lost"]


def test_the_reactors_word_that_it_was_lost(fresh: Pair) -> None:
    fresh.leg.secure(fresh.failures.append)
    fresh.leg.connectionLost(Failure(ConnectionResetError()))
    assert fresh.failures == ["connection lost"]


def test_a_leg_that_is_reset_in_the_handshake_says_no_more(fresh: Pair) -> None:
    fresh.leg.secure(fresh.failures.append)
    fresh.leg.reset()
    fresh.leg.connectionLost(Failure(ConnectionResetError()))
    assert fresh.failures == []


def test_closing_in_the_handshake_says_nothing(fresh: Pair) -> None:
    fresh.leg.secure(fresh.failures.append)
    fresh.leg.close()
    assert fresh.socket.recv(100) == b""


# The end


def test_finish_says_so_before_the_fin(pair: Pair) -> None:
    pair.leg.send(memoryview(b"all"))
    pair.leg.finish()
    assert pair.heard() == b"all"
    assert pair.socket.recv(1) == b""
    # and the other direction is still open
    pair.client.send(b"more")
    pair.await_bytes()
    assert pair.receive() == b"more"


def test_close_says_so_once(pair: Pair) -> None:
    pair.leg.finish()
    pair.leg.close()
    assert pair.heard() == b""
    assert pair.socket.recv(1) == b""


def test_close_says_so_by_itself(pair: Pair) -> None:
    pair.leg.send(memoryview(b"all"))
    pair.leg.close()
    assert pair.heard() == b"all"


def test_reset_does_not(pair: Pair) -> None:
    pair.leg.reset()
    with pytest.raises(SSL.SysCallError, match="ECONNRESET"):
        pair.heard()


def test_a_client_that_is_gone_when_the_leg_is_closed(pair: Pair) -> None:
    reset(pair.socket)
    pair.await_bytes()
    pair.leg.watch_reads(True)
    pair.leg.close()
    assert pair.leg.socket.fileno() == -1
    assert not pair.leg.reactor.getReaders()


def test_a_client_that_is_gone_at_the_end(pair: Pair) -> None:
    reset(pair.socket)
    pair.await_bytes()
    with pytest.raises(ConnectionError):
        pair.receive()
    with pytest.raises(ConnectionResetError):
        pair.leg.send(memoryview(b"x"))
    with pytest.raises(OSError):
        pair.leg.finish()


def test_the_peers_end(pair: Pair) -> None:
    pair.client.send(b"all")
    pair.await_bytes()
    assert pair.receive() == b"all"
    pair.client.shutdown()
    pair.await_bytes()
    assert pair.receive() == b""
    assert pair.receive() == b""


@pytest.mark.parametrize("sent", [b"", b"some of it"])
def test_a_fin_without_it_is_no_end(pair: Pair, sent: bytes) -> None:
    if sent:
        pair.client.send(sent)
    pair.socket.shutdown(socket.SHUT_WR)
    pair.await_bytes()
    assert not sent or pair.receive() == sent
    for _ in range(2):
        with pytest.raises(ConnectionResetError, match="connection lost"):
            pair.receive()
    assert pair.leg.connection.get_shutdown() != SSL.SENT_SHUTDOWN


def test_bytes_that_are_no_tls_are_no_end(pair: Pair) -> None:
    pair.client.send(b"some of it")
    pair.socket.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    pair.socket.shutdown(socket.SHUT_WR)
    pair.await_bytes()
    assert pair.receive(10) == b"some of it"
    pair.await_bytes()
    with pytest.raises(ConnectionResetError, match="bad record mac"):
        pair.receive()


# What OpenSSL holds while nobody asks for it


def test_a_record_that_does_not_fit_is_not_lost(pair: Pair) -> None:
    pair.client.send(b"0123456789")
    pair.await_bytes()
    assert pair.receive(4) == b"0123"
    readable = pair.leg.readable = Count()
    pair.leg.watch_reads(True)
    pair.leg.watch_reads(True)
    pair.loop.turn()
    assert readable.count == 1, "the socket does not tell, and telling it more than once takes others' turns"
    assert pair.receive() == b"456789"
    pair.leg.watch_reads(True)
    assert not pair.loop.getDelayedCalls()


def test_a_record_that_nobody_asks_for_waits(pair: Pair) -> None:
    pair.client.send(b"0123456789")
    pair.await_bytes()
    assert pair.receive(4) == b"0123"
    readable = pair.leg.readable = Count()
    pair.leg.watch_reads(True)
    pair.leg.watch_reads(False)
    pair.loop.turn(0)
    assert readable.count == 0
    pair.leg.watch_reads(True)
    pair.loop.turn()
    assert readable.count == 1


@pytest.mark.parametrize("how", ["close_notify", "fin"])
def test_the_end_behind_bytes_is_not_lost(pair: Pair, how: str) -> None:
    pair.client.send(b"0123456789")
    if how == "close_notify":
        pair.client.shutdown()
    pair.socket.shutdown(socket.SHUT_WR)
    pair.await_bytes()
    assert pair.receive() == b"0123456789"
    readable = pair.leg.readable = Count()
    pair.leg.watch_reads(True)
    pair.loop.until(lambda: readable.count)
    if how == "close_notify":
        assert pair.receive() == b""
    else:
        with pytest.raises(ConnectionResetError):
            pair.receive()


def test_many_records_at_once(pair: Pair) -> None:
    sent = bytes(range(256)) * 1024
    pair.socket.settimeout(None)
    pair.client.sendall(sent)
    received = b""
    while len(received) < len(sent):
        pair.await_bytes()
        with contextlib.suppress(BlockingIOError):
            received += pair.receive()
    assert received == sent
    with pytest.raises(BlockingIOError):
        pair.receive()


def test_small_records_are_read_a_few_at_a_time(pair: Pair) -> None:
    """One read would take as long as they come: each costs as much as a large one."""
    sent = bytes(range(256)) * 2
    for byte in sent:
        pair.client.sendall(bytes([byte]))
    received = b""
    while len(received) < len(sent):
        pair.await_bytes()
        part = pair.receive()
        assert 0 < len(part) <= 64
        received += part
    assert received == sent


def test_a_socket_that_is_full(pair: Pair) -> None:
    sent, part = 0, memoryview(bytes(BUFFER))
    with pytest.raises(BlockingIOError):
        while True:
            sent += pair.leg.send(part)
    writable = pair.leg.writable = Count()
    pair.leg.watch_writes(True)
    received = 0
    while received < sent:
        received += len(pair.client.recv(1 << 16))
    pair.loop.until(lambda: writable.count)
    # The record that did not fit is still to be sent, whole; that it went in part is nobody's to know.
    sent += pair.leg.send(part)
    pair.leg.finish()
    assert received + len(pair.heard()) == sent


class Count:
    """How often it was called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


# What OpenSSL rarely asks for


@attrs.define(eq=False)
class Scripted:
    """In the place of OpenSSL: each call does the next that its list says."""

    do_handshake_says: list[Exception | None] = attrs.field(factory=list)
    recv_says: list[Exception | bytes] = attrs.field(factory=list)
    send_says: list[Exception | int] = attrs.field(factory=list)
    shutdown_says: list[Exception | bool] = attrs.field(factory=list)

    def do_handshake(self) -> None:
        said(self.do_handshake_says)

    def recv_into(self, buffer: memoryview) -> int:
        data = cast(bytes, said(self.recv_says))
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: memoryview) -> int:
        return cast(int, said(self.send_says))

    def shutdown(self) -> bool:
        return cast(bool, said(self.shutdown_says))

    def pending(self) -> int:
        return 0

    def set_shutdown(self, state: int) -> None:
        """Nothing to keep."""


def said(script: list[Any]) -> object:
    match script.pop(0):
        case Exception() as error:
            raise error
        case value:
            return value


@attrs.define(eq=False)
class Rare:
    """A leg whose OpenSSL is scripted; its socket can always be written, and read once ``speak`` was called."""

    loop: ManualReactor
    leg: TLSLeg
    tls: Scripted
    peer: socket.socket
    readable: Count = attrs.field(factory=Count)
    writable: Count = attrs.field(factory=Count)

    def watch(self) -> None:
        self.leg.readable, self.leg.writable = self.readable, self.writable

    def speak(self) -> None:
        self.peer.sendall(b"x")
        select.select([self.leg.socket], [], [], PATIENCE)


@pytest.fixture
def rare() -> Iterator[Rare]:
    loop, tls = ManualReactor(), Scripted()
    peer, ours = connected()
    with peer:
        security = Handshake(lambda _: cast(SSL.Connection, tls), lambda _: None)
        leg = TLSLeg(loop, ours, handshake=security)
        yield Rare(loop, leg, tls, peer)
        leg.reset()


def ready(rare: Rare) -> Rare:
    """Its handshake is over."""
    rare.tls.do_handshake_says = [None]
    rare.leg.secure(lambda _: None)
    rare.watch()
    return rare


def test_a_handshake_that_waits_for_room(rare: Rare) -> None:
    rare.tls.do_handshake_says = [SSL.WantReadError(), SSL.WantWriteError(), SSL.WantReadError(), None]
    failures: list[str | None] = []
    rare.leg.secure(failures.append)
    assert rare.leg not in rare.loop.writers
    rare.speak()
    rare.loop.turn()
    assert rare.leg in rare.loop.writers
    rare.loop.until(lambda: failures)
    assert failures == [None]


def test_a_read_that_waits_for_room(rare: Rare) -> None:
    ready(rare)
    rare.leg.watch_reads(True)
    rare.tls.recv_says = [SSL.WantWriteError()]
    with pytest.raises(BlockingIOError):
        rare.leg.receive_into(memoryview(bytearray(10)))
    rare.loop.turn()
    assert (rare.readable.count, rare.writable.count) == (1, 0)
    assert rare.leg not in rare.loop.writers


def test_a_read_that_waits_for_room_and_is_not_wanted_any_more(rare: Rare) -> None:
    """What the pump holds would be overwritten."""
    ready(rare)
    rare.tls.recv_says = [b"some", SSL.WantWriteError()]
    assert rare.leg.receive_into(memoryview(bytearray(10))) == 4
    rare.leg.watch_reads(False)
    rare.loop.turn()
    assert rare.readable.count == 0
    assert rare.leg not in rare.loop.writers


def test_a_write_that_waits_for_bytes(rare: Rare) -> None:
    ready(rare)
    rare.leg.watch_writes(True)
    rare.tls.send_says = [SSL.WantReadError()]
    with pytest.raises(BlockingIOError):
        rare.leg.send(memoryview(b"x"))
    assert rare.leg in rare.loop.readers
    rare.speak()
    rare.leg.doRead()
    assert (rare.readable.count, rare.writable.count) == (0, 1)
    assert rare.leg not in rare.loop.readers


def test_a_write_that_waits_for_bytes_and_is_not_wanted_any_more(rare: Rare) -> None:
    ready(rare)
    rare.leg.watch_reads(True)
    rare.tls.send_says = [SSL.WantReadError()]
    with pytest.raises(BlockingIOError):
        rare.leg.send(memoryview(b"x"))
    rare.speak()
    rare.leg.doRead()
    assert (rare.readable.count, rare.writable.count) == (1, 0)


def test_a_read_and_a_write_that_wait_for_each_other(rare: Rare) -> None:
    ready(rare)
    rare.leg.watch_reads(True)
    rare.leg.watch_writes(True)
    rare.tls.recv_says = [SSL.WantWriteError()]
    with pytest.raises(BlockingIOError):
        rare.leg.receive_into(memoryview(bytearray(10)))
    rare.leg.doWrite()
    assert (rare.readable.count, rare.writable.count) == (1, 1)


def test_behind_a_write_that_failed_a_read_tells_of_a_lost_connection(rare: Rare) -> None:
    """Whatever OpenSSL says of it then: TLS itself did not fail."""
    ready(rare)
    rare.tls.send_says = [SSL.SysCallError(104, "ECONNRESET")]
    rare.tls.recv_says = [SSL.Error([("", "", "protocol is shutdown")])]
    with pytest.raises(ConnectionResetError):
        rare.leg.send(b"x")
    with pytest.raises(ConnectionResetError, match="connection lost") as lost:
        rare.leg.receive(10)
    assert not isinstance(lost.value, TLSBroken)


@pytest.mark.parametrize("end", ["finish", "close"])
def test_behind_an_end_that_could_not_be_said_a_read_tells_of_a_lost_connection(rare: Rare, end: str) -> None:
    """A close_notify is a write as well."""
    ready(rare)
    rare.tls.shutdown_says = [SSL.SysCallError(32, "EPIPE")] * 2
    rare.tls.recv_says = [SSL.Error([("", "", "protocol is shutdown")])]
    with contextlib.suppress(ConnectionResetError):
        getattr(rare.leg, end)()
    with pytest.raises(ConnectionResetError, match="connection lost") as lost:
        rare.leg.receive(10)
    assert not isinstance(lost.value, TLSBroken)


def test_the_end_that_waits(rare: Rare) -> None:
    ready(rare)
    rare.tls.shutdown_says = [SSL.WantWriteError(), SSL.WantReadError(), False]
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            rare.leg.finish()
    rare.leg.finish()
    assert rare.peer.recv(1) == b""
    rare.leg.close()
    assert rare.tls.shutdown_says == []


def test_the_end_that_cannot_be_said(rare: Rare) -> None:
    ready(rare)
    rare.tls.shutdown_says = [SSL.Error([("", "", "protocol is shutdown")])] * 2
    with pytest.raises(ConnectionResetError, match="protocol is shutdown"):
        rare.leg.finish()
    rare.leg.close()


# What is left of one


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_a_leg_that_was_cut_does_not_keep_the_next_from_resuming(version: int) -> None:
    made, loop = certificates(), ManualReactor()
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_max_proto_version(version)
    context.set_session_id(b"origin")
    read_certificate(made.server.certificate, made.server.key).install(context)
    session = OriginTLS("1.2", "ftp.example.com", made.ca, None, "ftp.example.com").session()
    control = SSL.Connection(context, None)
    shake_hands(session.begin(cast(socket.socket, None)), control)
    leave(control)
    for _ in range(3):
        theirs, ours = connected()
        with theirs:
            theirs.setblocking(False)
            leg = TLSLeg(loop, ours, handshake=Handshake(session.connect, session.check))
            origin = SSL.Connection(context, theirs)
            origin.set_accept_state()
            failures: list[str | None] = []
            leg.secure(failures.append)
            over = False
            while not over or not failures:
                with contextlib.suppress(SSL.WantReadError):
                    origin.do_handshake()
                    over = True
                loop.turn(0)
            assert failures == [None]
            assert SSL._lib.SSL_session_reused(origin._ssl)  # type: ignore[attr-defined]
            leg.reset()
            leave(origin)


# An exception of ours


def test_an_exception_behind_bytes_that_were_taken_already_is_the_legs_end(
    rare: Rare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reactor tells of them no more, and so does not catch what it would catch."""
    ready(rare)
    failed, broken = Count(), Count()
    monkeypatch.setattr(Scripted, "pending", lambda _: 1)

    def mistake() -> None:
        raise Planted

    rare.leg.readable, rare.leg.failed, rare.leg.broken = mistake, failed, broken
    rare.leg.watch_reads(True)
    rare.loop.advance(0)
    assert (failed.count, broken.count) == (1, 1)


@pytest.mark.parametrize(
    ("reason", "failures"), [(ConnectionDone(), 0), (ConnectionLost(), 0), (Planted(), 1)], ids=repr
)
def test_the_reactor_tells_of_a_lost_connection_and_of_a_mistake(
    rare: Rare, reason: Exception, failures: int
) -> None:
    failed, broken = Count(), Count()
    rare.leg.failed, rare.leg.broken = failed, broken
    rare.leg.connectionLost(Failure(reason))
    assert (failed.count, broken.count) == (failures, 1)
