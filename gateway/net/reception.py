"""The reception at a port, control or data: a load balancer's connections, until each has named its client.

The number of connections that have not is bounded, and each has a deadline.
"""

from __future__ import annotations

import socket
from typing import Protocol

import attrs
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.addresses import Address, SocketAddress, peer_address
from gateway.net.clock import call_off
from gateway.net.proxy_header import DEADLINE, MAX_HEADER, BadHeader, ProxyInfo, read
from gateway.net.reactor import Reactor

MAX_NEWCOMERS = 128  # connections at one port that owe a PROXY header; each takes a descriptor

_log = Logger("gateway")


class Host(Protocol):
    """A port that load balancers connect to."""

    def introduced(self, connection: socket.socket, peer: SocketAddress, ends: ProxyInfo | None) -> None:
        """Called with a connection that is now the host's.

        :param peer: the balancer's address and port.
        :param ends: the ends that the header names; None where the connection is the balancer's own.
        """

    def header_refused(self, proxy: Address, reason: str) -> None:
        """Called when a balancer's connection was closed because of its header."""


@attrs.define(eq=False)
class Reception:
    """The connections at one port that owe a PROXY header. It keeps the port alive only while one waits."""

    reactor: Reactor = attrs.field(repr=False)
    _newcomers: dict[Newcomer, None] = attrs.field(factory=dict, init=False)  # in the order of their arrival

    def receive(self, connection: socket.socket, peer: SocketAddress, host: Host) -> None:
        """Reads the header of a connection, then hands the connection to the host or closes it.

        A connection that ends without a byte, such as a balancer's check that the port accepts, is closed in silence.
        Of too many that wait, the one that has been silent longest gives way.
        """
        Newcomer(self.reactor, connection, peer, host, self._newcomers).begin()
        if len(self._newcomers) > MAX_NEWCOMERS:
            next(iter(self._newcomers)).refuse("too many connections without one")

    def close(self) -> None:
        """Closes all connections that wait."""
        for newcomer in tuple(self._newcomers):
            newcomer.release().close()


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class Newcomer:
    """One connection that owes a header.

    It takes the header from the socket and not a byte more: all bytes behind it are the client's, even if it is TLS.

    :param crowd: the newcomers that wait; this one is among them from ``begin`` until it is released.
    """

    reactor: Reactor = attrs.field(repr=False)
    connection: socket.socket
    peer: SocketAddress
    host: Host = attrs.field(repr=False)
    crowd: dict[Newcomer, None] = attrs.field(repr=False)
    _received: bytes = attrs.field(default=b"", init=False, repr=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def begin(self) -> None:
        """Reads the header, which has usually come with the connection; waits for it where it has not."""
        self.connection.setblocking(False)
        self.crowd[self] = None
        try:
            self.doRead()
        except Exception:
            _log.failure("a PROXY header could not be read")
            self.refuse("internal error")
        if self in self.crowd:
            self.reactor.addReader(self)
            late = f"no complete header within {DEADLINE:g} seconds"
            self._timer = self.reactor.callLater(DEADLINE, self.refuse, late)

    def release(self) -> socket.socket:
        """Gives the connection away."""
        del self.crowd[self]
        if self._timer is not None:
            self.reactor.removeReader(self)
            call_off(self._timer)
        return self.connection

    def refuse(self, reason: str | None) -> None:
        """Closes the connection.

        :param reason: the mistake; None where it ended without a byte.
        """
        self.release().close()
        if reason is not None:
            self.host.header_refused(peer_address(self.peer[0]), reason)

    # Called by the reactor

    def fileno(self) -> int:
        return self.connection.fileno()

    def logPrefix(self) -> str:
        return "ftp"

    def doWrite(self) -> None:
        """Does nothing: the reactor may still report the socket that had the descriptor before."""

    def doRead(self) -> None:
        before = len(self._received)
        try:
            self._received += self.connection.recv(MAX_HEADER, socket.MSG_PEEK)
            header = read(self._received)
            end = len(self._received) if header is None else header.size
            # Bytes that were only peeked at would make the reactor report the socket again and again.
            self.connection.recv(end - before)
        except BlockingIOError:
            return
        except BadHeader as error:
            self.refuse(str(error))
        except OSError:
            self._lost()
        else:
            if header is not None:
                self.host.introduced(self.release(), self.peer, header.ends)
            elif end == before:
                self._lost()

    def connectionLost(self, reason: Failure) -> None:
        if reason.check(ConnectionDone, ConnectionLost) is None:  # an exception was raised, and is in the log
            self.refuse("internal error")
        else:
            self._lost()

    def _lost(self) -> None:
        self.refuse("closed in the middle of its header" if self._received else None)


@attrs.frozen
class Contained:
    """A limit to the damage that an exception does while a connection is received.

    The exception is logged, that connection is closed, and the rest goes on.
    """

    connection: socket.socket

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        _log.failure("a connection could not be received", failure=Failure(error))
        self.connection.close()
        return True
