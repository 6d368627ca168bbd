"""A pump that is held to a bandwidth."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gateway.data.bandwidth import TICK, Throttle
from gateway.data.pump import CHUNK, Pump
from gateway.net.leg import Leg


@attrs.define(eq=False)
class ThrottledPump:
    """A pump that reports "nothing to read" for a source over its allowance, until the bucket refills.

    Meanwhile the source is not watched. Its bytes stay in its socket, and TCP slows the sender down.

    :param waited: called at the end of each wait.
    """

    clock: IReactorTime = attrs.field(repr=False)
    pump: Pump
    throttle: Throttle
    waited: Callable[[], None] = attrs.field(repr=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    @property
    def pending(self) -> int:
        """The number of bytes that were taken from the source and not yet given to the sink."""
        return self.pump.pending

    @property
    def held(self) -> bool:
        """Whether the pump waits for bandwidth, not for its legs."""
        return self._timer is not None

    def fill(self, source: Leg, most: int = CHUNK) -> int:
        """Takes bytes from the source, as far as the bandwidth allows now."""
        if self._timer is not None:
            source.watch_reads(False)
            raise BlockingIOError
        filled = self.pump.fill(source, min(most, self.throttle.portion))
        wait = self.throttle.take(filled) if filled else 0
        if wait > 0:
            self._timer = self.clock.callLater(max(wait, TICK), self._go_on, source)
        return filled

    def drain(self, sink: Leg) -> int:
        """Hands the sink as much as it takes."""
        return self.pump.drain(sink)

    def close(self) -> None:
        """Frees the pump's resources and ends its wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.pump.close()

    def _go_on(self, source: Leg) -> None:
        self._timer = None
        self.waited()
        if not self.pending:  # else the source is read once the sink took the rest
            source.watch_reads(True)
