"""The reading of both ends of a control connection, as the judge's events."""

from __future__ import annotations

from typing import Protocol

import attrs

from gateway.ftp.commands import Command
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import NotFTP
from gateway.ftp.streams import CommandStream, ReplyStream
from gateway.session import events as on


class Reader(Protocol):
    """The judge, as far as its reader knows it."""

    @property
    def hungry(self) -> bool:
        """Whether it takes more commands."""

    @property
    def listens(self) -> bool:
        """Whether it takes more replies."""


@attrs.define
class Reading:
    """The two streams of one session. Replies come first, since a queued command may be waiting for one."""

    commands: CommandStream = attrs.field(factory=CommandStream)
    replies: ReplyStream = attrs.field(factory=ReplyStream)

    def next(self, judge: Reader) -> on.Event | None:
        """The next event; None until more arrives.

        :param judge: says whether it takes replies and commands now.
        """
        if self.replies.waiting and judge.listens and (event := self.next_reply()) is not None:
            return event
        return self._next_command() if self.commands.waiting and judge.hungry else None

    def next_reply(self) -> on.Event | None:
        """The origin's next reply; None until more arrives."""
        try:
            reply = self.replies.next()
        except NotFTP as error:
            return on.OriginBroke(str(error))
        return None if reply is None else on.ReplyReceived(reply)

    def _next_command(self) -> on.Event | None:
        if self.commands.flooded:
            return on.TelnetFlooded()
        found = self.commands.next()
        if isinstance(found, Command):
            return on.CommandReceived(found)
        if isinstance(found, Unclean):
            return on.UncleanReceived(found)
        return None if found is None else on.ForeignReceived()
