"""Exceptions that a test plants in the gateway, as a mistake in it would raise them."""

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
    """What stands for any exception that nobody thought of."""


def failure_of(event: LogEvent) -> Failure | None:
    """The exception that a line of the log tells of, in the words of Twisted's new logger or of its old one."""
    failure: Failure | None = event.get("log_failure") or event.get("failure")
    return failure


@attrs.define
class Mistake:
    """A call that raises, once.

    :param made: how often it did.
    :param logged: how many of its tracebacks are in the log.
    """

    made: int = 0
    logged: int = 0


@contextlib.contextmanager
def mistake(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, after: int = 0) -> Iterator[Mistake]:
    """Lets the next call of ``place.name`` that is not the test's own raise, behind so many that do not.

    It has to be made, and is logged once.
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
            in_reactor(lambda: None)  # which is done then with the event that it happened in
        assert (found.made, found.logged) == (1, 1), found
    finally:
        globalLogPublisher.removeObserver(observe)


@contextlib.contextmanager
def no_mistakes() -> Iterator[None]:
    """No exception was left to Twisted to log, but for those that the test planted."""
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
