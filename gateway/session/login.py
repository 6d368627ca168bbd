"""The login, as the origin's replies tell it: the gateway knows no users."""

from __future__ import annotations

import attrs

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply

ATTEMPTS = frozenset({b"PASS", b"ACCT"})  # the verbs that may end in a login, or in its refusal


@attrs.define
class LoginState:
    """The user who is logged in, the attempt that waits until it may go, the refusal that waits until it is counted.

    :param user: the name with which the client last logged in, as the client gave it; None before that.
    :param inside: whether the client is logged in.
    :param attempt: the PASS or ACCT that waits; None for none.
    """

    user: str | None = attrs.field(default=None, init=False)
    inside: bool = attrs.field(default=False, init=False)
    attempt: Command | None = attrs.field(default=None, init=False, repr=False)
    _named: bytes = attrs.field(default=b"", init=False, repr=False)
    _refusal: Reply | None = attrs.field(default=None, init=False, repr=False)

    @property
    def held(self) -> bool:
        """Whether the refusal of a login is held; everything behind it waits."""
        return self._refusal is not None

    def names(self, command: Command) -> None:
        """Takes the client's USER."""
        self._named = command.argument or b""

    def admitted(self) -> Command:
        """The attempt that waited."""
        assert self.attempt is not None
        attempt, self.attempt = self.attempt, None
        return attempt

    def logged_in(self) -> None:
        """Takes the origin's 230. Only now the name is known to be a user's, and not a password typed too early."""
        self.user = self._named.decode(errors="backslashreplace")
        self.inside = True

    def reinitialized(self) -> None:
        """Takes the origin's positive reply to REIN."""
        self.inside = False

    def refused(self, reply: Reply) -> None:
        """Holds the refusal of a login until it is counted."""
        self._refusal = reply

    def counted(self) -> Reply:
        """The refusal that was held."""
        assert self._refusal is not None
        refusal, self._refusal = self._refusal, None
        return refusal
