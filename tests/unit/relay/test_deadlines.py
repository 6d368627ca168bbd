"""Deadlines: one timer for each, even if it is armed often."""

import pytest
from twisted.internet.task import Clock

from gateway.relay.deadlines import Deadlines
from gateway.session.events import Deadline

LENGTHS = {Deadline.LOGIN: 60.0, Deadline.IDLE: 300.0, Deadline.GRACE: 5.0}


class Watch:
    """Deadlines, and when they passed."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.passed: list[tuple[float, Deadline]] = []
        self.deadlines = Deadlines(
            self.clock, LENGTHS, lambda deadline: self.passed.append((self.clock.seconds(), deadline))
        )

    def wait(self, seconds: int) -> None:
        """Lets time pass, second by second."""
        self.clock.pump([1] * seconds)


@pytest.fixture
def watch() -> Watch:
    """Nothing is armed."""
    return Watch()


@pytest.mark.parametrize("deadline", Deadline)
def test_it_passes_once_its_time_is_over(watch: Watch, deadline: Deadline) -> None:
    watch.deadlines.arm(deadline)
    watch.wait(1000)
    assert watch.passed == [(LENGTHS[deadline], deadline)]


def test_arming_it_again_begins_it_anew(watch: Watch) -> None:
    watch.deadlines.arm(Deadline.GRACE)
    for _ in range(10):
        watch.wait(4)
        watch.deadlines.arm(Deadline.GRACE)
        assert len(watch.clock.getDelayedCalls()) == 1
    watch.wait(100)
    assert watch.passed == [(45.0, Deadline.GRACE)]


def test_disarming_it_stops_it(watch: Watch) -> None:
    watch.deadlines.arm(Deadline.GRACE)
    watch.wait(4)
    watch.deadlines.disarm(Deadline.GRACE)
    watch.deadlines.disarm(Deadline.IDLE)
    watch.wait(1000)
    assert watch.passed == []
    assert not watch.clock.getDelayedCalls()


@pytest.mark.parametrize("pause", [0, 3, 100])
def test_it_can_be_armed_after_it_was_disarmed(watch: Watch, pause: int) -> None:
    watch.deadlines.arm(Deadline.GRACE)
    watch.wait(1)
    watch.deadlines.disarm(Deadline.GRACE)
    watch.wait(pause)
    watch.deadlines.arm(Deadline.GRACE)
    watch.wait(100)
    assert watch.passed == [(1.0 + pause + 5.0, Deadline.GRACE)]


def test_it_can_be_armed_after_it_passed_and_while_it_passes(watch: Watch) -> None:
    passed = watch.deadlines.passed

    def again(deadline: Deadline) -> None:
        passed(deadline)
        if len(watch.passed) < 3:
            watch.deadlines.arm(deadline)

    watch.deadlines.passed = again
    watch.deadlines.arm(Deadline.GRACE)
    watch.wait(100)
    assert [time for time, _ in watch.passed] == [5.0, 10.0, 15.0]


def test_each_has_its_own_time(watch: Watch) -> None:
    for deadline in Deadline:
        watch.deadlines.arm(deadline)
    watch.deadlines.disarm(Deadline.LOGIN)
    watch.wait(1000)
    assert watch.passed == [(5.0, Deadline.GRACE), (300.0, Deadline.IDLE)]


def test_stopping_leaves_no_timer_behind(watch: Watch) -> None:
    for deadline in Deadline:
        watch.deadlines.arm(deadline)
    watch.deadlines.disarm(Deadline.IDLE)
    watch.deadlines.stop()
    assert not watch.clock.getDelayedCalls()
    watch.wait(1000)
    assert watch.passed == []
