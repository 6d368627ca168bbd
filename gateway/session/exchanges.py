"""The exchanges before the origin: at most one command, and beside a transfer STAT, NOOP and ABOR (RFC 959 section
4.1.3). A reply is matched with the command that the origin was sent."""

from __future__ import annotations

import enum
from itertools import chain
from typing import Protocol

import attrs

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply

MAX_EXCHANGES = 64

# The codes that a command beside a transfer may have for its own: its answers, and its refusals.
_BESIDE = {b"STAT": (211, 212, 213), b"NOOP": (200,), b"ABOR": (225, 226)}
_REFUSED = (500, 501, 502, 503, 504, 530)
_NO_PATH = (450, 550)
_LOGIN = (b"USER", b"PASS", b"ACCT")


class By(enum.Enum):
    """The side on whose behalf a command is asked."""

    CLIENT = enum.auto()
    GATEWAY = enum.auto()


@attrs.frozen(eq=False)
class Exchange:
    """One command, and the replies to come.

    :param said: the command that the client said; for one of the gateway's own, the command that it asks.
    :param asked: the command that the origin was sent.
    :param by: the side on whose behalf.
    """

    said: Command
    asked: Command
    by: By = By.CLIENT


class TransferState(Protocol):
    """The transfer, as far as replies depend on it."""

    @property
    def under_way(self) -> bool:
        """Whether a transfer command awaits its final reply."""

    @property
    def running(self) -> bool:
        """Whether it had its 1yz."""


@attrs.define
class Exchanges:
    """The incomplete exchanges, in the order in which they were asked."""

    _open: list[Exchange] = attrs.field(factory=list, init=False)

    @property
    def none(self) -> bool:
        """Whether the origin owes no reply."""
        return not self._open

    @property
    def full(self) -> bool:
        """Whether no more may be asked."""
        return len(self._open) >= MAX_EXCHANGES

    def has(self, verb: bytes) -> bool:
        """Whether the client awaits the reply to a command of that verb."""
        return any(one.said.verb == verb and one.by is By.CLIENT for one in self._open)

    def add(self, exchange: Exchange) -> None:
        """Adds an exchange whose command was asked."""
        self._open.append(exchange)

    def remove(self, exchange: Exchange) -> None:
        """Removes an exchange that has its final reply."""
        self._open.remove(exchange)

    def forget(self, verb: bytes) -> None:
        """Removes the exchanges whose command has that verb: they will have no reply."""
        self._open = [one for one in self._open if one.asked.verb != verb]

    def answered(self, reply: Reply, transfer: TransferState | None = None) -> Exchange | None:
        """The exchange that a reply belongs to; None for a reply that nobody asked for.

        An ABOR comes last, as it may have no reply of its own.

        :param transfer: the state of the transfer; None where there can be none.
        """
        if len(self._open) == 1:
            return None if _is_late(self._open[0].asked, reply.code) else self._open[0]
        beside = (one for one in self._open if transfer and _is_beside(one.asked, reply.code, transfer))
        certain = (one for one in self._open if one.asked.verb != b"ABOR")
        return next(chain(beside, certain, self._open), None)


def may_stand_beside(command: Command) -> bool:
    """Whether a command may be sent while a transfer is under way."""
    return command.verb in _BESIDE


def _is_beside(command: Command, code: int, transfer: TransferState) -> bool:
    """Whether a reply is for that command beside a transfer; a reply that fits both is for the transfer."""
    if not may_stand_beside(command):
        return False
    if code in _BESIDE[command.verb]:
        return command.verb != b"ABOR" or not transfer.under_way
    if not transfer.running:
        return False
    return code in _REFUSED or (code in _NO_PATH and command.verb == b"STAT" and command.argument is not None)


def _is_late(command: Command, code: int) -> bool:
    """Whether a reply is for an ABOR that was given up. No login is answered so; it would pass for a success."""
    return command.verb in _LOGIN and code in _BESIDE[b"ABOR"]
