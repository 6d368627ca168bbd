"""The dialling of an address, without blocking."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall

from gateway.addresses import SocketAddress
from gateway.net.clock import call_off
from gateway.net.leg import Leg, nothing
from gateway.net.reactor import Reactor


@attrs.define(eq=False)
class Dial:
    """One attempt to connect, begun by ``start``.

    :param place: the address and port to connect to.
    :param source: the local address to dial from; None for the system's choice.
    :param timeout: seconds.
    :param done: called once, unless cancelled: with the connected leg, or with the reason of the failure.
    """

    reactor: Reactor = attrs.field(repr=False)
    place: SocketAddress
    source: str | None
    timeout: float
    done: Callable[[Leg | str], None] = attrs.field(repr=False)
    _leg: Leg | None = attrs.field(default=None, init=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Begins to connect; may call ``done`` at once."""
        family = socket.AF_INET6 if ":" in self.place[0] else socket.AF_INET
        try:
            leg = self._leg = Leg(self.reactor, socket.socket(family, socket.SOCK_STREAM))
            if self.source is not None:
                leg.socket.bind((self.source, 0))
            code = leg.socket.connect_ex(self.place)
        except OSError as error:
            code = error.errno or errno.EIO
        if code not in (0, errno.EINPROGRESS):
            self._fail(os.strerror(code))
            return
        leg.writable = leg.broken = self._answered
        leg.watch_writes(True)
        self._timer = self.reactor.callLater(self.timeout, self._fail, "connect timeout")

    @property
    def connected(self) -> bool:
        """Whether the peer has accepted, even if the reactor has not reported it yet."""
        return self._leg is not None and self._leg.connected

    def cancel(self) -> None:
        """Gives up, and closes in order where the peer has accepted; ``done`` is not called any more."""
        self._stop()
        if self._leg is not None:
            self._leg.close()

    def reset(self) -> None:
        """Gives up, and shows a peer that has accepted a reset; ``done`` is not called any more."""
        self._stop()
        if self._leg is not None:
            self._leg.reset()

    def _stop(self) -> None:
        call_off(self._timer)
        self._timer = None

    def _answered(self) -> None:
        leg = self._leg
        assert leg is not None
        code = leg.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(os.strerror(code))
            return
        self._stop()
        self._leg = None
        leg.watch_writes(False)
        leg.writable = leg.broken = nothing
        self.done(leg)

    def _fail(self, reason: str) -> None:
        self.cancel()
        self.done(reason)
