"""The two sides of a control connection: they pass bytes on, hold them for a slow peer, and close in order."""

from __future__ import annotations

import socket
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall

from gateway.net.clock import call_off
from gateway.net.leg import Leg
from gateway.net.reactor import Reactor
from gateway.net.tls_leg import Handshake, TLSBroken, TLSLeg

# Seconds that a peer has to read the last reply and close. Without that wait, a close with unread bytes would be a
# reset, which can take the last reply away from the peer.
CLOSE_TIMEOUT = 5.0

_CHUNK = 16384  # bytes in one read
_MAX_HELD = 65536  # unsent bytes above which nothing is read that would produce more


class Listener(Protocol):
    """The owner of a side."""

    def received(self, side: Side, data: bytes) -> None:
        """Called when bytes came."""

    def secured(self, side: Side) -> None:
        """Called when the TLS handshake is complete."""

    def insecure(self, side: Side, reason: str) -> None:
        """Called when TLS failed, in its handshake or later; ``lost`` follows."""

    def flow_changed(self) -> None:
        """Called when the side became full, or is no longer."""

    def failed(self) -> None:
        """Called when an exception was raised while the side was served; ``lost`` follows."""

    def lost(self, side: Side) -> None:
        """Called when the connection is gone: once, and last."""


@attrs.define(eq=False)
class Side:
    """One control connection, from the moment that it is up.

    :param peer: the address of the other end.
    :param local: the address of this end.
    :param full: whether the peer has to read before it is sent more.
    """

    reactor: Reactor = attrs.field(repr=False)
    owner: Listener = attrs.field(repr=False)
    leg: Leg = attrs.field(repr=False)
    peer: str
    local: str = attrs.field(init=False)
    up: bool = attrs.field(default=True, init=False)
    full: bool = attrs.field(default=False, init=False)
    _held: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _blocked: bool = attrs.field(default=False, init=False)  # the peer takes nothing now
    _mute: bool = attrs.field(default=False, init=False)  # the peer takes nothing any more
    _reading: bool = attrs.field(default=True, init=False)
    _security: Handshake | None = attrs.field(default=None, init=False, repr=False)  # during the handshake
    _closing: bool = attrs.field(default=False, init=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        connection = self.leg.socket
        self.local = str(connection.getsockname()[0])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # ABOR may be sent with an urgent byte, which belongs to the command (RFC 959 section 4.1.3).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self._watch()

    @property
    def tls(self) -> tuple[str, str] | None:
        """The version and the cipher of its TLS; None in the clear."""
        return self.leg.tls

    def send(self, data: bytes) -> None:
        """Queues bytes for the next ``flush``: bytes that belong together go out in one write."""
        if self.up and not self._closing and not self._mute:
            self._held += data
            if len(self._held) > _MAX_HELD:
                self.flush()
                self._weigh()

    def flush(self) -> None:
        """Sends the queued bytes, as far as the peer takes them now; the rest when it does."""
        if self._held and self.up and not self._blocked and self._security is None:
            self._writable()

    def secure(self, security: Handshake) -> None:
        """Begins TLS behind the bytes that were sent."""
        self.flush()
        self._security = security
        if not self._held:
            self._shake_hands(security)

    def read(self, on: bool) -> None:
        """Has bytes read from now on, or not."""
        if self._reading == on or not self.up or self._closing:
            return
        self._reading = on
        if self._security is None:
            self.leg.watch_reads(on)

    def close(self) -> None:
        """Sends the queued bytes, then FIN; waits for the peer's FIN, but not for long."""
        if self._closing or not self.up:
            return
        if self._security is not None:  # the peer would understand nothing that it is told
            self._give_tls_up()
        self.read(True)
        self._closing = True
        self._timer = self.reactor.callLater(CLOSE_TIMEOUT, self.abort)
        self._writable()

    def abort(self) -> None:
        """Resets the connection."""
        self._lose(ConnectionAbortedError())

    def _watch(self) -> None:
        leg = self.leg
        leg.readable, leg.writable, leg.broken = self._readable, self._writable, self._lose
        leg.failed = self.owner.failed
        leg.watch_reads(self._reading)

    def _readable(self) -> None:
        try:
            data = self.leg.receive(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not data:
            self._lose()
            return
        self.leg.watch_reads(True)  # a TLS leg may hold bytes that its socket no longer reports
        if not self._closing:
            self.owner.received(self, data)

    def _writable(self) -> None:
        blocked = False
        try:
            while self._held:
                del self._held[: self.leg.send(self._held)]
            if self._closing:
                self.leg.finish()
        except BlockingIOError:
            blocked = True
        except OSError:
            # The peer's last words are still to be read, and may tell the reason; so is its end.
            self._mute = True
            self._held.clear()
        if blocked != self._blocked:
            self._blocked = blocked
            self.leg.watch_writes(blocked)
        self._weigh()
        if self._security is not None and not self._held:
            self._shake_hands(self._security)

    def _weigh(self) -> None:
        full = len(self._held) > (0 if self.full else _MAX_HELD)
        if full != self.full:
            self.full = full
            self.owner.flow_changed()

    def _shake_hands(self, security: Handshake) -> None:
        secure = self.leg = TLSLeg(self.leg.reactor, self.leg.hand_over(), handshake=security)
        secure.failed = self.owner.failed
        secure.secure(self._greeted)

    def _greeted(self, failure: str | None) -> None:
        if failure is not None:
            self._give_tls_up()
            self.owner.insecure(self, failure)
            return
        self._security = None
        self._watch()
        self._writable()
        self.owner.secured(self)

    def _give_tls_up(self) -> None:
        """Goes back to plain TCP: only so can the connection be closed in order now."""
        self._security = None
        self._blocked = False
        self._held.clear()
        self.leg = Leg(self.leg.reactor, self.leg.hand_over())
        self._watch()

    def _lose(self, error: OSError | None = None) -> None:
        if not self.up:
            return
        self.up = False
        call_off(self._timer)
        self._timer = None
        if isinstance(error, ConnectionAbortedError):
            self.leg.reset()
        else:
            self.leg.close()
        if isinstance(error, TLSBroken):
            self.owner.insecure(self, str(error))
        self.owner.lost(self)
