"""Replies: the assembler of multi-line replies, and the gateway's own replies (RFC 959 section 4.2)."""

from __future__ import annotations

import re

import attrs

_FIRST_LINE = re.compile(rb"(?P<code>[1-6][0-9]{2})(?:(?P<mark>[ -])(?P<text>.*))?", re.DOTALL)


class NotFTP(Exception):
    """A text from the origin that is not a reply, or exceeds the limits. The message says which, without the text."""


@attrs.frozen
class Reply:
    """One reply to a command.

    :param code: its three digits.
    :param lines: all of its lines as they came, codes included, line ends not.
    """

    code: int
    lines: tuple[bytes, ...]

    @classmethod
    def of(cls, code: int, text: str) -> Reply:
        """A reply of the gateway's own, in one line."""
        return cls(code, (b"%d %s" % (code, text.encode()),))

    @property
    def preliminary(self) -> bool:
        """Whether another reply to the same command follows (1yz)."""
        return self.code < 200

    @property
    def positive(self) -> bool:
        """Whether the command was carried out (2yz)."""
        return 200 <= self.code < 300

    @property
    def multi_line(self) -> bool:
        """Whether the reply has several lines."""
        return len(self.lines) > 1

    @property
    def size(self) -> int:
        """The number of bytes that are sent."""
        return sum(len(line) + 2 for line in self.lines)

    def render(self) -> bytes:
        """The bytes that are sent, each line ended by CRLF."""
        return b"".join(line + b"\r\n" for line in self.lines)


@attrs.define
class ReplyAssembler:
    """The lines of a reply so far, until it is complete.

    Inner lines may begin with any digits: only a line that begins with the same code and a space ends a multi-line
    reply (RFC 959 section 4.2).

    :param max_lines: the most lines in one reply.
    :param max_bytes: the most bytes in one reply.
    """

    max_lines: int
    max_bytes: int
    _lines: list[bytes] = attrs.field(factory=list, init=False, repr=False)
    _bytes: int = attrs.field(default=0, init=False)
    _last: bytes = attrs.field(default=b"", init=False)

    def feed(self, line: bytes) -> Reply | None:
        """Takes a line; gives the reply that it completes.

        :raises NotFTP: where the line begins no reply, or the reply exceeds the limits.
        """
        if not self._lines:
            match = _FIRST_LINE.fullmatch(line)
            if match is None:
                raise NotFTP("the origin does not speak FTP")
            if match["mark"] != b"-":
                return Reply(int(match["code"]), (line,))
            self._last = match["code"] + b" "
            self._bytes = 0
        self._lines.append(line)
        self._bytes += len(line)
        if len(self._lines) > self.max_lines or self._bytes > self.max_bytes:
            raise NotFTP("the origin sent a reply past the limit")
        if not line.startswith(self._last):
            return None
        lines = tuple(self._lines)
        self._lines.clear()
        return Reply(int(self._last), lines)


def features(reply: Reply, hidden: frozenset[bytes], added: tuple[bytes, ...] = ()) -> Reply:
    """A 211 to FEAT (RFC 2389 section 3.2) without the lines that name a verb in ``hidden``, with those ``added``.

    Added lines reach the client even if the origin does not know FEAT, or has no features.
    """
    first, *inner, last = reply.lines if reply.multi_line else (b"211-Features:", b"211 End")
    kept = [line for line in inner if not hidden.intersection(line.upper().split()[:1])]
    lines = (*kept, *(b" " + line for line in added))
    if lines:
        return Reply(211, (first, *lines, last))
    return reply if not reply.multi_line else Reply.of(211, "No features")
