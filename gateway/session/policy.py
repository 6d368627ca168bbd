"""The policy: which commands are refused, and with which reply."""

from __future__ import annotations

import attrs

from gateway.ftp.commands import VERBS, Command, Kind
from gateway.ftp.replies import Reply

NOT_UNDERSTOOD = Reply.of(500, "Command not understood.")
ACTIVE_REFUSED = Reply.of(502, "Active mode is not supported; use EPSV or PASV.")
HIDING_REFUSED = Reply.of(502, "Command not supported.")
TLS_REFUSED = Reply.of(502, "TLS is not available on this server.")
DENIED = Reply.of(550, "Permission denied: command not allowed on this server.")
READ_ONLY = Reply.of(550, "Permission denied: this server is read-only.")

_REFUSED = {Kind.ACTIVE: ACTIVE_REFUSED, Kind.HIDING: HIDING_REFUSED, Kind.TLS: TLS_REFUSED}


@attrs.frozen
class Policy:
    """The commands that an application relays.

    :param allow: verbs relayed besides the known ones.
    :param deny: verbs refused, known or not.
    :param read_only: whether the verbs that change the origin are refused.
    :param tls: whether AUTH and its kin are answered, by the gateway or by the origin.
    """

    allow: frozenset[bytes] = frozenset()
    deny: frozenset[bytes] = frozenset()
    read_only: bool = False
    tls: bool = False

    def refusal(self, command: Command) -> Reply | None:
        """The reply to a command that the origin must not see; None where it may."""
        verb = VERBS.get(command.verb)
        if verb is not None and verb.kind in _REFUSED and not (self.tls and verb.kind is Kind.TLS):
            return _REFUSED[verb.kind]
        if command.verb in self.deny:
            return DENIED
        if verb is None:
            return None if command.verb in self.allow else NOT_UNDERSTOOD
        return READ_ONLY if self.read_only and command.writes else None

    @property
    def hidden(self) -> frozenset[bytes]:
        """The verbs that a FEAT reply must not offer."""
        return self.deny | {verb for verb in VERBS if self.refusal(Command(verb)) is not None}
