"""The journal: events are stamped, given to every sink, and written as text and as JSON."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from twisted.logger import Logger, formatEvent

from gateway.observe import journal
from gateway.observe.journal import Journal, JSONLinesSink, LogSink
from gateway.observe.records import CommandRefused, Connected, PublicAddressChanged, Record

RECORD = {"time": "2026-01-02T03:04:05.678Z", "event": "connect", "application": "ftp", "session": 7}


class Observed:
    """A logger, and the lines that were written with it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.times: list[float] = []
        self.log = Logger("test", observer=self.observe)

    def observe(self, event: dict[str, object]) -> None:
        level = event["log_level"]
        self.lines.append((level.name, formatEvent(event)))  # type: ignore[attr-defined]
        self.times.append(event["log_time"])  # type: ignore[arg-type]


def written(record: Record, *of: object) -> Mapping[str, object]:
    """The fields of the only event that a journal is given."""
    lines: list[Mapping[str, object]] = []
    noted = Journal(lambda line, seconds: lines.append(line))
    noted.writer.start()
    noted.note(record, *of)  # type: ignore[arg-type]
    assert noted.writer.stop()
    (line,) = lines
    return line


def contents(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_is_stamped_with_the_time_when_it_happened() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    line = written(CommandRefused("?", "500"), "ftp", 7, "192.0.2.7")
    assert list(line) == ["time", "event", "application", "session", "client", "verb", "reply"]
    time = str(line["time"])
    assert time.endswith("Z") and len(time) == len("2026-01-02T03:04:05.678Z")
    assert before <= datetime.fromisoformat(time) <= datetime.now(UTC)
    assert list(line.values())[1:] == ["commandRefused", "ftp", 7, "192.0.2.7", "?", "500"]


def test_an_event_says_only_what_it_is_of() -> None:
    line = written(PublicAddressChanged("ftp.example.com", "192.0.2.1", "192.0.2.2"))
    assert list(line) == ["time", "event", "host", "before", "address"]


def test_log_and_file_have_an_event_at_its_own_time(tmp_path: Path) -> None:
    observed, path = Observed(), tmp_path / "events"
    noted = Journal(LogSink(observed.observe))
    noted.use(JSONLinesSink.open(str(path)))
    before = time.time()
    noted.note(Connected(), "ftp", 7)
    after = time.time()
    noted.use(None)
    noted.writer.start()
    assert noted.writer.stop()
    assert observed.lines == [("info", "[ftp] connect session=7")]
    assert before <= observed.times[0] <= after
    (event,) = contents(path)
    assert event["event"] == "connect"  # type: ignore[index, call-overload]


def test_a_file_gets_the_events_that_were_noted_before_the_next(tmp_path: Path) -> None:
    noted = Journal(lambda line, seconds: None)
    for number in range(3):
        noted.use(JSONLinesSink.open(str(tmp_path / str(number))))
        noted.note(Connected(), "ftp", number)
    noted.use(None)
    noted.note(Connected(), "ftp", 4)
    noted.writer.start()
    assert noted.writer.stop()
    for number in range(3):
        (event,) = contents(tmp_path / str(number))
        assert event["session"] == number  # type: ignore[index, call-overload]


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_a_file_that_is_opened_again_and_again_is_open_once(tmp_path: Path) -> None:
    """The thread does not come yet, as when a reader stalls."""
    path = tmp_path / "events"
    noted = Journal(lambda line, seconds: None)
    before = descriptors()
    for number in range(50):
        noted.use(JSONLinesSink.open(str(path)))
        noted.note(Connected(), "ftp", number)
    assert descriptors() == before + 1
    path.rename(tmp_path / "old")
    noted.use(JSONLinesSink.open(str(path)))
    noted.note(Connected(), "ftp", 50)
    noted.use(None)
    noted.writer.start()
    assert noted.writer.stop()
    assert descriptors() == before
    for file, numbers in ((tmp_path / "old", range(50)), (path, [50])):
        assert [event["session"] for event in contents(file)] == [*numbers]  # type: ignore[index, call-overload]


def test_events_that_were_dropped_are_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.observe.writer.LIMIT", 2)
    lines: list[Mapping[str, object]] = []
    noted = Journal(lambda line, seconds: lines.append(line))
    for number in range(5):
        noted.note(Connected(), "ftp", number)
    noted.writer.start()
    assert noted.writer.stop()
    assert [line.get("session") for line in lines] == [0, 1, None]
    assert list(lines[2]) == ["time", "event", "count"]
    assert list(lines[2].values())[1:] == ["eventsDropped", 3]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "[ftp] connect session=7"),
        ({"client": None, "bytes": 0}, "[ftp] connect session=7 bytes=0"),
        ({"reason": "two words"}, '[ftp] connect session=7 reason="two words"'),
        ({"reason": ""}, '[ftp] connect session=7 reason=""'),
        ({"reason": "a\nb"}, '[ftp] connect session=7 reason="a\\nb"'),
        ({"user": '"', "origin": "192.0.2.1"}, '[ftp] connect session=7 user="\\"" origin=192.0.2.1'),
        ({"reason": "{session}"}, "[ftp] connect session=7 reason={session}"),
    ],
)
def test_a_line_of_text(fields: dict[str, object], line: str) -> None:
    observed = Observed()
    LogSink(observed.observe)({**RECORD, **fields}, 0)
    assert observed.lines == [("info", line)]


