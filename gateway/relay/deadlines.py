"""The deadlines of one session, cheap to arm anew at every command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gateway.session.events import Deadline


@attrs.define(eq=False)
class Deadlines:
    """Runs one timer for each deadline; arming one that runs only moves the moment that the timer looks at.

    :param lengths: seconds.
    :param passed: called when a deadline has passed.
    """

    clock: IReactorTime = attrs.field(repr=False)
    lengths: Mapping[Deadline, float]
    passed: Callable[[Deadline], None] = attrs.field(repr=False)
    _due: dict[Deadline, float] = attrs.field(factory=dict, init=False)
    _timers: dict[Deadline, IDelayedCall] = attrs.field(factory=dict, init=False, repr=False)

    def arm(self, deadline: Deadline) -> None:
        """Starts it, anew where it runs."""
        length = self.lengths[deadline]
        self._due[deadline] = self.clock.seconds() + length
        if deadline not in self._timers:
            self._timers[deadline] = self.clock.callLater(length, self._look, deadline)

    def disarm(self, deadline: Deadline) -> None:
        """Stops it."""
        self._due.pop(deadline, None)

    def stop(self) -> None:
        """Stops all of them for good."""
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
