"""The two byte streams of a control connection: a client's commands, and an origin's replies.

A stream is fed any bytes and gives one command or reply at a time, so that its reader can stop between any two. It
holds no more than one read and one line, or one incomplete reply.
"""

from __future__ import annotations

import enum

import attrs

from gateway.ftp.commands import TLS_HANDSHAKE, Command
from gateway.ftp.lines import LineReader, Unclean
from gateway.ftp.replies import NotFTP, Reply, ReplyAssembler
from gateway.ftp.telnet import TelnetFilter

MAX_COMMAND = 4096  # bytes in a command line
MAX_TELNET = 1000  # Telnet commands in a session
MAX_REPLY_LINE = 8192  # bytes in one line of a reply
MAX_REPLY_LINES = 1000
MAX_REPLY = 1024 * 1024  # bytes in one reply
MAX_PRELIMINARY = 1000  # preliminary replies in a row


class Foreign(enum.Enum):
    """The first bytes of another protocol, where a command should begin."""

    TLS = bytes([TLS_HANDSHAKE])
    PROXY_HEADER = b"\r\n\r\n\0\r\nQUIT\n"  # version 2; version 1 is an unknown command


_FOREIGN = tuple(one.value for one in Foreign)


@attrs.define
class CommandStream:
    """A client's commands: Telnet is taken out, lines are split, verbs are parsed.

    :param limit: the longest command line, in bytes.
    :param waiting: whether there may be a command.
    """

    limit: int = MAX_COMMAND
    waiting: bool = attrs.field(default=False, init=False)
    _telnet: TelnetFilter = attrs.field(factory=TelnetFilter, init=False, repr=False)
    _lines: LineReader = attrs.field(init=False, repr=False)
    _foreign: Foreign | None = attrs.field(default=None, init=False)

    @_lines.default
    def _no_lines(self) -> LineReader:
        return LineReader(self.limit)

    @property
    def ahead(self) -> bool:
        """Whether any byte came behind the last command, even a lone Telnet command."""
        return not self._lines.empty or not self._telnet.ends_in_text or self._foreign is not None

    @property
    def flooded(self) -> bool:
        """Whether too many Telnet commands came; then there is no text any more."""
        return self._telnet.commands > MAX_TELNET

    def feed(self, data: bytes) -> None:
        """Takes the client's next bytes; at least one."""
        self.waiting = True
        if data.startswith(_FOREIGN) and self._lines.empty and self._foreign is None:
            self._foreign = next(one for one in Foreign if data.startswith(one.value))
        if self._foreign is None and not self.flooded:
            self._lines.feed(self._telnet.strip(data))

    def next(self) -> Command | Unclean | Foreign | None:
        """The next command, or the reason why its line was dropped; None until more arrives."""
        if self._foreign is not None:
            foreign, self._foreign, self.waiting = self._foreign, None, False
            return foreign
        line = self._lines.next_line()
        self.waiting = self._lines.waiting
        return line if line is None or isinstance(line, Unclean) else Command.parse(line)


@attrs.define
class ReplyStream:
    """An origin's replies, each complete.

    :param limit: the longest line, in bytes.
    :param max_lines: the most lines in one reply.
    :param max_bytes: the most bytes in one reply.
    :param max_preliminary: the most preliminary replies in a row.
    :param waiting: whether there may be a reply.
    """

    limit: int = MAX_REPLY_LINE
    max_lines: int = MAX_REPLY_LINES
    max_bytes: int = MAX_REPLY
    max_preliminary: int = MAX_PRELIMINARY
    waiting: bool = attrs.field(default=False, init=False)
    _lines: LineReader = attrs.field(init=False, repr=False)
    _assembler: ReplyAssembler = attrs.field(init=False, repr=False)
    _preliminary: int = attrs.field(default=0, init=False, repr=False)

    @_lines.default
    def _no_lines(self) -> LineReader:
        return LineReader(self.limit)

    @_assembler.default
    def _no_replies(self) -> ReplyAssembler:
        return ReplyAssembler(self.max_lines, self.max_bytes)

    @property
    def ahead(self) -> bool:
        """Whether any byte came behind the last reply."""
        return not self._lines.empty

    def feed(self, data: bytes) -> None:
        """Takes the origin's next bytes."""
        self.waiting = True
        self._lines.feed(data)

    def next(self) -> Reply | None:
        """The next reply; None until more arrives.

        :raises NotFTP: where the origin sent no reply, or one that exceeds the limits; the stream is useless then.
        """
        while (line := self._lines.next_line()) is not None:
            if line is Unclean.TOO_LONG:
                raise NotFTP("reply line too long")
            if isinstance(line, Unclean):
                raise NotFTP(f"reply not clean: {line.value}")
            reply = self._assembler.feed(line)
            if reply is not None:
                self.waiting = self._lines.waiting
                self._preliminary = self._preliminary + 1 if reply.preliminary else 0
                if self._preliminary > self.max_preliminary:
                    raise NotFTP("too many preliminary replies")
                return reply
        if self._lines.overflowing:
            raise NotFTP("reply line too long")
        self.waiting = False
        return None
