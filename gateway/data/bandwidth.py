"""The limits on bandwidth: how many bytes per second data connections may move, and when they may go on."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway.data.pump import CHUNK

BURST = 0.25  # seconds for which an unused allowance is kept; then it may be used at once

# The bytes that one flow moves before it waits again. Small portions keep the waits of many flows short. No wait is
# shorter than a tick, so that a fast flow does not wake up all the time.
_PORTION = 16 * 1024  # bytes
TICK = 0.01  # seconds


@attrs.define(eq=False)
class Bucket:
    """A token bucket. A flow takes out the bytes that it has already moved, then waits until they are paid for.

    Each flow waits for its own portion behind the portions of the others, so they take turns.

    :param rate: bytes per second.
    :param seconds: the clock.
    """

    rate: int
    seconds: Callable[[], float] = attrs.field(repr=False)
    _settled: float = attrs.field(default=float("-inf"), init=False)  # the time when everything taken is paid for

    @property
    def portion(self) -> int:
        """The most bytes to move before they are taken out."""
        return int(min(max(min(self.rate * BURST, _PORTION), self.rate * TICK, 1), CHUNK))

    def take(self, count: int) -> float:
        """Takes out ``count`` bytes; gives the seconds to wait now, 0 or less for none."""
        now = self.seconds()
        self._settled = max(self._settled, now - BURST) + count / self.rate
        return self._settled - now


@attrs.frozen
class Throttle:
    """The buckets that limit one direction of a session."""

    buckets: tuple[Bucket, ...]

    @property
    def portion(self) -> int:
        """The most bytes to move before they are taken out."""
        return min(bucket.portion for bucket in self.buckets)

    def take(self, count: int) -> float:
        """Takes out ``count`` bytes; gives the seconds to wait now, 0 or less for none."""
        return max(bucket.take(count) for bucket in self.buckets)


@attrs.frozen
class Throttles:
    """The limits of one session, one for each direction."""

    to_client: Throttle
    to_origin: Throttle


@attrs.define
class Bandwidth:
    """The bandwidth of one application's data, in each direction. Bytes per second; 0 is no limit.

    :param total: the bandwidth of all its sessions together.
    """

    total: int
    per_session: int
    seconds: Callable[[], float] = attrs.field(repr=False, eq=False)
    _shared: tuple[tuple[Bucket, ...], tuple[Bucket, ...]] = attrs.field(init=False, repr=False, eq=False)

    @_shared.default
    def _of_all_sessions(self) -> tuple[tuple[Bucket, ...], tuple[Bucket, ...]]:
        return self._bucket(self.total), self._bucket(self.total)

    def of_session(self) -> Throttles | None:
        """The limits of a new session; None where there are none."""
        if not self.total and not self.per_session:
            return None
        to_client, to_origin = (Throttle((*shared, *self._bucket(self.per_session))) for shared in self._shared)
        return Throttles(to_client, to_origin)

    def _bucket(self, rate: int) -> tuple[Bucket, ...]:
        return (Bucket(rate, self.seconds),) if rate else ()
