"""The usage of a data channel: its bytes, its duration, and how it ended."""

from __future__ import annotations

import enum

import attrs

from gateway.addresses import Address


class Ending(enum.Enum):
    """The ways in which a data channel ends. Events and the log carry the value."""

    COMPLETE = "complete"  # both sides ended, or the one that carried the transfer ended and the session went on
    CLIENT_RESET = "client reset"
    ORIGIN_RESET = "origin reset"
    NO_CLIENT = "client did not come"
    NO_TRANSFER = "no transfer command in time"
    PORT_UNAVAILABLE = "port unavailable"
    TOO_MANY_PORTS = "too many data ports"
    CLIENT_TLS = "client's TLS failed"
    ORIGIN_UNREACHABLE = "origin unreachable"
    ORIGIN_TLS = "origin's TLS failed"
    STALLED = "stalled"
    SUPERSEDED = "origin gave the port to another session"
    ABORTED = "session ended it"
    INTERNAL_ERROR = "internal error"


@attrs.frozen
class Usage:
    """The usage of a data channel that has ended.

    :param client: the address that connected; None where nobody did.
    :param to_client: the bytes that were handed to the client's socket.
    :param to_origin: the bytes that were handed to the origin's socket.
    :param duration: the seconds since its opening.
    :param reason: the reason where a connection or a port failed.
    """

    ending: Ending
    public_port: int
    client: Address | None
    to_client: int
    to_origin: int
    duration: float
    reason: str
