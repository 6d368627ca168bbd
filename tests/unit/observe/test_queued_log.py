"""The queued log: lines reach the observers later, in order, and from the writer's thread."""

from __future__ import annotations

import threading

import pytest
from twisted.logger import LogEvent, Logger, LogPublisher, formatEvent

from gateway.observe.queued_log import QueuedLog
from gateway.observe.writer import Writer


class Observer:
    """The lines that an observer was told, and whether the test's own thread told it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.direct: list[bool] = []

    def __call__(self, event: LogEvent) -> None:
        self.lines.append(formatEvent(event))
        self.direct.append(threading.current_thread() is threading.main_thread())


@pytest.fixture
def writer() -> Writer:
    return Writer(lambda: None, lambda count: None)


def test_a_line_reaches_those_that_were_there_from_the_thread(writer: Writer) -> None:
    before, later = Observer(), Observer()
    publisher = LogPublisher(before)
    log, queued = Logger("test", observer=publisher), QueuedLog(writer, publisher)
    queued.begin()
    publisher.addObserver(later)
    log.info("one")
    log.info("two")
    assert later.lines == ["one", "two"]
    assert queued.end()
    assert before.lines == ["one", "two"]
    assert (before.direct, later.direct) == ([False] * 2, [True] * 2)


def test_a_line_is_as_it_was_when_it_was_logged(writer: Writer) -> None:
    observer = Observer()
    publisher = LogPublisher(observer)
    queued = QueuedLog(writer, publisher)
    queued.begin()
    publisher.addObserver(lambda event: event.update(log_format="another"))
    Logger("test", observer=publisher).info("one")
    assert queued.end()
    assert observer.lines == ["one"]


def test_a_line_of_the_thread_itself_is_written_in_its_place(writer: Writer) -> None:
    observer = Observer()
    publisher = LogPublisher(observer)
    log, queued = Logger("test", observer=publisher), QueuedLog(writer, publisher)
    writer.put(log.info, "one")
    queued.begin()
    log.info("two")
    writer.put(log.info, "three")
    log.info("four")
    assert queued.end()
    assert observer.lines == ["one", "two", "three", "four"]


def test_an_observer_that_fails_holds_up_no_other(writer: Writer) -> None:
    def broken(event: LogEvent) -> None:
        raise ZeroDivisionError

    observer = Observer()
    publisher = LogPublisher(broken, observer)
    queued = QueuedLog(writer, publisher)
    queued.begin()
    Logger("test", observer=publisher).info("one")
    assert queued.end()
    assert observer.lines[0] == "one"
    assert "disabled" in observer.lines[1].lower() or "exception" in observer.lines[1].lower()


def test_a_publisher_that_does_not_tell_its_observers_is_left_alone(writer: Writer) -> None:
    class Publisher(LogPublisher):
        _observers = ()  # type: ignore[assignment]

        def __init__(self, observer: Observer) -> None:
            self.observer = observer

        def __call__(self, event: LogEvent) -> None:
            self.observer(event)

    observer = Observer()
    publisher = Publisher(observer)
    queued = QueuedLog(writer, publisher)
    queued.begin()
    Logger("test", observer=publisher).info("one")
    assert observer.lines == ["one"]
    assert queued.end()
