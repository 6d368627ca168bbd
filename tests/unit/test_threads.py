"""A thread of its own: its result and its exception come back, and a call that never returns holds up nobody."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from typing import Any

import pytest

from gateway.threads import NoThread, in_own_thread
from tests.kit import PATIENCE
from tests.kit.threads import no_more_threads


class Turns:
    """A reactor's queue of calls from threads, worked off by the test."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[Any, tuple[object, ...]]] = queue.Queue()

    def callFromThread(self, call: Any, *of: object) -> None:
        self.calls.put((call, of))

    def turn(self) -> None:
        call, of = self.calls.get(timeout=PATIENCE)
        call(*of)


def test_the_result_comes_back() -> None:
    turns, found = Turns(), []
    in_own_thread(turns, lambda one: (one, threading.current_thread()), 1).addCallback(found.append)  # type: ignore[arg-type]
    turns.turn()
    [(one, thread)] = found
    assert one == 1
    assert thread is not threading.current_thread()


def test_the_exception_comes_back() -> None:
    turns, found = Turns(), []
    in_own_thread(turns, int, "x").addErrback(lambda failure: found.append(failure.type))  # type: ignore[arg-type]
    turns.turn()
    assert found == [ValueError]


def test_no_thread_is_a_failure() -> None:
    found: list[Any] = []
    with no_more_threads():
        in_own_thread(Turns(), int).addErrback(lambda failure: found.append(failure.type))  # type: ignore[arg-type]
    assert found == [NoThread]


HANGS = """
import threading
from gateway.threads import in_own_thread
in_own_thread(None, threading.Event().wait)
"""


@pytest.mark.timeout(PATIENCE)
def test_the_end_of_the_process_does_not_wait() -> None:
    subprocess.run([sys.executable, "-c", HANGS], check=True, timeout=PATIENCE)
