"""The journal: notes each event at once, and writes it later, in the writer's thread, to every sink."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import attrs
from twisted.logger import ILogObserver, Logger, LogLevel, globalLogPublisher

from gateway.observe.records import EventsDropped, Record
from gateway.observe.writer import Writer

Line = Mapping[str, object]

MODE = 0o640  # of a new file of events: clients' addresses and users' names are not for everybody
REPEAT = 60.0  # seconds between two lines of the log about a file that cannot be written


@attrs.define(eq=False)
class Journal:
    """The writer of events.

    :param log: is given every event, as its fields in the order in which they are written, and its time.
    """

    log: Callable[[Line, float], None] = attrs.field(factory=lambda: LogSink())
    writer: Writer = attrs.field(init=False, repr=False)
    _file: JSONLinesSink | None = attrs.field(default=None, init=False, repr=False)  # the thread's
    _last: JSONLinesSink | None = attrs.field(default=None, init=False, repr=False)  # which the thread comes to

    def __attrs_post_init__(self) -> None:
        self.writer = Writer(self._flush, self._dropped)

    def note(
        self, record: Record, application: str | None = None, session: int | None = None, client: str | None = None
    ) -> None:
        """Takes one event, with the time and with the session, client and application that it belongs to."""
        self.writer.put(self._write, time.time(), record, application, session, client)

    def use(self, file: JSONLinesSink | None) -> None:
        """Gives this file the events from now on. The file before gets the earlier ones, and is closed.

        The same file, opened again, is closed at once. So a thread that is held up never has many open files before
        it, however often the gateway is reloaded.
        """
        if file is not None and self._last is not None and file.place == self._last.place:
            file.close()
        else:
            self._last = file
            self.writer.must(self._change, file)

    def _write(
        self,
        seconds: float,
        record: Record,
        application: str | None = None,
        session: int | None = None,
        client: str | None = None,
    ) -> None:
        moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": moment.replace("+00:00", "Z"), "event": record.name}
        if application is not None:
            line["application"] = application
        if session is not None:
            line["session"] = session
        if client is not None:
            line["client"] = client
        line |= record.fields()
        self.log(line, seconds)
        if self._file is not None:
            self._file.add(line)

    def _dropped(self, count: int) -> None:
        self._write(time.time(), EventsDropped(count))

    def _flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def _change(self, file: JSONLinesSink | None) -> None:
        before, self._file = self._file, file
        if before is not None:
            before.close()


@attrs.frozen
class LogSink:
    """The events in Twisted's log, one line of text for each."""

    observer: ILogObserver = globalLogPublisher
    _log: Logger = attrs.field(factory=lambda: Logger("gateway"), init=False, repr=False)

    def __call__(self, line: Line, seconds: float) -> None:
        words = [f"[{line.get('application', 'gateway')}]", str(line["event"])]
        for key, value in line.items():
            if value is not None and key not in _SAID:
                words.append(f"{key}={_quoted(value)}")
        self.observer(
            {  # as of Logger.info, which would take the present time
                "log_logger": self._log,
                "log_level": LogLevel.info,
                "log_namespace": self._log.namespace,
                "log_source": None,
                "log_format": "{line}",  # one field, since Twisted would format each field again
                "log_time": seconds,
                "line": " ".join(words),
            }
        )


_SAID = ("time", "event", "application")


def _quoted(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and " " not in text and '"' not in text  # a user's name may be anything
    return text if plain and text else json.dumps(text)


@attrs.define(eq=False)
class JSONLinesSink:
    """The events in a file, one JSON object a line.

    :param descriptor: of the file. It may block.
    :param place: the device and the number of the file, which no other has while it is open.
    """

    descriptor: int
    place: tuple[int, int] = attrs.field(init=False, repr=False)
    log: Logger = attrs.field(factory=lambda: Logger("gateway"), repr=False)
    _lines: list[bytes] = attrs.field(factory=list, init=False, repr=False)
    _torn: bool = attrs.field(default=False, init=False)  # the file ends in the middle of a line
    _lost: int = attrs.field(default=0, init=False)  # events that could not be written, not in the log yet
    _reason: str | None = attrs.field(default=None, init=False)
    _said: float = attrs.field(default=float("-inf"), init=False)  # when, by the monotonic clock

    @place.default
    def _place(self) -> tuple[int, int]:
        seen = os.fstat(self.descriptor)
        return seen.st_dev, seen.st_ino

    def add(self, line: Line) -> None:
        """Takes an event, for the next `flush`."""
        self._lines.append(json.dumps(line).encode() + b"\n")

    def flush(self) -> None:
        """Writes the events that were added. A full disk is no reason to cut a session: it is told now and then."""
        lines, self._lines = self._lines, []
        for portion in _portions(lines):
            self._write(portion)
        if self._lost and time.monotonic() - self._said >= REPEAT:
            self._say()

    def close(self) -> None:
        """Writes the events that were added, and closes the file."""
        self.flush()
        if self._lost:
            self._say()
        with contextlib.suppress(OSError):
            os.close(self.descriptor)

    def _write(self, portion: bytes) -> None:
        left = whole = b"\n" + portion if self._torn else portion
        try:
            while left:
                left = left[os.write(self.descriptor, left) :]
        except OSError as error:
            self._lost += min(left.count(b"\n"), portion.count(b"\n"))
            self._reason = error.strerror
        if written := whole[: len(whole) - len(left)]:
            self._torn = not written.endswith(b"\n")

    def _say(self) -> None:
        self.log.error(
            "events.path: cannot write, events lost: {count}: {reason}", count=self._lost, reason=self._reason
        )
        self._lost, self._said = 0, time.monotonic()

    @classmethod
    def open(cls, path: str) -> JSONLinesSink:
        """Opens the file at ``path`` to append to it; ``-`` is standard output.

        The call does not wait for the reader of a FIFO. Since we could read it ourselves, events wait in it while it
        has no other reader.

        :raises OSError: where it cannot be written.
        """
        if path != "-":
            return cls(_open_fifo(path) if Path(path).is_fifo() else _open(path, os.O_WRONLY | os.O_CREAT))
        if sys.__stdout__ is None:
            raise OSError(errno.EBADF, "standard output is closed")
        return cls(os.dup(sys.__stdout__.fileno()))  # not of sys.stdout: twistd makes log lines of it


def _portions(lines: list[bytes]) -> Iterator[bytes]:
    """The lines, in writes so small that a pipe takes them whole: its reader never finds half a line at the end."""
    portion = bytearray()
    for line in lines:
        if len(portion) + len(line) > select.PIPE_BUF and portion:
            yield bytes(portion)
            portion.clear()
        portion += line
    if portion:
        yield bytes(portion)


def _open_fifo(path: str) -> int:
    try:
        return _open(path, os.O_RDWR)
    except PermissionError:  # it may be ours to write, and not to read
        return _open(path, os.O_WRONLY)


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_APPEND | os.O_NONBLOCK, MODE)
    os.set_blocking(descriptor, True)
    return descriptor
