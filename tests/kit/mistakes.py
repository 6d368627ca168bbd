"""Exceptions that a test plants in the gateway, as a mistake in its code would raise them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from tests.kit.reactor import in_reactor


class Planted(Exception):
    """The planted exception; it stands for any that nobody thought of."""


def failure_of(event: LogEvent) -> Failure | None:
    """The exception in a line of the log, from Twisted's new logger or from its old one."""
    failure: Failure | None = event.get("log_failure") or event.get("failure")
    return failure


@attrs.define
class Mistake:
    """A call that raises once.

    :param made: the number of times that it raised.
    :param logged: the number of its tracebacks in the log.
    """

    made: int = 0
    logged: int = 0


@contextlib.contextmanager
def mistake(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, after: int = 0) -> Iterator[Mistake]:
    """Makes a call of ``place.name`` that is not the test's own raise, after so many that do not.

    The call must happen, and the exception must be logged once.
    """
    found, calls, original = Mistake(), 0, getattr(place, name)

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        if threading.current_thread() is not threading.main_thread():
            calls += 1
            if calls == after + 1:
                found.made += 1
                raise Planted(name)
        return original(*arguments, **named)

    def observe(event: LogEvent) -> None:
        failure = failure_of(event)
        if failure is not None and failure.check(Planted):
            found.logged += 1

    globalLogPublisher.addObserver(observe)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, call)
            yield found
            in_reactor(lambda: None)  # the reactor is then done with the event in which it happened
        assert (found.made, found.logged) == (1, 1), found
    finally:
        globalLogPublisher.removeObserver(observe)


@contextlib.contextmanager
def no_mistakes() -> Iterator[None]:
    """Checks that Twisted had no exception to log, except those that the test planted."""
    failures: list[tuple[LogEvent, Failure]] = []

    def observe(event: LogEvent) -> None:
        failure = failure_of(event)
        if failure is not None and not failure.check(Planted):
            failures.append((event, failure))

    globalLogPublisher.addObserver(observe)
    try:
        yield
        assert not failures, formatEvent(failures[0][0]) + failures[0][1].getTraceback()
    finally:
        globalLogPublisher.removeObserver(observe)
