"""The bandwidth: the bytes that flows move in a time, by a clock that the test moves."""

from __future__ import annotations

import heapq
import itertools
from typing import cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from gateway.data.bandwidth import BURST, TICK, Bandwidth, Bucket, Throttle
from gateway.data.pump import CHUNK
from gateway.data.throttled import ThrottledPump
from gateway.net.leg import Leg


def simulate(clock: Clock, throttles: list[Throttle], seconds: float) -> list[int]:
    """Flows that always have something to move; how many bytes each moved. Of those that may move at the same moment
    each has its turn, as a reactor gives it to them."""
    moved = [0] * len(throttles)
    turns = itertools.count()
    queue = [(0.0, next(turns), number) for number in range(len(throttles))]
    while (due := queue[0][0]) < seconds:
        clock.rightNow = max(clock.rightNow, due)
        number = heapq.heappop(queue)[-1]
        moved[number] += throttles[number].portion
        wait = throttles[number].take(throttles[number].portion)
        heapq.heappush(queue, (due + max(wait, TICK) if wait > 0 else due, next(turns), number))
    return moved


@settings(max_examples=30)
@given(st.integers(1, 10**9), st.integers(1, 20))
def test_flows_that_share_a_bucket(rate: int, flows: int) -> None:
    clock = Clock()
    bucket = Bucket(rate, clock.seconds)
    throttles = [Throttle((bucket,))] * flows
    seconds = max(2.0, 20 * flows * bucket.portion / rate)
    moved = simulate(clock, throttles, seconds)
    most = rate * (seconds + BURST) + (flows + 1) * bucket.portion
    assert rate * seconds * 0.95 <= sum(moved) <= most
    assert min(moved) >= sum(moved) / flows / 2  # they take turns


def test_a_session_has_its_own_limit_and_that_of_all() -> None:
    clock = Clock()
    bandwidth = Bandwidth(100_000, 30_000, clock.seconds)
    throttles = []
    for _ in range(4):
        session = bandwidth.of_session()
        assert session is not None
        throttles.append(session.to_client)
    assert sum(simulate(clock, throttles, 100)) == pytest.approx(100_000 * 100, rel=0.02)
    assert simulate(Clock(), throttles[:1], 0.001)[0] > 0
    clock = Clock()
    alone = Bandwidth(100_000, 30_000, clock.seconds).of_session()
    assert alone is not None
    assert simulate(clock, [alone.to_client], 100)[0] == pytest.approx(30_000 * 100, rel=0.02)


def test_the_directions_do_not_share() -> None:
    clock = Clock()
    session = Bandwidth(1000, 0, clock.seconds).of_session()
    assert session is not None
    assert session.to_client.take(10_000) > 9
    assert session.to_origin.take(250) <= 0


def test_what_is_not_used_is_not_kept() -> None:
    clock = Clock()
    bucket = Bucket(1000, clock.seconds)
    assert bucket.take(250) == 0
    clock.advance(1000)
    assert bucket.take(250) == 0
    assert bucket.take(100) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("rate", "portion"), [(1, 1), (1000, 250), (100_000, 16384), (10_000_000, 100_000), (10**12, CHUNK)]
)
def test_portions(rate: int, portion: int) -> None:
    assert Bucket(rate, Clock().seconds).portion == portion


def test_no_limit_is_nothing() -> None:
    assert Bandwidth(0, 0, Clock().seconds).of_session() is None


# The pump


@attrs.define
class Source:
    """A leg that has bytes, and knows whether it is watched."""

    bytes: int
    watched: bool = True

    def watch_reads(self, on: bool) -> None:
        self.watched = on


@attrs.define
class Inner:
    """A pump that moves numbers."""

    held = False
    pending: int = 0
    closed: bool = False

    def fill(self, source: Leg, most: int = CHUNK) -> int:
        took = min(cast(Source, source).bytes, most)
        cast(Source, source).bytes -= took
        self.pending += took
        return took

    def drain(self, sink: Leg) -> int:
        moved, self.pending = self.pending, 0
        return moved

    def close(self) -> None:
        self.closed = True


@attrs.define
class Rig:
    """A pump that is held to 1000 bytes a second."""

    clock: Clock = attrs.field(factory=Clock)
    inner: Inner = attrs.field(factory=Inner)
    source: Source = attrs.field(factory=lambda: Source(10_000))
    pump: ThrottledPump = attrs.field(init=False)
    waits: int = 0

    def __attrs_post_init__(self) -> None:
        throttle = Throttle((Bucket(1000, self.clock.seconds),))
        self.pump = ThrottledPump(self.clock, self.inner, throttle, self.waited)  # type: ignore[arg-type]

    def waited(self) -> None:
        self.waits += 1

    @property
    def leg(self) -> Leg:
        return cast(Leg, self.source)

    def move(self) -> int:
        filled = self.pump.fill(self.leg)
        assert filled == self.pump.pending == self.pump.drain(self.leg)
        return filled


def test_a_pump_waits_for_its_bandwidth() -> None:
    rig = Rig()
    assert [rig.move(), rig.pump.held, rig.move(), rig.pump.held] == [250, False, 250, True]
    assert rig.source.watched
    with pytest.raises(BlockingIOError):
        rig.move()
    assert not rig.source.watched
    rig.clock.advance(0.24)
    assert not rig.source.watched and rig.pump.held and not rig.waits
    rig.clock.advance(0.01)
    assert rig.source.watched and not rig.pump.held and rig.waits == 1
    assert rig.move() == 250


def test_a_pump_whose_sink_is_slow_is_not_filled_when_its_wait_is_over() -> None:
    rig = Rig()
    rig.move()
    rig.pump.fill(rig.leg)
    rig.source.watched = False  # so a flow does, until the sink took it
    rig.clock.advance(1)
    assert not rig.source.watched
    assert rig.pump.drain(rig.leg) == 250
    assert rig.pump.fill(rig.leg) == 250


def test_the_end_of_a_source_is_not_waited_for() -> None:
    rig = Rig()
    rig.move()
    rig.source.bytes = 0
    assert rig.move() == 0
    assert not rig.pump.held and rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_a_pump_that_is_closed_waits_for_nothing(moves: int) -> None:
    rig = Rig()
    for _ in range(moves):
        rig.move()
    assert rig.pump.held == (moves == 2)
    rig.pump.close()
    assert rig.inner.closed and not rig.pump.held and rig.clock.getDelayedCalls() == []


def test_a_portion_may_be_asked_for_that_is_smaller() -> None:
    rig = Rig()
    assert rig.pump.fill(rig.leg, 10) == 10