def test_an_event_of_the_whole_gateway() -> None:
    observed = Observed()
    LogSink(observed.observe)({"time": "", "event": "publicAddressChanged"}, 0)
    assert observed.lines == [("info", "[gateway] publicAddressChanged")]


def test_lines_of_json_are_appended_and_seen_at_each_flush(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{}\n")
    sink = JSONLinesSink.open(str(path))
    sink.add(RECORD)
    sink.flush()
    assert contents(path) == [{}, RECORD]
    sink.add({"event": "a\nb", "name": "grüezi"})
    sink.add(RECORD)
    sink.close()
    assert contents(path)[2:] == [{"event": "a\nb", "name": "grüezi"}, RECORD]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        JSONLinesSink.open(str(tmp_path / "no" / "such" / "directory"))


def test_standard_output_stays_open(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with os.fdopen(os.dup(1), "w") as stream:
        monkeypatch.setattr(sys, "__stdout__", stream)
        sink = JSONLinesSink.open("-")
        sink.add(RECORD)
        sink.close()
        print("more", file=stream, flush=True)
    assert capfd.readouterr().out == json.dumps(RECORD) + "\nmore\n"


def test_standard_output_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", None)
    with pytest.raises(OSError, match="standard output is closed"):
        JSONLinesSink.open("-")


# A FIFO


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    yield path


def test_a_fifo_waits_for_its_reader(fifo: Path) -> None:
    sink = JSONLinesSink.open(str(fifo))
    sink.add(RECORD)
    sink.flush()
    for _ in range(2):  # the second comes when the first is gone
        with fifo.open() as reader:
            assert json.loads(reader.readline()) == RECORD
        sink.add(RECORD)
        sink.flush()
    sink.close()


def test_a_fifo_that_may_be_written_alone(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its reader has to be there first, and nothing waits for it."""
    real = os.open

    def refusing(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(OSError, match="No such device or address"):
        JSONLinesSink.open(str(fifo))
    reader = real(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = JSONLinesSink.open(str(fifo))
    sink.add(RECORD)
    sink.close()
    assert json.loads(os.read(reader, 1 << 16)) == RECORD
    os.close(reader)


def test_a_pipe_gets_whole_lines(fifo: Path) -> None:
    """Even if the gateway is killed while it waits for the reader."""
    sink = JSONLinesSink.open(str(fifo))
    os.set_blocking(sink.descriptor, False)  # stands in for a kill
    reader = os.open(fifo, os.O_RDONLY)
    for _ in range(5000):
        sink.add(RECORD)
    sink.flush()
    sink.close()
    received = b"".join(iter(lambda: os.read(reader, 1 << 16), b""))
    os.close(reader)
    lines = received.splitlines()
    assert 100 < len(lines) < 5000
    assert all(json.loads(line) == RECORD for line in lines)


# A full disk


class Disk:
    """A disk with room for so many bytes; stands in for os.write."""

    def __init__(self, room: int) -> None:
        self.room, self.written = room, b""

    def write(self, descriptor: int, data: bytes) -> int:
        part = data[: self.room]
        if data and not part:
            raise OSError(28, "No space left on device")
        self.room -= len(part)
        self.written += part
        return len(part)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(0)
    monkeypatch.setattr(os, "write", disk.write)
    return disk


def sink_at(path: Path, observed: Observed) -> JSONLinesSink:
    return JSONLinesSink(os.open(path, os.O_WRONLY | os.O_CREAT), observed.log)


def test_a_full_disk_is_told_now_and_then(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    observed = Observed()
    sink = sink_at(tmp_path / "events", observed)
    words = "events.path: cannot write, events lost: {}: No space left on device"
    for _ in range(5):
        sink.add(RECORD)
        sink.add(RECORD)
        sink.flush()
    assert observed.lines == [("error", words.format(2))]
    monkeypatch.setattr(journal, "REPEAT", 0)
    sink.add(RECORD)
    sink.flush()
    assert observed.lines[1:] == [("error", words.format(9))]
    disk.room = 1000
    sink.add(RECORD)
    sink.close()
    assert json.loads(disk.written) == RECORD
    assert len(observed.lines) == 2


def test_the_end_tells_of_events_of_which_nothing_was_told(tmp_path: Path, disk: Disk) -> None:
    observed = Observed()
    sink = sink_at(tmp_path / "events", observed)
    for _ in range(3):
        sink.add(RECORD)
        sink.flush()
    sink.close()
    assert [line.split(": ")[2] for _, line in observed.lines] == ["1", "2"]


@pytest.mark.parametrize("more", [0, 1, 10], ids=["at a line's end", "behind its first byte", "in its middle"])
def test_a_line_that_was_cut_spoils_no_other(more: int, tmp_path: Path, disk: Disk) -> None:
    observed = Observed()
    sink = sink_at(tmp_path / "events", observed)
    line = json.dumps(RECORD)
    disk.room = len(line) + 1 + more
    for _ in range(3):
        sink.add(RECORD)
    sink.flush()
    disk.room = 1000
    sink.add(RECORD)
    sink.flush()
    assert disk.written.decode().splitlines() == [line, *([line[:more]] if more else []), line]
    assert observed.lines == [("error", "events.path: cannot write, events lost: 2: No space left on device")]
    sink.close()
