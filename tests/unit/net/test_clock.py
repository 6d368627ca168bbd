"""The reactor's clock."""

from __future__ import annotations

import time

from twisted.internet.base import DelayedCall
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock

from gateway.net.clock import call_off, use_monotonic_clock


def test_it_goes_forward_only() -> None:
    reactor = EPollReactor()
    use_monotonic_clock(reactor)
    assert time.monotonic() - 1 < reactor.seconds() <= time.monotonic()


def test_calls_that_wait_already_come_in_their_time() -> None:
    reactor = EPollReactor()
    made: list[str] = []
    soon, late = reactor.callLater(0, made.append, "soon"), reactor.callLater(3600, made.append, "late")
    use_monotonic_clock(reactor)
    reactor.runUntilCurrent()
    assert made == ["soon"]
    assert isinstance(late, DelayedCall) and isinstance(soon, DelayedCall)
    left = late.getTime() - reactor.seconds()
    assert 3590 < left <= 3600
    late.reset(60)
    assert 50 < late.getTime() - reactor.seconds() <= 60


def test_a_call_is_called_off_where_it_can_be() -> None:
    clock = Clock()
    made: list[str] = []
    soon, late = clock.callLater(1, made.append, "soon"), clock.callLater(2, made.append, "late")
    clock.advance(1)
    for timer in (soon, late, late, None):
        call_off(timer)
    clock.advance(2)
    assert made == ["soon"]
