"""TLS towards the origin: AUTH, PBSZ and PROT, said before the client is greeted (RFC 4217 sections 4 and 9)."""

from __future__ import annotations

import attrs

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.session import actions as do
from gateway.session.exchanges import By, Exchange

_AUTH = Command(b"AUTH", b"TLS")
_COMMANDS = (_AUTH, Command(b"PBSZ", b"0"), Command(b"PROT", b"P"))


class Insecure(Exception):
    """An origin that does not do as it must. The text is for the operator."""


@attrs.define
class OriginTLS:
    """The commands that are still to be asked.

    :param implicit: whether TLS has begun already, with the first byte.
    """

    implicit: bool
    _commands: tuple[Command, ...] = attrs.field(init=False)

    @_commands.default
    def _all(self) -> tuple[Command, ...]:
        return _COMMANDS[1:] if self.implicit else _COMMANDS

    def next(self) -> Exchange | None:
        """The next command, on the gateway's own behalf; None where nothing is left."""
        if not self._commands:
            return None
        command, *rest = self._commands
        self._commands = tuple(rest)
        return Exchange(command, command, By.GATEWAY)

    def answered(self, exchange: Exchange, reply: Reply) -> do.StartOriginTLS | None:
        """The start of the handshake where the origin's final reply leads to it, else None.

        :raises Insecure: where the origin refused; the session never goes on in the clear.
        """
        if not reply.positive:
            raise Insecure(f"{exchange.asked.verb.decode()} was refused with {reply.code}")
        return do.StartOriginTLS() if exchange.asked is _AUTH else None
