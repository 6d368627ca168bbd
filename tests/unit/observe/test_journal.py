"""The journal: events are stamped, given to every sink, and written as text and as JSON."""

import io
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from twisted.logger import Logger, formatEvent

from gateway.observe.journal import Journal, JSONLinesSink, LogSink
from gateway.observe.records import CommandRefused, PublicAddressChanged

RECORD = {"time": "2026-01-02T03:04:05.678Z", "event": "connect", "application": "ftp", "session": 7}


class Observed:
    """A logger, and the lines that were written with it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.log = Logger("test", observer=self._observe)

    def _observe(self, event: dict[str, object]) -> None:
        level = event["log_level"]
        self.lines.append((level.name, formatEvent(event)))  # type: ignore[attr-defined]


class Full(io.StringIO):
    """A stream on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        super().close()
        raise OSError(28, "No space left on device")


def test_an_event_is_stamped_and_told_to_every_sink() -> None:
    one: list[Mapping[str, object]] = []
    two: list[Mapping[str, object]] = []
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    Journal((one.append, two.append)).note(CommandRefused("?", "500"), "ftp", 7, "192.0.2.7")
    assert one == two
    assert list(one[0]) == ["time", "event", "application", "session", "client", "verb", "reply"]
    time = str(one[0]["time"])
    assert time.endswith("Z") and len(time) == len("2026-01-02T03:04:05.678Z")
    assert before <= datetime.fromisoformat(time) <= datetime.now(UTC)
    assert list(one[0].values())[1:] == ["commandRefused", "ftp", 7, "192.0.2.7", "?", "500"]


def test_an_event_says_only_what_it_is_of() -> None:
    lines: list[Mapping[str, object]] = []
    Journal((lines.append,)).note(PublicAddressChanged("ftp.example.com", "192.0.2.1", "192.0.2.2"))
    assert list(lines[0]) == ["time", "event", "host", "before", "address"]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "[ftp] connect session=7"),
        ({"client": None, "bytes": 0}, "[ftp] connect session=7 bytes=0"),
        ({"reason": "two words"}, '[ftp] connect session=7 reason="two words"'),
        ({"reason": ""}, '[ftp] connect session=7 reason=""'),
        ({"reason": "a\nb"}, '[ftp] connect session=7 reason="a\\nb"'),
        ({"reason": "{session}"}, "[ftp] connect session=7 reason={session}"),
    ],
)
def test_a_line_of_text(fields: dict[str, object], line: str) -> None:
    observed = Observed()
    LogSink(observed.log)({**RECORD, **fields})
    assert observed.lines == [("info", line)]


def test_an_event_of_the_whole_gateway() -> None:
    observed = Observed()
    LogSink(observed.log)({"time": "", "event": "publicAddressChanged"})
    assert observed.lines == [("info", "[gateway] publicAddressChanged")]


def test_lines_of_json_are_appended_and_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{}\n")
    sink = JSONLinesSink.open(str(path))
    sink(RECORD)
    assert path.read_text() == "{}\n" + json.dumps(RECORD) + "\n"
    sink({"event": "a\nb", "name": "grüezi"})
    sink.close()
    assert [json.loads(line) for line in path.read_text().splitlines()][1:] == [
        RECORD,
        {"event": "a\nb", "name": "grüezi"},
    ]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        JSONLinesSink.open(str(tmp_path / "no" / "such" / "directory"))


def test_standard_output_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "__stdout__", stream)
    sink = JSONLinesSink.open("-")
    sink(RECORD)
    sink.close()
    assert json.loads(stream.getvalue()) == RECORD


def test_standard_output_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", None)
    with pytest.raises(OSError, match="standard output is closed"):
        JSONLinesSink.open("-")


def test_a_full_disk_is_told_and_cuts_nothing() -> None:
    observed = Observed()
    sink = JSONLinesSink(Full(), observed.log)
    sink(RECORD)
    sink.close()
    assert observed.lines == [("error", "events.path: cannot write an event: No space left on device")]
