"""The actions that a session asks for, in order. Each class's docstring is the order to the performer."""

from __future__ import annotations

import enum

import attrs

from gateway.observe.records import Record
from gateway.session.events import Deadline, Towards


class Outcome(enum.Enum):
    """The ways in which a session ends. Events and the log carry the value."""

    QUIT = "quit"
    CLIENT_LOST = "client lost"
    CLIENT_UNCLEAN = "client sent unclean lines"
    CLIENT_UNKNOWN = "client sent unknown commands"
    CLIENT_TELNET = "client sent Telnet commands"
    CLIENT_FOREIGN = "client speaks no FTP"
    ORIGIN_UNREACHABLE = "origin unreachable"
    ORIGIN_SILENT = "origin sent no greeting"
    ORIGIN_REFUSED = "origin refused the session"
    ORIGIN_CLOSED = "origin closed the session"
    ORIGIN_BROKE = "origin speaks no FTP"
    ORIGIN_LOST = "origin lost"
    CLIENT_TLS = "client's TLS failed"
    ORIGIN_TLS = "origin's TLS failed"
    INJECTED = "bytes in the clear behind AUTH"
    LOGIN_TIMEOUT = "login timeout"
    IDLE_TIMEOUT = "idle timeout"
    LOGIN_FAILURES = "too many failed logins"
    DRAINED = "gateway stopped"
    INTERNAL_ERROR = "internal error"


@attrs.frozen
class ConnectOrigin:
    """Resolve the origin's name anew and connect."""


@attrs.frozen
class SendToClient:
    """Send these bytes, in one write."""

    data: bytes


@attrs.frozen
class SendToOrigin:
    """Send these bytes, in one write. They may hold a password: never log them."""

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class StartClientTLS:
    """Send these bytes and begin TLS as the server. If bytes wait already, report that instead."""

    data: bytes


@attrs.frozen
class StartOriginTLS:
    """Begin TLS with the origin. If bytes wait already, report that instead."""


@attrs.frozen
class GoOpaque:
    """Relay the control connections byte for byte from now on, and open the whole passive range to the client's
    address. If bytes wait already, report that instead. Send these bytes to the client first."""

    data: bytes


@attrs.frozen
class BeginData:
    """Begin the transfer: the data channel may relay, with or without TLS on the client's side.

    :param towards: the direction of its bytes; None where that is not known.
    """

    secure: bool
    towards: Towards | None


@attrs.frozen
class ReserveData:
    """Count a data port for the client, if the session has none, and report whether it may have one."""


@attrs.frozen
class FreeData:
    """Count the session's data port no longer: the origin does not listen there any more."""


@attrs.frozen
class OpenData:
    """Listen on the public port for the client, and end the previous data channel. Dial the origin's port once the
    client came."""

    origin_port: int
    public_port: int


@attrs.frozen
class DialData:
    """Dial the origin's data port now, even if the client has not come."""


@attrs.frozen
class ReleaseData:
    """Release the data channel of a complete transfer: it may go when both sides are done with it."""


@attrs.frozen
class AbortData:
    """End the data channel at once, and never so that its file looks whole."""


@attrs.frozen
class AttemptLogin:
    """Count an attempt to log in, and report it once it may go to the origin, or that the client is banned."""


@attrs.frozen
class ConfirmLogin:
    """Take the attempt to log in back, if there is one: the origin let the client in."""


@attrs.frozen
class ReapplyLogin:
    """Take the client for one that is not logged in: it logged out."""


@attrs.frozen
class WithdrawLogin:
    """Take the attempt to log in back: the origin tested no password."""


@attrs.frozen
class CountFailedLogin:
    """Count a login that the origin refused, and report it once the reply may go on to the client."""


@attrs.frozen
class Arm:
    """Start a deadline, or restart it where it runs."""

    deadline: Deadline


@attrs.frozen
class Disarm:
    """Stop a deadline."""

    deadline: Deadline


@attrs.frozen
class Note:
    """Write an event down. It never holds one of the client's arguments."""

    record: Record


@attrs.frozen
class Close:
    """Close both control connections once all that was sent is flushed, and the data channel now."""

    outcome: Outcome


Action = (
    ConnectOrigin
    | SendToClient
    | SendToOrigin
    | StartClientTLS
    | StartOriginTLS
    | GoOpaque
    | BeginData
    | ReserveData
    | FreeData
    | OpenData
    | DialData
    | ReleaseData
    | AbortData
    | AttemptLogin
    | ConfirmLogin
    | ReapplyLogin
    | WithdrawLogin
    | CountFailedLogin
    | Arm
    | Disarm
    | Note
    | Close
)

Actions = list[Action]  # in order of execution
