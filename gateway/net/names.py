"""The dialling of an origin by address or by name; a name is resolved anew each time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol as TypingProtocol

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from gateway.addresses import SocketAddress
from gateway.net.dial import Dial
from gateway.net.leg import Leg
from gateway.net.reactor import Reactor


class Attempt(TypingProtocol):
    """An attempt to connect."""

    def cancel(self) -> object:
        """Gives up. ``done`` is not called any more."""


@attrs.define(eq=False)
class Arrival(Protocol):
    """A connection, taken over from the transport that Twisted made for it.

    :param came: called with the socket, and the address and port of its other end.
    """

    came: Callable[[socket.socket, SocketAddress], None] = attrs.field(repr=False)
    transport: Connection = attrs.field(init=False, repr=False)

    def connectionMade(self) -> None:
        transport = self.transport
        transport.stopReading()
        del self.transport  # breaks a reference cycle
        peer = transport.getPeer()
        self.came(transport.getHandle(), (peer.host, peer.port))


@attrs.define(eq=False)
class _Arrivals(Factory):
    came: Callable[[socket.socket, SocketAddress], None] = attrs.field(repr=False)
    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Arrival:
        return Arrival(self.came)


def dial(
    reactor: Reactor, host: str, port: int, named: bool, timeout: float, done: Callable[[Leg | str, str], None]
) -> Attempt:
    """Connects to an address, or to the addresses of a name one after the other (RFC 8305).

    :param named: whether ``host`` is a name.
    :param timeout: seconds.
    :param done: called once, unless given up: with the leg and the address that it leads to, or with the reason of
        the failure.
    """
    if not named:  # an address needs no thread of the resolver
        attempt = Dial(reactor, (host, port), None, timeout, lambda answer: done(answer, host))
        attempt.start()
        return attempt

    def failed(failure: Failure) -> None:
        if not failure.check(CancelledError):
            done(failure.getErrorMessage(), host)

    arrivals = _Arrivals(lambda connection, peer: done(Leg(reactor, connection), peer[0]))
    connecting = HostnameEndpoint(reactor, host, port, timeout).connect(arrivals)
    connecting.addErrback(failed)
    return connecting
