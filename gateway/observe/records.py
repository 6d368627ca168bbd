"""The events: a frozen class for each kind of event that an operator may want to know.

The documentation's catalogue is made from these classes: the docstring says when an event is written, its parameters
say what the fields mean. A field is written under its attribute's name in camel case; a field with the value None is
left out, unless its metadata says otherwise.

The file is long because it is a catalogue: each event stands here once, with its words for the operator.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

import attrs

NULL = {"null": True}  # metadata: None is written as null


class Scope(enum.Enum):
    """The subject of an event, whose fields stand in the event as well."""

    SESSION = enum.auto()  # application, session, client
    CLIENT = enum.auto()  # application, client
    APPLICATION = enum.auto()  # application; session and client where a session is the subject
    GATEWAY = enum.auto()


@attrs.frozen
class Record:
    """One event, without the time and without the session that it belongs to.

    :param name: the event's name.
    """

    name: ClassVar[str]
    scope: ClassVar[Scope] = Scope.SESSION

    @property
    def always(self) -> bool:
        """Whether a session writes it down, however many of its name there were."""
        return False

    def fields(self) -> dict[str, Any]:
        """The fields by the names under which they are written. No field ever holds a password."""
        found = {}
        for attribute, written, null in _FIELDS[type(self)]:
            value = getattr(self, attribute)
            if value is not None or null:
                found[written] = value.value if isinstance(value, enum.Enum) else value
        return found


class Note(Protocol):
    """The function that writes an event down."""

    def __call__(self, record: Record, session: int | None = None, client: str | None = None) -> None:
        """Writes one event.

        :param session: the number of the session that it belongs to.
        :param client: the address of the client that it belongs to.
        """


# Sessions, and clients that were not let in


@attrs.frozen
class Connected(Record):
    """A client connected.

    :param proxy: the address of the load balancer whose header told of the client; else missing.
    :param country: the client's country, two letters, where ``geo.country`` knows it; else missing.
    :param asn: the client's AS number, where ``geo.asn`` knows it; else missing.
    """

    name = "connect"
    always = True

    proxy: str | None = None
    country: str | None = None
    asn: int | None = None


@attrs.frozen
class Disconnected(Record):
    """The session ended. There is exactly one for each ``connect``.

    :param outcome: why, see below.
    :param duration: seconds.
    :param user: the name with which the client logged in, as the client gave it; else missing.
    :param bytes_to_client: bytes of data that the client was sent.
    :param bytes_to_origin: bytes of data that the origin was sent.
    :param transfers: data connections that carried a transfer.
    :param origin: the address of the origin; else missing: the session had none.
    :param tls_version: the version of TLS on the client's control connection; else missing: it was in the clear.
    :param tls_cipher: its cipher; else missing.
    :param origin_tls_version: the version of TLS on the origin's control connection; else missing.
    :param origin_tls_cipher: its cipher; else missing.
    """

    name = "disconnect"
    always = True

    outcome: str
    duration: float
    bytes_to_client: int
    bytes_to_origin: int
    transfers: int
    user: str | None = None
    origin: str | None = None
    tls_version: str | None = None
    tls_cipher: str | None = None
    origin_tls_version: str | None = None
    origin_tls_cipher: str | None = None


@attrs.frozen
class ClientFiltered(Record):
    """A client was not let in. At most ten are written for each client at once, and ten more in each minute.

    :param reason: why, see below.
    :param network: the network by which ``access`` denies the client; else missing.
    :param list: the file that names this network, where a list does; else missing.
    :param country: the client's country, two letters, where ``geo.country`` knows it; else missing.
    :param asn: the client's AS number, where ``geo.asn`` knows it; else missing.
    """

    name = "clientFiltered"
    scope = Scope.CLIENT

    reason: str
    network: str | None = None
    list: str | None = None
    country: str | None = None
    asn: int | None = None


@attrs.frozen
class ClientBanned(Record):
    """Too many logins of the client failed. The gateway does not let it in for a time.

    :param failures: the number of failed logins.
    :param seconds: the length of the ban.
    """

    name = "clientBanned"
    always = True

    failures: int
    seconds: float


@attrs.frozen
class EventsWithheld(Record):
    """The session had |max-events| events of one name, or its client |max-client-events| of any in a minute. Those of
    that name that follow are not written, except ``dataChannel`` where it carried a transfer.

    :param of: that name.
    """

    name = "eventsWithheld"
    always = True

    of: str


@attrs.frozen
class CommandRefused(Record):
    """The gateway answered a command itself, with a refusal.

    :param verb: the command, or ``?`` where it is unknown: it might be a password.
    :param reply: the refusal.
    :param reason: for a line that was dropped, the mistake in it; else missing.
    """

    name = "commandRefused"

    verb: str
    reply: str
    reason: str | None = None


@attrs.frozen
class ProxyHeaderRefused(Record):
    """A connection from one of ``proxy_protocol.accept_from`` did not begin with a PROXY header, and was closed. Is
    the balancer set to send one, on the data ports as well? At one port |max-newcomers| connections may owe it at a
    time; beyond that they are closed at once.

    :param proxy: the balancer's address.
    :param reason: the mistake.
    :param port: on a data connection the public port; else missing.
    """

    name = "proxyHeaderRefused"
    scope = Scope.APPLICATION

    proxy: str
    reason: str
    port: int | None = None


@attrs.frozen
class AccessFileRead(Record):
    """A list of ``access``, or a database of ``geo``, changed and was read again. New clients are judged by it.

    :param path: the file.
    :param networks: the number of networks in a list; else missing.
    :param built: the day on which a database was made; else missing.
    """

    name = "accessFileRead"
    scope = Scope.GATEWAY

    path: str
    networks: int | None = None
    built: str | None = None


@attrs.frozen
class AccessFileRefused(Record):
    """A list of ``access``, or a database of ``geo``, changed and cannot be used, or is gone. What was read before
    still holds. Written once, until the file changes again.

    :param path: the file.
    :param reason: why.
    """

    name = "accessFileRefused"
    scope = Scope.GATEWAY

    path: str
    reason: str


# Data connections


@attrs.frozen
class DataChannelEnded(Record):
    """A data channel ended, or could not be opened.

    :param data_client: the address that connected, null for none.
    :param port: the public port.
    :param origin_port: the origin's port.
    :param to_client: bytes to the client.
    :param to_origin: bytes to the origin.
    :param duration: seconds since the channel was opened.
    :param outcome: how it ended, see below.
    :param reason: the system's words where a connection or a port failed; else missing.
    """

    name = "dataChannel"

    data_client: str | None = attrs.field(metadata=NULL)
    port: int
    origin_port: int
    to_client: int
    to_origin: int
    duration: float
    outcome: str
    reason: str | None = None

    @property
    def always(self) -> bool:
        """Whether it carried a transfer, even of an empty file. A client may open others as fast as it asks."""
        return self.to_client > 0 or self.to_origin > 0 or self.outcome == "complete"


@attrs.frozen
class StrangerRefused(Record):
    """Another address than the client's connected to a data port, and was turned away. The port goes on waiting.

    :param stranger: that address.
    :param port: the public port.
    """

    name = "strangerRefused"

    stranger: str
    port: int


@attrs.frozen
class DataPortOutOfRange(Record):
    """The origin named a port outside ``data_ports``: its passive range, or that key, is wrong. The client was told
    425.

    :param port: that port.
    :param range: the range in ``data_ports``.
    """

    name = "dataPortOutOfRange"

    port: int
    range: str


@attrs.frozen
class TooManyDataPorts(Record):
    """The client asked for a data port, but its sessions await as many as ``data_ports_per_client`` allows. It got
    425.

    :param limit: that number.
    """

    name = "tooManyDataPorts"

    limit: int


@attrs.frozen
class DataPortsUnavailable(Record):
    """In the mode ``passthrough``, some of the data ports could not be bound.

    :param ports: their numbers, with commas between.
    """

    name = "dataPortsUnavailable"

    ports: str


@attrs.frozen
class TooManyDataChannels(Record):
    """In the mode ``passthrough``, a client opened more data connections at once than one session may have; this one
    was reset.

    :param data_client: the address that connected.
    :param port: the public port.
    """

    name = "tooManyDataChannels"

    data_client: str
    port: int


@attrs.frozen
class DescriptorsExhausted(Record):
    """The process had no file descriptor left for new connections, so they were closed. At most one in a minute.

    :param refused: the number of connections that were closed since the last one; 0 where even that was not possible,
        and they wait.
    """

    name = "descriptorsExhausted"
    scope = Scope.GATEWAY

    refused: int


# Origins, TLS, names


@attrs.frozen
class OriginError(Record):
    """The origin failed, or did what no origin may.

    :param reason: the failure.
    """

    name = "originError"

    reason: str


class TLSSide(enum.Enum):
    """The places where TLS can fail. Events carry the value."""

    CLIENT = "client"
    CLIENT_DATA = "client data"
    ORIGIN = "origin"
    ORIGIN_DATA = "origin data"
    CONTROL = "control"
    CERTIFICATE = "certificate"


@attrs.frozen
class TLSFailed(Record):
    """TLS failed: see :doc:`tls`.

    :param side: the place, see there.
    :param reason: why, in OpenSSL's words where OpenSSL says it.
    :param data_client: on a client's data connection the address that connected; else missing.
    :param port: on a data connection the port, public or the origin's; else missing.
    """

    name = "tlsError"
    scope = Scope.APPLICATION

    side: TLSSide
    reason: str
    data_client: str | None = None
    port: int | None = None


@attrs.frozen
class PublicAddressUnresolved(Record):
    """The name in ``public_address`` does not resolve. The last good answer stays; before the first, PASV is answered
    425. Written once, until the name resolves again.

    :param host: the name.
    :param address: the last good answer, or an empty text.
    """

    name = "publicAddressUnresolved"
    scope = Scope.GATEWAY

    host: str
    address: str


@attrs.frozen
class PublicAddressChanged(Record):
    """The name in ``public_address`` has a new address.

    :param host: the name.
    :param before: the old address.
    :param address: the new address.
    """

    name = "publicAddressChanged"
    scope = Scope.GATEWAY

    host: str
    before: str
    address: str


# The events themselves


@attrs.frozen
class EventsDropped(Record):
    """Events and lines of the log came faster than their readers took them, or a reader stalled. The gateway goes on
    without those that do not fit into its queue. Written once there is room again, in the place of those.

    :param count: the number of events and lines of the log that were dropped.
    """

    name = "eventsDropped"
    scope = Scope.GATEWAY
    always = True

    count: int


def _all() -> Iterator[type[Record]]:
    for one in globals().values():
        if isinstance(one, type) and issubclass(one, Record) and one is not Record:
            yield one


RECORDS: tuple[type[Record], ...] = tuple(_all())


def written_as(attribute: str) -> str:
    """The name under which an attribute is written: ``data_client`` is ``dataClient``."""
    first, *others = attribute.split("_")
    return first + "".join(map(str.capitalize, others))


_FIELDS: Mapping[type[Record], tuple[tuple[str, str, bool], ...]] = {
    record: tuple((one.name, written_as(one.name), "null" in one.metadata) for one in attrs.fields(record))
    for record in RECORDS
}
