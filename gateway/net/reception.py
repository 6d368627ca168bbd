"""A connection that a load balancer passes on, control or data, until its PROXY header has told whose it is."""

from __future__ import annotations

import socket
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.addresses import SocketAddress
from gateway.net.proxy_header import DEADLINE, MAX_HEADER, BadHeader, ProxyInfo, read
from gateway.net.reactor import Reactor


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class Newcomer:
    """Takes the header from the socket and not a byte more: what follows it is the client's, be it TLS.

    Calls one of the two once; whoever is called has to ``release`` it.

    :param peer: the balancer's address and port.
    :param introduced: called with what the header told; None where the connection is the balancer's own.
    :param refused: called with the reason where the header is not what it has to be; None where the balancer went
        without a word, as one does that looks whether the port accepts.
    """

    reactor: Reactor = attrs.field(repr=False)
    connection: socket.socket
    peer: SocketAddress
    introduced: Callable[[Newcomer, ProxyInfo | None], None] = attrs.field(repr=False)
    refused: Callable[[Newcomer, str | None], None] = attrs.field(repr=False)
    _received: bytes = attrs.field(default=b"", init=False, repr=False)
    _timer: IDelayedCall = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.connection.setblocking(False)
        self.reactor.addReader(self)
        late = f"no complete header within {DEADLINE:g} seconds"
        self._timer = self.reactor.callLater(DEADLINE, self.refused, self, late)

    def release(self) -> socket.socket:
        """Gives the connection away."""
        self.reactor.removeReader(self)
        if self._timer.active():
            self._timer.cancel()
        return self.connection

    # What the reactor asks for

    def fileno(self) -> int:
        return self.connection.fileno()

    def logPrefix(self) -> str:
        return "ftp"

    def doRead(self) -> None:
        before = len(self._received)
        try:
            self._received += self.connection.recv(MAX_HEADER, socket.MSG_PEEK)
            header = read(self._received)
            end = len(self._received) if header is None else header.size
            # What was only looked at the reactor would tell of again and again.
            self.connection.recv(end - before)
        except BlockingIOError:
            return
        except BadHeader as error:
            self.refused(self, str(error))
        except OSError:
            self._lost()
        else:
            if header is not None:
                self.introduced(self, header.ends)
            elif end == before:
                self._lost()

    def connectionLost(self, reason: Failure) -> None:
        self._lost()

    def _lost(self) -> None:
        self.refused(self, "closed in the middle of its header" if self._received else None)
