"""The connections that owe a PROXY header. The contents and the deadline of a header are tested at the ports."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Iterator

import attrs
import pytest

from gateway.addresses import Address, SocketAddress
from gateway.net import reception
from gateway.net.proxy_header import ProxyInfo
from gateway.net.reactor import Reactor
from gateway.net.reception import Contained, Reception
from tests.kit.manual_reactor import ManualReactor
from tests.kit.mistakes import Planted
from tests.unit.net.test_tls_leg import connected

PEER = ("127.0.0.10", 40000)
HEADER = b"PROXY TCP4 203.0.113.9 198.51.100.7 50000 21\r\n"


@attrs.define(eq=False)
class Port:
    """A port with a reception, which writes down what it is told."""

    loop: ManualReactor = attrs.field(factory=ManualReactor)
    told: list[str] = attrs.field(factory=list)
    reception: Reception = attrs.field(init=False)
    peers: list[socket.socket] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        reactor: Reactor = self.loop  # type: ignore[assignment]
        self.reception = Reception(reactor)

    def come(self) -> socket.socket:
        """A balancer comes; its end of the connection."""
        theirs, ours = connected()
        self.peers.append(theirs)
        self.reception.receive(ours, PEER, self)
        return theirs

    def introduced(self, connection: socket.socket, peer: SocketAddress, ends: ProxyInfo | None) -> None:
        assert ends is not None and peer == PEER
        self.told.append(str(ends.client[0]))
        connection.close()

    def header_refused(self, proxy: Address, reason: str) -> None:
        self.told.append(f"{proxy}: {reason}")

    def gone(self) -> bool:
        """Whether nothing is left of any who came."""
        return not self.loop.readers and self.loop.getDelayedCalls() == []


@pytest.fixture
def port() -> Iterator[Port]:
    """Nobody came yet."""
    port = Port()
    yield port
    port.reception.close()
    for peer in port.peers:
        peer.close()
    assert port.gone()


def test_the_crowd_is_bounded(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "MAX_NEWCOMERS", 2)
    first, second, _ = (port.come() for _ in range(3))
    assert first.recv(1) == b"" and len(port.loop.readers) == 2, "the one that was silent longest gives way"
    assert port.told == ["127.0.0.10: too many connections without one"]
    second.sendall(HEADER)
    port.loop.until(lambda: port.told[1:])
    assert port.told[1:] == ["203.0.113.9"]
    port.come()  # there is room again
    assert len(port.loop.readers) == 2 and len(port.told) == 2


def test_who_waits_goes_with_the_reception_and_nothing_is_told(port: Port) -> None:
    waiting = [port.come() for _ in range(3)]
    port.reception.close()
    assert port.told == [] and port.gone()
    assert [connection.recv(1) for connection in waiting] == [b""] * 3


def used() -> weakref.ref[Reception]:
    """Balancers came at a port, with a header, with none, and with nothing yet; then it was closed."""
    port = Port()
    for count, sent in enumerate((HEADER, b"GET"), 1):
        with port.come() as balancer:
            balancer.sendall(sent)
            port.loop.until(lambda count=count: len(port.told) == count)  # type: ignore[misc]
    with port.come():
        port.reception.close()
    return weakref.ref(port.reception)


def test_a_reception_is_no_work_for_the_garbage_collector() -> None:
    gc.disable()
    try:
        assert used()() is None
    finally:
        gc.enable()


def test_an_exception_closes_the_connection_and_goes_no_further() -> None:
    theirs, ours = connected()
    with theirs:
        with Contained(ours):
            raise Planted
        assert theirs.recv(1) == b""
