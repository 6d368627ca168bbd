"""A non-blocking socket that the reactor watches: one end of a data channel, or a control connection."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable

import attrs
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_Socket = socket.socket  # the class below has an attribute of the module's name
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def nothing() -> None:
    """Does nothing: a callback until there is another one."""


@implementer(IReadWriteDescriptor)
@attrs.define(eq=False)
class Leg:
    """A connected, or connecting, stream socket; the leg owns it.

    The callbacks take no argument: the socket can be read, can be written, was found broken. ``failed`` is called
    when one of them raised an exception, which is in the log; ``broken`` follows. ``failed`` stays with a leg that is
    handed over: the exception may have been raised in that very call.
    """

    reactor: IReactorFDSet = attrs.field(repr=False)
    socket: socket.socket
    readable: Callable[[], None] = attrs.field(default=nothing, init=False, repr=False)
    writable: Callable[[], None] = attrs.field(default=nothing, init=False, repr=False)
    broken: Callable[[], None] = attrs.field(default=nothing, init=False, repr=False)
    failed: Callable[[], None] = attrs.field(default=nothing, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.socket.setblocking(False)
        # Small pieces go on as they arrive, without waiting for the peer's acknowledgement.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def connected(self) -> bool:
        """Whether the peer has accepted, and the connection is up."""
        try:
            self.socket.getpeername()
        except OSError:
            return False
        return True

    @property
    def tls(self) -> tuple[str, str] | None:
        """The version and the cipher of the leg's TLS; None in the clear."""
        return None

    def watch_reads(self, on: bool) -> None:
        """Has ``readable`` called from now on, or not."""
        if on:
            self.reactor.addReader(self)
        else:
            self.reactor.removeReader(self)

    def watch_writes(self, on: bool) -> None:
        """Has ``writable`` called from now on, or not."""
        if on:
            self.reactor.addWriter(self)
        else:
            self.reactor.removeWriter(self)

    def receive(self, most: int) -> bytes:
        """Takes up to ``most`` bytes; returns none at the end.

        :raises BlockingIOError: where nothing came.
        :raises OSError: where the connection is broken.
        """
        return self.socket.recv(most)

    def receive_into(self, buffer: memoryview) -> int:
        """Takes as much as the buffer holds; returns how many bytes, 0 at the end.

        :raises BlockingIOError: where nothing came.
        :raises OSError: where the connection is broken.
        """
        return self.socket.recv_into(buffer)

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Sends as much as the socket takes; returns how many bytes.

        :raises BlockingIOError: where the socket takes nothing now.
        :raises OSError: where the connection is broken.
        """
        return self.socket.send(data)

    def hand_over(self) -> _Socket:
        """Gives the socket up to another leg."""
        self._forget()
        return self.socket

    def finish(self) -> None:
        """Sends the end of file behind everything that was written.

        :raises BlockingIOError: where the end cannot go out now; call it again then.
        :raises OSError: where the peer is gone already.
        """
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes in order: bytes that were written still arrive."""
        self._forget()
        self.socket.close()

    def reset(self) -> None:
        """Closes so that the peer sees a reset, never an end of file."""
        self._forget()
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.socket.close()

    def _forget(self) -> None:
        self.reactor.removeReader(self)
        self.reactor.removeWriter(self)
        self.readable = self.writable = self.broken = nothing

    # Called by the reactor

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "ftp"

    def doRead(self) -> None:
        self.readable()

    def doWrite(self) -> None:
        self.writable()

    def connectionLost(self, reason: Failure) -> None:
        if reason.check(ConnectionDone, ConnectionLost) is None:
            self.failed()
        self.broken()
