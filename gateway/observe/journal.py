"""Events: one record for each thing that an operator may want to know, fanned out to sinks."""

from __future__ import annotations

import contextlib
import errno
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import attrs
from twisted.logger import Logger

Record = Mapping[str, object]
Sink = Callable[[Record], None]


@attrs.frozen
class Journal:
    """Writes events down."""

    sinks: Sequence[Sink]

    def note(self, name: str, fields: Mapping[str, object]) -> None:
        """One event: its name, and what is known of it. Never a password."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"time": time.replace("+00:00", "Z"), "event": name, **fields}
        for sink in self.sinks:
            sink(record)


@attrs.frozen
class LogSink:
    """One line of text for each event, in Twisted's log."""

    log: Logger = attrs.field(factory=lambda: Logger("gateway"))

    def __call__(self, record: Record) -> None:
        words = [f"[{record.get('application', 'gateway')}]", str(record["event"])]  # an event need not be of one
        for key, value in record.items():
            if value is not None and key not in _SAID:
                words.append(f"{key}={_quoted(value)}")
        self.log.info("{line}", line=" ".join(words))  # one field, since Twisted formats each anew


_SAID = ("time", "event", "application")


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text) if " " in text or not text or not text.isprintable() else text


@attrs.frozen
class JSONLinesSink:
    """One JSON object a line."""

    stream: TextIO
    log: Logger = attrs.field(factory=lambda: Logger("gateway"), repr=False)

    def __call__(self, record: Record) -> None:
        try:
            self.stream.write(json.dumps(record) + "\n")
            self.stream.flush()
        except OSError as error:  # a full disk is no reason to cut a session
            self.log.error("events.path: cannot write an event: {reason}", reason=error.strerror)

    def close(self) -> None:
        """Closes the file; standard output stays open."""
        if self.stream is not sys.__stdout__:
            with contextlib.suppress(OSError):
                self.stream.close()

    @classmethod
    def open(cls, path: str) -> JSONLinesSink:
        """Appends to the file at ``path``; ``-`` is standard output.

        :raises OSError: where it cannot be written.
        """
        if path != "-":
            return cls(Path(path).open("a", encoding="utf-8"))
        if sys.__stdout__ is None:
            raise OSError(errno.EBADF, "standard output is closed")
        return cls(sys.__stdout__)  # not sys.stdout, of which twistd makes log lines
