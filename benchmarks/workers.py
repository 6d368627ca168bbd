"""Work in processes of its own: it does not slow down this process's progress bar, nor the bar the work."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import TypeVar

T = TypeVar("T")
_fork = multiprocessing.get_context("fork")


class WorkFailed(Exception):
    """The failure of a task in a process. The text says how it failed."""


def work(processes: int, task: Callable[[], T]) -> list[T]:
    """Runs the task in so many processes, all starting at the same moment; gives the result of each.

    :raises WorkFailed: where one of them raised an exception.
    """
    start = _fork.Barrier(processes)
    running = []
    for _ in range(processes):
        ours, theirs = _fork.Pipe(duplex=False)
        process = _fork.Process(target=_perform, args=(start, theirs, task))
        process.start()
        theirs.close()
        running.append((process, ours))
    results, failures = [], []
    for process, ours in running:
        with ours:
            try:
                failure, result = ours.recv()
            except EOFError:
                failure, result = "it died", None
        process.join()
        failures.append(failure)
        results.append(result)
    for failure in filter(None, failures):
        raise WorkFailed(failure)
    return results


def _perform(start: Barrier, answer: Connection, task: Callable[[], object]) -> None:
    start.wait()
    try:
        answer.send((None, task()))
    except Exception as error:
        answer.send((f"{type(error).__name__}: {error}", None))
