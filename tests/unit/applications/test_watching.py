"""The watch over files of access rules: changes, files that cannot be used, and looks that take long."""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from gateway.applications.building import CannotStart
from gateway.applications.watching import INTERVAL, Watch
from gateway.guard.access_files import AccessFileError, FileKind
from gateway.guard.lists import LISTS, NetworkList
from gateway.guard.places import ASNS, COUNTRIES
from gateway.observe.records import AccessFileRead, AccessFileRefused, Record
from tests.kit import PATIENCE
from tests.kit.databases import asn_database, country_database
from tests.kit.mistakes import Planted, failure_of
from tests.kit.threads import no_more_threads


class Reactor(Clock):
    """A clock that the test moves, and the calls from threads, worked off by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.told: queue.Queue[tuple[Any, tuple[object, ...]]] = queue.Queue()

    def callFromThread(self, call: Any, *of: object) -> None:
        self.told.put((call, of))

    def turn(self) -> None:
        """Waits for the outcome of one thread."""
        call, of = self.told.get(timeout=PATIENCE)
        call(*of)


@attrs.define(eq=False)
class Scene:
    """A file, the watch over it, and everything that was noted."""

    path: Path
    kind: FileKind[Any] = LISTS
    reactor: Any = attrs.field(factory=Reactor)
    noted: list[Record] = attrs.field(factory=list)
    watch: Watch = attrs.field(init=False)

    def begin(self) -> None:
        self.watch = Watch.of(self.kind, str(self.path), lambda record, **of: self.noted.append(record))
        self.watch.start(self.reactor)

    def look(self) -> list[Record]:
        """The next look; gives what it noted."""
        self.noted.clear()
        self.reactor.advance(INTERVAL)
        self.reactor.turn()
        return list(self.noted)

    def read(self, networks: int) -> AccessFileRead:
        return AccessFileRead(str(self.path), networks=networks)

    def refused(self, reason: str) -> AccessFileRefused:
        return AccessFileRefused(str(self.path), f"{self.path}{reason}")


NOT_A_NETWORK = " is not a network like 192.0.2.0/24 or 2001:db8::/32"
MISSING = ": No such file or directory"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "list")
    scene.path.write_text("203.0.113.9\n")
    scene.begin()
    yield scene
    scene.watch.stop()
    assert scene.reactor.getDelayedCalls() == []


def test_a_file_that_does_not_change_is_not_read(scene: Scene) -> None:
    content = scene.watch.file.content
    assert [scene.look() for _ in range(3)] == [[], [], []]
    assert scene.watch.file.content is content


def test_a_change_is_taken(scene: Scene) -> None:
    scene.path.write_text("203.0.113.9\n203.0.113.10\n")
    assert scene.look() == [scene.read(2)]
    assert len(scene.watch.file.content) == 2
    assert scene.look() == []
    replacement = scene.path.with_suffix(".new")
    replacement.write_text("203.0.113.9\n203.0.113.11\n")
    replacement.rename(scene.path)
    assert scene.look() == [scene.read(2)]


def test_a_broken_file_keeps_the_old_content_and_is_told_once(scene: Scene) -> None:
    content = scene.watch.file.content
    scene.path.write_text("all of them\n")
    assert scene.look() == [scene.refused(f':1: "all of them"{NOT_A_NETWORK}')]
    assert [scene.look() for _ in range(3)] == [[], [], []]
    scene.path.write_text("\nall\n")
    assert scene.look() == [scene.refused(f':2: "all"{NOT_A_NETWORK}')]
    assert scene.watch.file.content is content
    scene.path.write_text("203.0.113.10\n203.0.113.11\n")
    assert scene.look() == [scene.read(2)]
    assert len(scene.watch.file.content) == 2


def test_a_file_that_vanishes_keeps_the_old_content_and_is_told_once(scene: Scene) -> None:
    content, elsewhere = scene.watch.file.content, scene.path.with_suffix(".old")
    scene.path.rename(elsewhere)
    assert scene.look() == [scene.refused(MISSING)]
    assert [scene.look() for _ in range(3)] == [[], [], []]
    assert scene.watch.file.content is content
    elsewhere.rename(scene.path)
    assert scene.look() == [scene.read(1)]
    assert scene.watch.file.content.holding(ip_address("203.0.113.9")) is not None


def test_a_file_that_can_be_looked_at_and_not_read(scene: Scene) -> None:
    scene.path.unlink()
    scene.path.mkdir()
    assert scene.look() == [scene.refused(": Is a directory")]
    assert scene.look() == []


def test_databases_are_told_with_their_day(tmp_path: Path) -> None:
    for kind, write, value in ((COUNTRIES, country_database, "DE"), (ASNS, asn_database, 64496)):
        scene = Scene(tmp_path / "database", kind)
        write(scene.path, {"203.0.113.0/24": value})
        scene.begin()
        write(scene.path, {"203.0.113.0/24": value, "198.51.100.0/24": value})
        [record] = scene.look()
        assert record == AccessFileRead(str(scene.path), built=scene.watch.file.content.built)
        scene.path.write_bytes(scene.path.read_bytes()[:-100])
        assert scene.look() == [scene.refused(" is not a database in MaxMind's format")]
        scene.watch.stop()


def test_a_file_that_cannot_be_used_at_the_start(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "list")
    with pytest.raises(CannotStart, match=r"^/.*/list: No such file or directory$"):
        scene.begin()
    scene.path.write_text("x")
    with pytest.raises(CannotStart, match=r'^/.*/list:1: "x" is not a network'):
        scene.begin()


# Looks that take long


@attrs.define(eq=False)
class Slow:
    """A kind of file whose reading takes as long as the test likes."""

    free: threading.Event = attrs.field(factory=threading.Event)
    begun: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(0))

    def read(self, path: str) -> list[str]:
        self.begun.release()
        assert self.free.wait(PATIENCE)
        text = Path(path).read_text()
        if text == "planted":
            raise Planted(text)
        if not text:
            raise AccessFileError(f"{path} is empty")
        return text.split()


class Words(list[str]):
    """A content that can be referred to weakly."""


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Scene, Slow]]:
    slow = Slow()
    slow.free.set()
    scene = Scene(tmp_path / "words", FileKind(lambda path: Words(slow.read(path))))
    scene.path.write_text("one")
    scene.begin()
    assert slow.begun.acquire(timeout=PATIENCE)
    slow.free.clear()
    yield scene, slow
    slow.free.set()
    scene.watch.stop()
    assert scene.reactor.getDelayedCalls() == []


def test_a_file_is_never_read_twice_at_the_same_time(slow: tuple[Scene, Slow]) -> None:
    scene, reading = slow
    scene.path.write_text("one two")
    for _ in range(10):
        scene.reactor.advance(INTERVAL)
    assert reading.begun.acquire(timeout=PATIENCE)
    assert scene.reactor.getDelayedCalls() == []
    assert scene.watch.file.content == ["one"]
    reading.free.set()
    scene.reactor.turn()
    assert scene.noted == [scene.read(2)]
    assert not reading.begun.acquire(blocking=False)
    assert scene.look() == []


def test_a_look_that_ends_after_the_watch_changes_nothing(slow: tuple[Scene, Slow]) -> None:
    scene, reading = slow
    scene.path.write_text("one two")
    scene.reactor.advance(INTERVAL)
    assert reading.begun.acquire(timeout=PATIENCE)
    scene.watch.stop()
    reading.free.set()
    scene.reactor.turn()
    assert (scene.noted, scene.watch.file.content) == ([], ["one"])
    assert scene.reactor.getDelayedCalls() == []


def test_a_look_that_a_newer_one_overtook_changes_nothing(slow: tuple[Scene, Slow]) -> None:
    scene, reading = slow
    reading.free.set()
    before = scene.watch.last
    scene.path.write_text("one two")
    older = scene.watch.look()
    scene.path.write_text("one two three")
    assert scene.look() == [scene.read(3)]
    scene.watch.take(before, older)
    assert scene.watch.file.content == ["one", "two", "three"]


def test_a_mistake_of_ours_is_logged_and_the_watch_goes_on(slow: tuple[Scene, Slow]) -> None:
    scene, reading = slow
    reading.free.set()
    failures: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        failure = failure_of(event)
        if failure is not None and failure.check(Planted):
            failures.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        scene.path.write_text("planted")
        assert scene.look() == []
    finally:
        globalLogPublisher.removeObserver(observe)
    assert len(failures) == 1
    scene.path.write_text("")
    assert scene.look() == [scene.refused(" is empty")]
    scene.path.write_text("one two three")
    assert scene.look() == [scene.read(3)]


def test_the_watch_outlives_a_shortage_of_threads(scene: Scene) -> None:
    scene.path.write_text("192.0.2.0/24\n198.51.100.0/24\n203.0.113.0/24\n")
    lines: list[str | None] = []

    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    try:
        with no_more_threads():
            scene.reactor.advance(INTERVAL)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert lines == [f"cannot look at {scene.path}: the system starts no more threads for this process"]
    assert scene.look() == [scene.read(3)]


def test_a_file_that_could_not_be_read_is_tried_again_though_it_does_not_change(tmp_path: Path) -> None:
    short: list[OSError] = []

    def make(path: str) -> NetworkList:
        if short:
            raise short[0]
        return LISTS.make(path)

    scene = Scene(tmp_path / "list", kind=FileKind(make))
    scene.path.write_text("192.0.2.1")
    scene.begin()
    short.append(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    scene.path.write_text("192.0.2.1\n192.0.2.2")
    assert scene.look() == [scene.refused(": Too many open files")]
    assert scene.look() == [], "it is told once"
    short.clear()
    assert scene.look() == [scene.read(2)]
    scene.watch.stop()
