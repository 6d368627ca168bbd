"""What a session asks to be done, in this order."""

from __future__ import annotations

import enum

import attrs

from gateway.observe.records import Record
from gateway.session.events import Deadline, Towards


class Outcome(enum.Enum):
    """How a session ended. The value is what events and the log say."""

    QUIT = "quit"
    CLIENT_LOST = "client lost"
    CLIENT_UNCLEAN = "client sent unclean lines"
    CLIENT_UNKNOWN = "client sent unknown commands"
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
    """Send these bytes and begin TLS as the server, unless bytes wait already: then that is told instead."""

    data: bytes


@attrs.frozen
class StartOriginTLS:
    """Begin TLS with the origin, unless bytes wait already: then that is told instead."""


@attrs.frozen
class GoOpaque:
    """From now on relay the control connections byte for byte, and open the whole passive range to the client's
    address; unless bytes wait already: then that is told instead. Send these bytes to the client first."""

    data: bytes


@attrs.frozen
class BeginData:
    """The transfer begins: the data channel may relay, with or without TLS on the client's side.

    :param towards: where its bytes go; None where that is not known.
    """

    secure: bool
    towards: Towards | None


@attrs.frozen
class OpenData:
    """Listen on the public port for the client, and end the data channel there was; its origin's port is dialled
    once the client came."""

    origin_port: int
    public_port: int


@attrs.frozen
class DialData:
    """Dial the origin's data port now, whether or not the client came."""


@attrs.frozen
class ReleaseData:
    """The transfer is complete: the data channel may go when both sides are done with it."""


@attrs.frozen
class AbortData:
    """End the data channel at once, and never so that what it carried looks whole."""


@attrs.frozen
class CountFailedLogin:
    """Have it counted that the origin refused a login, and tell so once its reply may go on to the client."""


@attrs.frozen
class Arm:
    """Start a deadline, anew where it runs."""

    deadline: Deadline


@attrs.frozen
class Disarm:
    """Stop a deadline."""

    deadline: Deadline


@attrs.frozen
class Note:
    """Write an event down. It never holds an argument of the client's."""

    record: Record


@attrs.frozen
class Close:
    """Close both control connections once what was sent is flushed, and the data channel now."""

    outcome: Outcome


Action = (
    ConnectOrigin
    | SendToClient
    | SendToOrigin
    | StartClientTLS
    | StartOriginTLS
    | GoOpaque
    | BeginData
    | OpenData
    | DialData
    | ReleaseData
    | AbortData
    | CountFailedLogin
    | Arm
    | Disarm
    | Note
    | Close
)

Actions = list[Action]  # in the order in which they are to be done
