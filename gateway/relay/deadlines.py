"""The deadlines of one session, cheap to restart at every command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gateway.session.events import Deadline


@attrs.define(eq=False)
class Deadlines:
    """One timer for each deadline. To restart a deadline only moves the time that the timer looks at.

    :param lengths: the length of each deadline in seconds.
    :param passed: called when a deadline has passed.
    """

    clock: IReactorTime = attrs.field(repr=False)
    lengths: Mapping[Deadline, float]
    passed: Callable[[Deadline], None] = attrs.field(repr=False)
    _due: dict[Deadline, float] = attrs.field(factory=dict, init=False)
    _timers: dict[Deadline, IDelayedCall] = attrs.field(factory=dict, init=False, repr=False)

    def arm(self, deadline: Deadline) -> None:
        """Starts a deadline, or restarts it where it runs."""
        length = self.lengths[deadline]
        self._due[deadline] = self.clock.seconds() + length
        if deadline not in self._timers:
            self._timers[deadline] = self.clock.callLater(length, self._look, deadline)

    def disarm(self, deadline: Deadline) -> None:
        """Stops a deadline."""
        self._due.pop(deadline, None)

    def stop(self) -> None:
        """Stops all deadlines for good."""
        self._due.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _look(self, deadline: Deadline) -> None:
        del self._timers[deadline]
        due = self._due.get(deadline)
        if due is None:
            return
        left = due - self.clock.seconds()
        if left > 0:
            self._timers[deadline] = self.clock.callLater(left, self._look, deadline)
            return
        del self._due[deadline]
        self.passed(deadline)
