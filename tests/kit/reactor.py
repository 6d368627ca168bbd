"""The reactor in a thread of its own, so that a test is plain, blocking code, as its clients are."""

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

reactor: Any = _reactor
T = TypeVar("T")

_thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False})


def _start_reactor() -> None:
    if not _thread.is_alive():
        use_monotonic_clock(reactor)
        running = threading.Event()
        reactor.callWhenRunning(running.set)
        _thread.start()
        running.wait()


def stop_reactor() -> None:
    """Ends its thread, for good: at the end of the run."""
    if _thread.is_alive():
        reactor.callFromThread(reactor.stop)
        _thread.join()


def in_reactor(function: Callable[..., T], *arguments: object) -> T:
    """Calls it in the reactor's thread, and waits for what it gives, or for the Deferred that it gives."""
    _start_reactor()
    return blockingCallFromThread(reactor, function, *arguments)


def turn() -> None:
    """Lets the reactor do what can be done now: what arrived on its sockets, and what is due."""
    in_reactor(deferLater, reactor, 0)


def descriptors() -> int:
    """How many file descriptors this process has open, once the reactor has closed what it is about to close."""
    turn()
    return len(list(Path("/proc/self/fd").iterdir()))


def reactor_seconds() -> float:
    """The processor time that the reactor's thread has used."""
    return in_reactor(time.thread_time)


def comes_to_rest() -> bool:
    """Whether the reactor is done, sooner or later, with what it has to do now."""
    for _ in range(60):
        before = reactor_seconds()
        time.sleep(0.2)
        if reactor_seconds() - before < 0.03:
            return True
    return False
