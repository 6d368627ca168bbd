"""The events that can happen to a session."""

from __future__ import annotations

from ipaddress import IPv4Address

import attrs

from gateway.addresses import Address, PortMap
from gateway.ftp.commands import Command
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import Reply
from gateway.machine import Name


class Deadline(Name):
    """The deadlines of a session; the performer knows the length of each."""

    LOGIN = "login"  # from connect to a successful login
    IDLE = "idle"  # no command and no transfer under way
    GRACE = "grace"  # from the end of a failed transfer to the end of its data channel, or to the reply to ABOR


class Towards(Name):
    """A direction of bytes on the data channel."""

    CLIENT = "client"
    ORIGIN = "origin"


@attrs.frozen
class Started:
    """The client connected."""


@attrs.frozen
class OriginConnected:
    """The control connection to the origin is up.

    :param address: the origin's address.
    :param host: its host name; None where the configuration has its address.
    :param ports: its passive ports.
    """

    address: Address
    host: str | None
    ports: PortMap


@attrs.frozen
class OriginFailed:
    """The origin could not be reached. ``reason`` is for the operator alone."""

    reason: str


@attrs.frozen
class CommandReceived:
    """A command arrived. This event and the next two come in the order of the client's bytes."""

    command: Command


@attrs.frozen
class UncleanReceived:
    """A line was dropped."""

    unclean: Unclean


@attrs.frozen
class ForeignReceived:
    """The client speaks another protocol: HTTP, SMTP or TLS."""


@attrs.frozen
class TelnetFlooded:
    """The client sent too many Telnet commands."""


@attrs.frozen
class ReplyReceived:
    """A complete first-level reply arrived from the origin."""

    reply: Reply


@attrs.frozen
class OriginBroke:
    """The origin sent a text that is not a reply, or too much. ``reason`` is for the operator alone."""

    reason: str


@attrs.frozen
class ClientSecured:
    """The client's control connection has TLS now."""


@attrs.frozen
class OriginSecured:
    """The origin's control connection has TLS now."""


@attrs.frozen
class ClientTLSFailed:
    """The client's control connection cannot have TLS. ``reason`` is for the operator alone."""

    reason: str


@attrs.frozen
class OriginTLSFailed:
    """The origin's control connection cannot have TLS, or shows the wrong certificate."""

    reason: str


@attrs.frozen
class Injected:
    """Bytes came in the clear behind the message that begins TLS (CVE-2011-0411 and its kin)."""


@attrs.frozen
class OpaqueMoved:
    """Bytes passed on a control connection that the gateway cannot read."""


@attrs.frozen
class OpaqueChannels:
    """The number of open data channels changed, in a session that the gateway cannot read."""

    count: int


@attrs.frozen
class DataReserved:
    """The client may have a data port."""


@attrs.frozen
class DataDenied:
    """The client has as many data ports as it may.

    :param limit: their number.
    """

    limit: int


@attrs.frozen
class DataListening:
    """The data port listens.

    :param host: the IPv4 address that a 227 names; None where none is known now.
    """

    host: IPv4Address | None


@attrs.frozen
class DataConnected:
    """The origin's data port accepted."""


@attrs.frozen
class DataDelivered:
    """One direction's end of file was passed on, and every byte before it."""

    towards: Towards


@attrs.frozen
class DataEnded:
    """The data channel is gone, or could not be set up.

    :param insecure: whether the client's TLS on it failed.
    :param expired: whether a connection came, but no transfer command in time.
    """

    insecure: bool = False
    expired: bool = False


@attrs.frozen
class LoginAdmitted:
    """The attempt to log in may go to the origin."""


@attrs.frozen
class Banned:
    """The client is banned, and not logged in."""


@attrs.frozen
class FailedLoginCounted:
    """The reply to a failed login may go on.

    :param last: whether it was one too many.
    """

    last: bool


@attrs.frozen
class ClientLost:
    """The client's control connection is gone."""


@attrs.frozen
class OriginLost:
    """The origin's control connection is gone."""


@attrs.frozen
class DeadlinePassed:
    """A deadline that was armed has passed."""

    deadline: Deadline


@attrs.frozen
class Draining:
    """The gateway is about to stop: no new transfer begins."""


@attrs.frozen
class Stopped:
    """The gateway stops now."""


Event = (
    Started
    | OriginConnected
    | OriginFailed
    | CommandReceived
    | UncleanReceived
    | ForeignReceived
    | TelnetFlooded
    | ReplyReceived
    | OriginBroke
    | ClientSecured
    | OriginSecured
    | ClientTLSFailed
    | OriginTLSFailed
    | Injected
    | OpaqueMoved
    | OpaqueChannels
    | DataReserved
    | DataDenied
    | DataListening
    | DataConnected
    | DataDelivered
    | DataEnded
    | LoginAdmitted
    | Banned
    | FailedLoginCounted
    | ClientLost
    | OriginLost
    | DeadlinePassed
    | Draining
    | Stopped
)
