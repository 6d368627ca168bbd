"""The pump that is held to a bandwidth: when it reads, and when it waits."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from twisted.internet.task import Clock

from gateway.data.bandwidth import TICK
from gateway.data.throttled import ThrottledPump


@attrs.define
class Source:
    """A leg that notes whether it is watched."""

    watched: bool = True

    def watch_reads(self, on: bool) -> None:
        self.watched = on


@attrs.define
class Inner:
    """A pump that takes as much as it may."""

    pending: int = 0
    closed: bool = False

    def fill(self, source: Source, most: int) -> int:
        self.pending += most
        return most

    def drain(self, sink: object) -> int:
        drained, self.pending = self.pending, 0
        return drained

    def close(self) -> None:
        self.closed = True


@attrs.define
class Allowance:
    """A throttle that asks for these waits, one after another."""

    waits: list[float]
    portion: int = 1000

    def take(self, count: int) -> float:
        return self.waits.pop(0)


@attrs.define
class Held:
    """The pump, and what is around it."""

    pump: ThrottledPump
    clock: Clock
    inner: Inner
    source: Any
    waited: list[float]


def held_to(*waits: float) -> Held:
    clock, inner, waited = Clock(), Inner(), []
    throttle: Any = Allowance(list(waits))
    pump = ThrottledPump(clock, inner, throttle, lambda: waited.append(clock.seconds()))  # type: ignore[arg-type]
    return Held(pump, clock, inner, Source(), waited)


def test_it_takes_a_portion_at_a_time() -> None:
    on = held_to(0, 0)
    assert on.pump.fill(on.source) == on.pump.pending == 1000
    assert on.pump.fill(on.source, 10) == 10
    assert not on.pump.held


def test_a_source_that_has_to_wait_has_nothing_until_then() -> None:
    on = held_to(2)
    on.pump.fill(on.source)
    on.pump.drain(on.source)
    with pytest.raises(BlockingIOError):
        on.pump.fill(on.source)
    assert on.pump.held and not on.source.watched
    on.clock.advance(1.9)
    assert not on.source.watched
    on.clock.advance(0.1)
    assert on.source.watched and not on.pump.held and on.waited == [2]


def test_a_source_is_not_read_before_the_sink_took_what_was_read() -> None:
    on = held_to(2)
    on.pump.fill(on.source)
    on.source.watched = False
    on.clock.advance(2)
    assert not on.source.watched


def test_a_wait_takes_a_tick_at_least() -> None:
    on = held_to(TICK / 1000)
    on.pump.fill(on.source)
    on.clock.advance(TICK / 2)
    assert on.pump.held
    on.clock.advance(TICK / 2)
    assert not on.pump.held


def test_the_end_waits_for_nothing() -> None:
    on = held_to(2)
    on.pump.fill(on.source)
    on.pump.close()
    assert on.inner.closed and on.clock.getDelayedCalls() == [] and not on.waited
