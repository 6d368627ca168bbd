"""The journal: stamps each event, and writes it to every sink."""

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

from gateway.observe.records import Record

Line = Mapping[str, object]
Sink = Callable[[Line], None]


@attrs.frozen
class Journal:
    """The writer of events.

    :param sinks: each is given every event as its fields, in the order in which they are to be written.
    """

    sinks: Sequence[Sink]

    def note(
        self, record: Record, application: str | None = None, session: int | None = None, client: str | None = None
    ) -> None:
        """Writes one event, with the time and with the session, client and application that it belongs to."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": time.replace("+00:00", "Z"), "event": record.name}
        if application is not None:
            line["application"] = application
        if session is not None:
            line["session"] = session
        if client is not None:
            line["client"] = client
        line |= record.fields()
        for sink in self.sinks:
            sink(line)


@attrs.frozen
class LogSink:
    """The events in Twisted's log, one line of text for each."""

    log: Logger = attrs.field(factory=lambda: Logger("gateway"))

    def __call__(self, line: Line) -> None:
        words = [f"[{line.get('application', 'gateway')}]", str(line["event"])]
        for key, value in line.items():
            if value is not None and key not in _SAID:
                words.append(f"{key}={_quoted(value)}")
        self.log.info("{line}", line=" ".join(words))  # one field, since Twisted would format each field again


_SAID = ("time", "event", "application")


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text) if " " in text or not text or not text.isprintable() else text


@attrs.frozen
class JSONLinesSink:
    """The events in a file, one JSON object a line."""

    stream: TextIO
    log: Logger = attrs.field(factory=lambda: Logger("gateway"), repr=False)

    def __call__(self, line: Line) -> None:
        try:
            self.stream.write(json.dumps(line) + "\n")
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
        """Opens the file at ``path`` to append to it; ``-`` is standard output.

        :raises OSError: where it cannot be written.
        """
        if path != "-":
            return cls(Path(path).open("a", encoding="utf-8"))
        if sys.__stdout__ is None:
            raise OSError(errno.EBADF, "standard output is closed")
        return cls(sys.__stdout__)  # not sys.stdout: twistd makes log lines of it
