"""The arrival of a connection: its socket is taken over from the transport that Twisted made for it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import attrs
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection

from gateway.addresses import SocketAddress


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
