"""Which command a reply answers: at most one, and beside a transfer STAT, NOOP and ABOR (RFC 959 section 4.1.3)."""

from __future__ import annotations

from itertools import chain

import attrs

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.session.transfers import Transfers

MAX_OUTSTANDING = 64

# What answers a command that stands beside a transfer, and refuses it.
_BESIDE = {b"STAT": (211, 212, 213), b"NOOP": (200,), b"ABOR": (225, 226)}
_REFUSED = (500, 501, 502, 503, 504, 530)
_NO_PATH = (450, 550)


@attrs.define
class Outstanding:
    """The commands that are before the origin.

    :param transfers: what tells whether a transfer is under way.
    """

    transfers: Transfers = attrs.field(repr=False)
    _commands: list[Command] = attrs.field(factory=list, init=False)

    @property
    def none(self) -> bool:
        """Whether the origin owes no reply."""
        return not self._commands

    @property
    def full(self) -> bool:
        """Whether no more may be sent."""
        return len(self._commands) >= MAX_OUTSTANDING

    def has(self, verb: bytes) -> bool:
        """Whether a command of that verb is among them."""
        return any(command.verb == verb for command in self._commands)

    def add(self, command: Command) -> None:
        """One more was sent."""
        self._commands.append(command)

    def remove(self, command: Command) -> None:
        """It has its final reply."""
        self._commands.remove(command)

    def forget(self, verb: bytes) -> None:
        """Those of that verb will have no reply."""
        self._commands = [command for command in self._commands if command.verb != verb]

    def answered(self, reply: Reply) -> Command | None:
        """The command that a reply answers; None where it is for none.

        An ABOR comes last, as it may have no reply of its own.
        """
        beside = (command for command in self._commands if self._is_beside(command, reply.code))
        certain = (command for command in self._commands if command.verb != b"ABOR")
        return next(chain(beside, certain, self._commands), None)

    def _is_beside(self, command: Command, code: int) -> bool:
        """Whether a reply is for that command beside a transfer; what may be for either is for the transfer."""
        if not may_stand_beside(command):
            return False
        if code in _BESIDE[command.verb]:
            return command.verb != b"ABOR" or not self.transfers.under_way
        if not self.transfers.running:
            return False
        return code in _REFUSED or (code in _NO_PATH and command.verb == b"STAT" and command.argument is not None)


def may_stand_beside(command: Command) -> bool:
    """Whether a command may be sent while a transfer is under way."""
    return command.verb in _BESIDE
