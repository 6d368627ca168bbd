"""A leg without TLS: its socket, and how it ends."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import attrs
import pytest

from gateway.net.leg import Leg
from tests.kit import PATIENCE
from tests.kit.manual_reactor import ManualReactor


@attrs.define
class Pair:
    """A leg, and its peer."""

    leg: Leg
    peer: socket.socket

    def await_bytes(self) -> None:
        select.select([self.leg.socket], [], [], PATIENCE)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), PATIENCE) as peer:
            leg = Leg(ManualReactor(), server.accept()[0])
            yield Pair(leg, peer)
            leg.close()


def test_it_never_blocks(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        pair.leg.receive(10)
    assert pair.leg.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_bytes_to_and_fro(pair: Pair) -> None:
    assert pair.leg.send(b"out") == 3
    assert pair.peer.recv(10) == b"out"
    pair.peer.sendall(b"in")
    pair.await_bytes()
    assert pair.leg.receive(1) == b"i"
    buffer = bytearray(10)
    assert pair.leg.receive_into(memoryview(buffer)) == 1 and buffer[:1] == b"n"


def test_it_is_told_of_what_it_watches_alone(pair: Pair) -> None:
    told: list[str] = []
    pair.leg.readable, pair.leg.writable = (lambda: told.append("readable")), (lambda: told.append("writable"))
    pair.peer.sendall(b"x")
    assert isinstance(pair.leg.reactor, ManualReactor)
    pair.leg.watch_reads(True)
    pair.leg.reactor.turn()
    assert told == ["readable"]
    pair.leg.watch_reads(False)
    pair.leg.watch_writes(True)
    pair.leg.reactor.turn()
    assert told == ["readable", "writable"]


def test_the_end_of_file_leaves_the_other_direction(pair: Pair) -> None:
    pair.leg.finish()
    assert pair.peer.recv(1) == b""
    pair.peer.sendall(b"still")
    pair.await_bytes()
    assert pair.leg.receive(10) == b"still"


def test_closing_delivers_what_was_sent(pair: Pair) -> None:
    pair.leg.send(b"all")
    pair.leg.watch_reads(True)
    pair.leg.close()
    assert pair.peer.recv(10) == b"all" and pair.peer.recv(1) == b""
    assert not pair.leg.reactor.getReaders() and not pair.leg.connected


def test_a_reset_is_no_end_of_file(pair: Pair) -> None:
    pair.leg.watch_writes(True)
    pair.leg.reset()
    with pytest.raises(ConnectionResetError):
        pair.peer.recv(1)
    assert not pair.leg.reactor.getWriters()


def test_who_takes_the_socket_over_has_it_alone(pair: Pair) -> None:
    pair.leg.readable = lambda: pytest.fail("it has no socket any more")
    pair.leg.watch_reads(True)
    with pair.leg.hand_over() as taken:
        assert not pair.leg.reactor.getReaders()
        pair.leg.doRead()
        taken.sendall(b"x")
        assert pair.peer.recv(1) == b"x"
