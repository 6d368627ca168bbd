"""The two sides of a control connection: thin protocols that hand bytes on and close in order."""

from __future__ import annotations

import socket
from typing import Protocol as TypingProtocol

import attrs
from OpenSSL import SSL
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.tls.errors import reason

# How long a peer may take to read the last reply and close (seconds). Without that wait a close with unread bytes
# would be a reset, which can take the last reply away from the peer.
LINGER = 5.0


class Listener(TypingProtocol):
    """Who owns a side."""

    def made(self, side: Side) -> None:
        """The connection is up."""

    def received(self, side: Side, data: bytes) -> None:
        """Bytes came."""

    def secured(self, side: Side) -> None:
        """The TLS handshake is complete."""

    def insecure(self, side: Side, reason: str) -> None:
        """TLS failed, in its handshake or later; ``lost`` follows."""

    def flow_changed(self) -> None:
        """The side's write buffer became full, or is no longer."""

    def lost(self, side: Side) -> None:
        """The connection is gone. Called once, and last."""


@implementer(IProtocol, IPushProducer, IHandshakeListener)
@attrs.define(eq=False)
class Side(Protocol):
    """One control connection.

    :param clock: for the wait at its end.
    """

    clock: IReactorTime = attrs.field(repr=False)
    owner: Listener = attrs.field(repr=False)
    _full: bool = attrs.field(default=False, init=False)
    up: bool = attrs.field(default=False, init=False)
    _reading: bool = attrs.field(default=True, init=False)
    _secure: bool = attrs.field(default=False, init=False)
    _shaking_hands: bool = attrs.field(default=False, init=False)
    _closing: bool = attrs.field(default=False, init=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)
    transport: Connection = attrs.field(init=False, repr=False)

    def connectionMade(self) -> None:
        self.up = True
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        # The urgent byte that ABOR may be sent with belongs to the command (RFC 959 section 4.1.3).
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self.transport.registerProducer(self, True)
        self.owner.made(self)

    def dataReceived(self, data: bytes) -> None:
        if not self._closing:
            self.owner.received(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.up = False
        # In TLS 1.3 a server says after the handshake that it wanted a certificate, or another.
        if self._shaking_hands or isinstance(reason.value, SSL.Error):
            self.owner.insecure(self, _words(reason))
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self.owner.lost(self)

    @property
    def full(self) -> bool:
        """Whether the peer has to read before more is sent to it.

        Not so in a handshake, in which the peer is to be read before anything can be sent.
        """
        return self._full and not self._shaking_hands

    def send(self, data: bytes) -> None:
        """Sends in one write."""
        self.transport.write(data)

    def secure(self, creator: IOpenSSLServerConnectionCreator | IOpenSSLClientConnectionCreator) -> None:
        """Begins TLS, as the server where the peer connected, as the client where this side did."""
        self._secure = self._shaking_hands = True
        self.transport.startTLS(creator)

    def handshakeCompleted(self) -> None:
        self._shaking_hands = False
        self.owner.secured(self)

    def read(self, on: bool) -> None:
        """Whether bytes are wanted now."""
        if self._reading == on or not self.up or self._closing:
            return
        self._reading = on
        if on:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def close(self) -> None:
        """Sends what is written, then FIN; waits for the peer's, but not for long."""
        if self._closing or not self.up:
            return
        self.read(True)
        self._closing = True
        self.transport.unregisterProducer()
        if self._secure:
            self.transport.loseConnection()  # close_notify, and waits for the peer's
        else:
            self.transport.loseWriteConnection()
        self._timer = self.clock.callLater(LINGER, self.transport.abortConnection)

    # What the transport says of its write buffer

    def pauseProducing(self) -> None:
        self._full = True
        self.owner.flow_changed()

    def resumeProducing(self) -> None:
        self._full = False
        self.owner.flow_changed()

    def stopProducing(self) -> None:
        """The connection is lost, which is said elsewhere."""


def _words(failure: Failure) -> str:
    """Why TLS failed, in OpenSSL's own words where they are OpenSSL's."""
    return reason(failure.value) if isinstance(failure.value, SSL.Error) else "connection lost in the handshake"
