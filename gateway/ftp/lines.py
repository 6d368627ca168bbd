"""Lines of the control connection (RFC 959 section 5.3: each ends in CRLF), under a limit.

A reader is fed any bytes and gives one line at a time, so that its owner can stop between any two lines. It holds
no more than one read and one line.
"""

from __future__ import annotations

import enum

import attrs


class Unclean(enum.Enum):
    """The reason why a line was dropped."""

    TOO_LONG = "line too long"
    NUL = "NUL in a line"
    BARE_CR = "carriage return inside a line"


@attrs.define
class LineReader:
    """A stream of bytes, split into lines; a bare LF ends a line as well as CRLF does.

    :param limit: the longest line, in bytes, without its end.
    :param waiting: whether there may be a line: bytes came since there was none.
    """

    limit: int
    waiting: bool = attrs.field(default=False, init=False)
    _buffer: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _searched: int = attrs.field(default=0, init=False)
    _overflowing: bool = attrs.field(default=False, init=False)

    def feed(self, data: bytes) -> None:
        """Takes the peer's next bytes."""
        self._buffer += data
        self.waiting = True

    @property
    def empty(self) -> bool:
        """Whether no line is left, and no beginning of one."""
        return not self._buffer and not self._overflowing

    @property
    def overflowing(self) -> bool:
        """Whether the line that has begun is already too long."""
        return self._overflowing

    def next_line(self) -> bytes | Unclean | None:
        """The next line without its end, or why it was dropped; None where more must arrive first."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self.waiting = False
            if len(self._buffer) > self.limit + 1:  # the line and the CR of its end
                self._overflowing = True
            if self._overflowing:
                self._buffer.clear()
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        self.waiting = bool(self._buffer)
        overflowed, self._overflowing = self._overflowing, False
        line = line.removesuffix(b"\r")
        if overflowed or len(line) > self.limit:
            return Unclean.TOO_LONG
        if b"\0" in line:
            return Unclean.NUL
        if b"\r" in line:
            return Unclean.BARE_CR
        return line
