"""The writer: jobs in order and in batches, a bound on those that wait, and an end that comes in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from gateway.observe import writer as module
from gateway.observe.writer import Writer
from tests.kit import PATIENCE

LIMIT = 10


class Sink:
    """Does the jobs; the test can hold it."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.held = threading.Event()
        self.free = threading.Event()
        self.flushed = threading.Semaphore(0)

    def flush(self) -> None:
        self.done.append("flush")
        self.flushed.release()

    def hold(self) -> None:
        self.held.set()
        assert self.free.wait(PATIENCE)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def writer(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setattr(module, "LIMIT", LIMIT)
    writer = Writer(sink.flush, lambda count: sink.done.append(f"{count} dropped"))
    yield writer
    sink.free.set()
    writer.stop()


def put(writer: Writer, sink: Sink, *what: object) -> None:
    for one in what:
        writer.put(sink.done.append, one)


def test_jobs_wait_for_the_start_and_are_done_in_one_batch(writer: Writer, sink: Sink) -> None:
    put(writer, sink, 1, 2)
    writer.must(sink.done.append, 3)
    assert sink.done == []
    writer.start()
    assert writer.stop()
    assert sink.done == [1, 2, 3, "flush"]


def test_jobs_are_done_without_further_words(writer: Writer, sink: Sink) -> None:
    writer.start()
    for number in range(3):
        put(writer, sink, number)
        assert sink.flushed.acquire(timeout=PATIENCE)
    assert sink.done == [0, "flush", 1, "flush", 2, "flush"]


def test_nothing_is_flushed_while_nothing_is_done(
    writer: Writer, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK", 0.001)
    writer.start()
    put(writer, sink, 1)
    assert sink.flushed.acquire(timeout=PATIENCE)
    assert not sink.flushed.acquire(timeout=0.1)


def test_those_that_do_not_fit_are_counted_in_their_place(writer: Writer, sink: Sink) -> None:
    writer.start()
    writer.put(sink.hold)
    assert sink.held.wait(PATIENCE)
    put(writer, sink, *range(1, LIMIT + 3))  # the job that is being done takes a place, too
    sink.free.set()
    assert sink.flushed.acquire(timeout=PATIENCE) and sink.flushed.acquire(timeout=PATIENCE)
    put(writer, sink, "after")
    assert writer.stop()
    assert sink.done == ["flush", *range(1, LIMIT), "3 dropped", "flush", "after", "flush"]


def test_what_must_be_done_is_done(writer: Writer, sink: Sink) -> None:
    put(writer, sink, *range(LIMIT))
    writer.must(sink.done.append, "this")
    put(writer, sink, "lost")
    writer.start()
    assert writer.stop()
    assert sink.done == [*range(LIMIT), "this", "1 dropped", "flush"]


def test_all_that_others_threads_put_is_done_or_counted(writer: Writer, sink: Sink) -> None:
    writer.start()
    threads = [threading.Thread(target=put, args=(writer, sink, *range(1000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.stop()
    dropped = sum(int(one.split()[0]) for one in sink.done if isinstance(one, str) and "dropped" in one)
    assert sum(isinstance(one, int) for one in sink.done) + dropped == 4000


def test_it_runs_until_the_last_user_stops_it(writer: Writer, sink: Sink) -> None:
    writer.start()
    writer.start()
    assert writer.stop()
    put(writer, sink, 1)
    assert sink.flushed.acquire(timeout=PATIENCE)
    assert writer.stop()
    put(writer, sink, 2)
    assert sink.done == [1, "flush"]
    writer.start()
    assert writer.stop()
    assert sink.done == [1, "flush", 2, "flush"]


def test_one_that_was_never_started_has_nothing_to_stop(writer: Writer) -> None:
    assert writer.stop()


def test_an_end_does_not_wait_for_a_job_that_hangs(
    writer: Writer, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    writer.start()
    writer.put(sink.hold)
    assert sink.held.wait(PATIENCE)
    assert not writer.stop()


def test_it_knows_its_own_thread(writer: Writer, sink: Sink) -> None:
    assert not writer.current
    writer.start()
    ask: Callable[[], None] = lambda: sink.done.append(writer.current)  # noqa: E731
    writer.put(ask)
    assert writer.stop()
    assert sink.done == [True, "flush"]
    assert not writer.current


def test_a_mistake_costs_one_job(writer: Writer, sink: Sink) -> None:
    failures: list[object] = []

    def observe(event: LogEvent) -> None:
        failures.append(event["log_failure"].type)

    def mistake() -> None:
        raise ZeroDivisionError

    put(writer, sink, 1)
    writer.put(mistake)
    put(writer, sink, 2)
    globalLogPublisher.addObserver(observe)
    writer.start()
    assert writer.stop()
    globalLogPublisher.removeObserver(observe)
    assert sink.done == [1, 2, "flush"]
    assert failures == [ZeroDivisionError]
