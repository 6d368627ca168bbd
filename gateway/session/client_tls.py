"""The judge's part for TLS towards the client: AUTH, PBSZ, PROT and CCC (RFC 4217)."""

from __future__ import annotations

import enum

import attrs

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.machine import Machine
from gateway.session.tables import PROTECTION, Cause, Protection

STARTING = Reply.of(234, "TLS is next.")
ALREADY = Reply.of(503, "The control connection has TLS already.")
UNKNOWN_MECHANISM = Reply.of(504, "Only AUTH TLS is known here.")
AUTH_FIRST = Reply.of(503, "AUTH TLS comes first.")
PBSZ_FIRST = Reply.of(503, "PBSZ 0 comes first.")
BUFFER_SIZE = Reply.of(200, "PBSZ=0")
PROTECTION_CLEAR = Reply.of(200, "Data connections are in the clear.")
PROTECTION_PRIVATE = Reply.of(200, "Data connections have TLS.")
UNKNOWN_PROTECTION = Reply.of(504, "Unknown protection level.")
NO_SUCH_PROTECTION = Reply.of(536, "TLS knows the protection levels C and P alone.")
POLICY = Reply.of(534, "Denied by policy: the control connection stays protected.")
CLEAR_DENIED = Reply.of(534, "Denied by policy: data connections stay protected.")
CONTROL_REQUIRED = Reply.of(530, "TLS is required: send AUTH TLS before you log in.")
DATA_REQUIRED = Reply.of(522, "TLS is required on data connections: send PBSZ 0 and PROT P.")

_MECHANISMS = {b"TLS", b"TLS-C", b"SSL", b"TLS-P"}
_PRIVATE_AT_ONCE = {b"SSL", b"TLS-P"}  # the words of the drafts before RFC 4217
_LOGIN_VERBS = (b"USER", b"PASS", b"ACCT")


class Requirement(enum.Enum):
    """The connections that must have TLS."""

    NONE = enum.auto()
    CONTROL = enum.auto()
    DATA = enum.auto()  # and the control connection


@attrs.frozen
class TLSTerms:
    """The terms for TLS on either side.

    :param terminates: whether the gateway ends the client's TLS.
    :param implicit: whether that TLS begins with the client's first byte.
    :param require: the connections of the client that must have TLS.
    :param passthrough: whether the origin answers AUTH, and the gateway sees nothing after it.
    :param to_origin: whether the gateway speaks TLS to the origin.
    :param origin_implicit: whether that TLS begins with the first byte.
    """

    terminates: bool = False
    implicit: bool = False
    require: Requirement = Requirement.NONE
    passthrough: bool = False
    to_origin: bool = False
    origin_implicit: bool = False


@attrs.define
class ClientTLS:
    """The protection of one client's session."""

    terms: TLSTerms = attrs.field(repr=False)
    _state: Machine[Protection, Cause] = attrs.field(init=False)
    _sized: bool = attrs.field(default=False, init=False)  # PBSZ was sent

    @_state.default
    def _first(self) -> Machine[Protection, Cause]:
        return Machine(PROTECTION, Protection.CLEAR)

    @property
    def starting(self) -> bool:
        """Whether the handshake of the control connection is under way."""
        return self._state.state in (Protection.STARTING, Protection.STARTING_PRIVATE)

    @property
    def secure(self) -> bool:
        """Whether the control connection has TLS."""
        return self._state.state in (Protection.CONTROL, Protection.PRIVATE)

    @property
    def private(self) -> bool:
        """Whether data connections have TLS."""
        return self._state.state is Protection.PRIVATE

    def implicit(self) -> None:
        """Begins TLS with the first byte; data connections have it as well, unless PROT C comes."""
        self._state.move(Cause.AUTH_PRIVATE)

    def secured(self) -> None:
        """Completes the handshake of the control connection."""
        self._state.move(Cause.SECURED)

    def answer(self, command: Command) -> Reply:
        """The reply to AUTH, PBSZ, PROT or CCC. A 234 begins the handshake."""
        argument = (command.argument or b"").strip().upper()
        clear = self._state.state is Protection.CLEAR
        match command.verb:
            case b"AUTH" if not clear:
                return ALREADY
            case b"AUTH" if argument not in _MECHANISMS:
                return UNKNOWN_MECHANISM
            case b"AUTH":
                self._state.move(Cause.AUTH_PRIVATE if argument in _PRIVATE_AT_ONCE else Cause.AUTH)
                return STARTING
            case b"CCC" if not clear:
                return POLICY
            case _ if clear:
                return AUTH_FIRST
            case b"PBSZ":
                self._sized = True
                return BUFFER_SIZE
            case _:
                return self._protect(argument)

    def _protect(self, level: bytes) -> Reply:
        if not self._sized:
            return PBSZ_FIRST
        match level:
            case b"P":
                self._state.move(Cause.PROT_P)
                return PROTECTION_PRIVATE
            case b"C" if self.terms.require is Requirement.DATA:
                return CLEAR_DENIED
            case b"C":
                self._state.move(Cause.PROT_C)
                return PROTECTION_CLEAR
            case b"S" | b"E":
                return NO_SUCH_PROTECTION
            case _:
                return UNKNOWN_PROTECTION

    def refusal(self, command: Command) -> Reply | None:
        """The refusal of a command that may not be sent in the clear; None where it may."""
        require = self.terms.require
        if require is Requirement.NONE:
            return None
        if command.verb in _LOGIN_VERBS and self._state.state is Protection.CLEAR:
            return CONTROL_REQUIRED
        if require is Requirement.DATA and command.transfers and not self.private:
            return DATA_REQUIRED
        return None
