"""The acceptance of connections at a listening port, without transports of Twisted's."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.internet.tcp import Port
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.addresses import SocketAddress
from gateway.net.reactor import Reactor

_AT_ONCE = 64  # connections that are accepted before anything else has its turn
_PAUSE = 0.1  # seconds until a port that could not accept tries again

# The client is gone again, or a firewall on this machine refused it (accept(2)).
_GONE = (errno.ECONNABORTED, errno.EPERM, errno.EPROTO)


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class Acceptor:
    """A bound port. It accepts from ``start`` on; until then its clients wait.

    :param port: the port, whose socket is read here and not by Twisted.
    :param came: called with each connection, and the address and port of its other end.
    :param refuse: called with the socket where there is no descriptor for another connection, whether or not one
        waits. It refuses those that do, and gives whether it could.
    """

    reactor: Reactor = attrs.field(repr=False)
    port: Port
    came: Callable[[socket.socket, SocketAddress], None] = attrs.field(repr=False)
    refuse: Callable[[socket.socket], bool] = attrs.field(repr=False)
    _open: bool = attrs.field(default=True, init=False)
    _pause: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.port.stopReading()

    @property
    def address(self) -> SocketAddress:
        """The address and port at which it listens."""
        host, port, *_ = self.port.socket.getsockname()
        return host, port

    def start(self) -> None:
        """Accepts from now on."""
        self._pause = None
        self.reactor.addReader(self)

    def close(self) -> None:
        """Accepts no more, and closes the socket."""
        self._open = False
        if self._pause is not None:
            self._pause.cancel()
        self.reactor.removeReader(self)
        self.port.stopListening()

    # Called by the reactor

    def fileno(self) -> int:
        number: int = self.port.fileno()
        return number

    def logPrefix(self) -> str:
        return "control port"

    def doWrite(self) -> None:
        """Does nothing: the reactor may still report the socket that had the descriptor before."""

    def doRead(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, name = self.port.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _GONE:
                    continue
                if not self.refuse(self.port.socket):
                    self._rest()
                return
            self.came(connection, (name[0], name[1]))

    def connectionLost(self, reason: Failure) -> None:
        """Pauses after an exception, which is in the log: the reactor dropped the socket, but it still listens."""
        if self._open:
            self._rest()

    def _rest(self) -> None:
        self.reactor.removeReader(self)
        self._pause = self.reactor.callLater(_PAUSE, self.start)
