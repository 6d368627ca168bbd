"""Work in processes of their own: what they do costs this one's progress bar nothing, and the other way round."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import TypeVar

T = TypeVar("T")
_fork = multiprocessing.get_context("fork")


class WorkFailed(Exception):
    """Says how."""


def work(processes: int, task: Callable[[], T]) -> list[T]:
    """Does the task in so many processes, all from the same moment on; gives what each of them returned.

    :raises WorkFailed: where one of them raised something.
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
