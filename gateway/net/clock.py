"""The reactor's clock, made to go forward only, and the calls that wait for it."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.interfaces import IDelayedCall


def use_monotonic_clock(reactor: Any) -> None:
    """Makes a reactor count by the monotonic clock, whatever happens to the time of day meanwhile.

    Twisted's reactors count by the time of day. Set forward by an hour, it would end every session that has an hour
    left; set back, no deadline would pass for an hour.

    :param reactor: one of Twisted's own, which does not run yet.
    """
    shift = time.monotonic() - reactor.seconds()
    reactor.seconds = time.monotonic
    for call in reactor.getDelayedCalls():
        call.time += shift
        call.seconds = time.monotonic


def call_off(timer: IDelayedCall | None) -> None:
    """Cancels a call. It does nothing where there is none, or where it was made already.

    A call that was made still holds its callback: its owner lets go of it as well, to break the cycle.
    """
    if timer is not None and timer.active():
        timer.cancel()
