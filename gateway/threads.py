"""A thread of its own for a call that may block for ever, such as a look-up of a name or the reading of a file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

T = TypeVar("T")


class NoThread(Exception):
    """The refusal of the system to start another thread. The text is one clause for the operator."""


def in_own_thread(reactor: IReactorFromThreads, call: Callable[..., T], *of: object) -> Deferred[T]:
    """Runs ``call(*of)`` in a new thread; fires in the reactor's thread, with its result or its exception.

    The reactor's own pool has ten threads, which all share, and a stop waits for each of them. Nobody waits for this
    one: at the end of the process it is left where it is. Where no thread can be started, it fails with `NoThread`.
    """
    told: Deferred[T] = Deferred()

    def run() -> None:
        result: T | Failure
        try:
            result = call(*of)
        except BaseException:
            result = Failure()
        reactor.callFromThread(told.callback, result)

    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:
        return fail(NoThread("the system starts no more threads for this process"))
    return told
