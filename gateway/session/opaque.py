"""The session that cannot be read: after AUTH in the mode passthrough, the gateway sees only that bytes pass."""

from __future__ import annotations

import attrs

from gateway.session import actions as do
from gateway.session.actions import Actions, Outcome
from gateway.session.endings import end
from gateway.session.events import Deadline


@attrs.define
class Opaque:
    """The state of such a session: whether it is idle, and whether it may be ended.

    :param draining: whether the gateway is about to stop.
    """

    draining: bool = attrs.field(default=False, init=False)
    _channels: int = attrs.field(default=0, init=False)

    def moved(self) -> Actions:
        """Restarts the idle time: bytes passed on a control connection."""
        return [do.Disarm(Deadline.IDLE) if self._channels else do.Arm(Deadline.IDLE)]

    def counted(self, channels: int) -> Actions:
        """Takes the number of data channels that are open now."""
        self._channels = channels
        return self.moved() + self.drain()

    def drain(self) -> Actions:
        """Ends the session once no data moves, since the gateway is about to stop."""
        return end(Outcome.DRAINED) if self.draining and not self._channels else []
