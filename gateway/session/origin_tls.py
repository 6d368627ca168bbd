"""The judge's part for TLS towards the origin: it is secure before the client is greeted, or the session ends."""

from __future__ import annotations

import attrs

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.session import actions as do
from gateway.session.actions import Action

# RFC 4217 sections 4 and 9.
_AUTH = Command(b"AUTH", b"TLS")
_COMMANDS = (_AUTH, Command(b"PBSZ", b"0"), Command(b"PROT", b"P"))


class Insecure(Exception):
    """The origin does not do what it must. The text is for the operator."""


@attrs.define
class OriginTLS:
    """What is left to say to the origin.

    :param implicit: whether TLS has begun already, with the first byte.
    """

    implicit: bool
    _commands: tuple[Command, ...] = attrs.field(init=False)

    @_commands.default
    def _all(self) -> tuple[Command, ...]:
        return _COMMANDS[1:] if self.implicit else _COMMANDS

    def next(self) -> Action | None:
        """What is to be done now; None where nothing is left."""
        return do.SendToOrigin(self._commands[0].render()) if self._commands else None

    def answered(self, reply: Reply) -> Action | None:
        """The same, once the origin has answered.

        :raises Insecure: where it refused; there is no way on in the clear.
        """
        command, *rest = self._commands
        self._commands = tuple(rest)
        if not reply.positive:
            raise Insecure(f"{command.verb.decode()} was refused with {reply.code}")
        return do.StartOriginTLS() if command is _AUTH else self.next()
