"""The reactor in a thread of its own, so that a test is plain, blocking code, like its clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import blockingCallFromThread

from gateway.net.clock import use_monotonic_clock
from gateway.net.resolver import use_own_resolver

reactor: Any = _reactor
T = TypeVar("T")

_thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False})


def _start_reactor() -> None:
    if not _thread.is_alive():
        use_monotonic_clock(reactor)
        use_own_resolver(reactor)
        running = threading.Event()
        reactor.callWhenRunning(running.set)
        _thread.start()
        running.wait()


def stop_reactor() -> None:
    """Ends the reactor's thread for good, at the end of the run."""
    if _thread.is_alive():
        reactor.callFromThread(reactor.stop)
        _thread.join()


def in_reactor(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function in the reactor's thread, and waits for its result, or for the Deferred that it gives."""
    _start_reactor()
    return blockingCallFromThread(reactor, function, *arguments)


def turn() -> None:
    """Lets the reactor do all that it can do now: read its sockets, and run the calls that are due."""
    in_reactor(deferLater, reactor, 0)


def descriptors() -> int:
    """The number of open file descriptors of this process, once the reactor has done its pending closes."""
    turn()
    return len(list(Path("/proc/self/fd").iterdir()))


def reactor_seconds() -> float:
    """The processor time that the reactor's thread has used."""
    return in_reactor(time.thread_time)


def comes_to_rest() -> bool:
    """Whether the reactor, sooner or later, finishes its present work."""
    for _ in range(60):
        before = reactor_seconds()
        time.sleep(0.2)
        if reactor_seconds() - before < 0.03:
            return True
    return False
