"""The two flows between the legs of a data channel: when they stall, and whose end broke."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gateway.data.bandwidth import Throttles
from gateway.data.flow import Flow
from gateway.data.pump import Pump
from gateway.data.throttled import ThrottledPump
from gateway.data.usage import Ending
from gateway.net.clock import call_off
from gateway.net.leg import Leg
from gateway.net.tls_leg import TLSLeg


class Host(Protocol):
    """The channel that relays."""

    def delivered(self, to_client: bool) -> None:
        """Called when one direction's end of file was handed on, and every byte before it."""

    def relayed(self, ending: Ending) -> None:
        """Called when nothing more is relayed."""

    def failed(self) -> None:
        """Called when an exception was raised while one of the legs was served."""


@attrs.define(eq=False)
class Relaying:
    """The relaying both ways, from ``join`` until both directions are done, one leg broke, or neither moves.

    :param host: is told nothing any more after ``close``.
    :param stall_timeout: the seconds without a byte after which it ends.
    :param throttles: the limits on the bandwidth; None for none.
    :param make_pump: makes a pump; its argument says whether both legs are plain.
    :param client_receives: whether the transfer's bytes go to the client; None where that is not known.
    """

    reactor: IReactorTime = attrs.field(repr=False)
    host: Host = attrs.field(repr=False)
    stall_timeout: float
    throttles: Throttles | None = attrs.field(repr=False)
    make_pump: Callable[[bool], Pump] = attrs.field(repr=False)
    client_receives: bool | None = attrs.field(default=None, init=False)
    _to_client: Flow | None = attrs.field(default=None, init=False)
    _to_origin: Flow | None = attrs.field(default=None, init=False)
    _moved: float = attrs.field(default=0.0, init=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    @property
    def to_client(self) -> int:
        """The number of bytes that were handed to the client's socket."""
        return 0 if self._to_client is None else self._to_client.bytes

    @property
    def to_origin(self) -> int:
        """The number of bytes that were handed to the origin's socket."""
        return 0 if self._to_origin is None else self._to_origin.bytes

    def watch(self) -> None:
        """Starts the stall timeout: from now on bytes have to move."""
        self._progress()
        if self._timer is None:
            self._timer = self.reactor.callLater(self.stall_timeout, self._look)

    def join(self, client: Leg, origin: Leg) -> None:
        """Begins to relay between the two legs."""
        self.watch()
        to_client = self._to_client = self._flow(origin, client, to_client=True)
        to_origin = self._to_origin = self._flow(client, origin, to_client=False)
        for leg in (client, origin):
            leg.broken = lambda leg=leg: self._broken(leg)  # type: ignore[misc]
            leg.failed = self.host.failed
        to_client.start()
        to_origin.start()

    def close(self) -> None:
        """Ends the relaying. The host closes the legs."""
        call_off(self._timer)
        for flow in (self._to_client, self._to_origin):
            if flow is not None:
                flow.pump.close()
        self._to_client = self._to_origin = None
        del self.host  # the host holds this object, and so do the flows

    def _flow(self, source: Leg, sink: Leg, to_client: bool) -> Flow:
        plain = not isinstance(source, TLSLeg) and not isinstance(sink, TLSLeg)
        pump = self.make_pump(plain)
        if self.throttles is not None:
            throttle = self.throttles.to_client if to_client else self.throttles.to_origin
            pump = ThrottledPump(self.reactor, pump, throttle, self._progress)
        return Flow(source, sink, pump, self._progress, lambda: self._delivered(to_client), self._broken)

    def _progress(self) -> None:
        self._moved = self.reactor.seconds()

    def _look(self) -> None:
        if any(flow is not None and flow.pump.held for flow in (self._to_client, self._to_origin)):
            self._progress()  # the gateway holds the bytes back now
        left = self._moved + self.stall_timeout - self.reactor.seconds()
        if left > 0:
            self._timer = self.reactor.callLater(left, self._look)
        else:
            self.host.relayed(Ending.STALLED)

    def _delivered(self, to_client: bool) -> None:
        self.host.delivered(to_client)
        flows = (self._to_client, self._to_origin)  # None where the host has ended
        if all(flow is not None and flow.done for flow in flows):
            self.host.relayed(Ending.COMPLETE)

    def _broken(self, leg: Leg) -> None:
        assert self._to_client is not None and self._to_origin is not None
        to_client, to_origin = self._to_client, self._to_origin
        of_client = leg is to_client.sink
        # A client that knows a file's size, perhaps from the 150, may close as soon as it has everything.
        left_early = of_client and to_client.ended and not to_client.done
        if left_early and (to_origin.done or not to_client.bytes):
            to_client.done = True
            self._delivered(to_client=True)
        if self._to_client is None:  # the host has ended
            return
        from_it, to_it = (to_origin, to_client) if of_client else (to_client, to_origin)
        sent_all = from_it.done and not to_it.bytes
        receives = self.client_receives in (None, of_client)
        # Only TLS's own end of file counts: a reset may have taken away bytes that the socket had.
        got_all = receives and to_it.done and not from_it.bytes and isinstance(leg, TLSLeg)
        if sent_all or got_all:  # then a side that goes without a farewell cuts nothing
            self.host.relayed(Ending.COMPLETE)
        else:
            self.host.relayed(Ending.CLIENT_RESET if of_client else Ending.ORIGIN_RESET)
