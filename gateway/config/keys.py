"""Every table and key of the configuration, with its default and its documentation.

The configuration reference takes its words from `doc` in a field's metadata. `key` is there where the TOML's name of
the key is not the attribute's, and `alone` where a long key conflicts with no other. The file is long because it is
the reference: each key stands here once.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any, TypeGuard, get_args, get_origin

import attrs
from attrs import field, frozen

from gateway.config.values import (
    AllowedVerb,
    AnyNetwork,
    AsNumber,
    Banner,
    Count,
    Country,
    Delay,
    Endpoints,
    File,
    Host,
    Interface,
    Origin,
    PortRanges,
    PublicAddress,
    Seconds,
    Verb,
    Word,
)


class AccessDenied(Enum):
    """The ways to turn away a client that the access rules deny."""

    REPLY = "reply"
    DROP = "drop"


class DataPeer(Enum):
    """The addresses from which a data connection is accepted."""

    ADDRESS = "address"
    NETWORK = "network"
    ANY = "any"


class TlsMode(Enum):
    """The places where TLS begins and ends."""

    OFF = "off"
    PASSTHROUGH = "passthrough"
    FLEXIBLE = "flexible"
    FULL = "full"
    STRICT = "strict"


class TlsRequirement(Enum):
    """The parts of a session that must have TLS."""

    NONE = "none"
    CONTROL = "control"
    DATA = "data"


class DataSessionReuse(Enum):
    """The choices for TLS on a data connection: must it resume the control connection's session or not."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class TlsVersion(Enum):
    """The versions of TLS."""

    V1_2 = "1.2"
    V1_3 = "1.3"


class ProxyHeader(Enum):
    """The version of the PROXY header to send."""

    OFF = "off"
    V1 = "v1"
    V2 = "v2"


class AccessAction(Enum):
    """The decision of an access rule."""

    ALLOW = "allow"
    DENY = "deny"


@frozen
class Timeouts:
    """Times, in seconds, that the gateway waits before it gives up."""

    origin_connect: Seconds = field(
        default=10.0,
        metadata={"doc": "Time to look the origin's name up and connect to it, control or data."},
    )
    login: Seconds = field(
        default=60.0,
        metadata={"doc": "Time from a client's connection to its successful login."},
    )
    idle: Seconds = field(
        default=300.0,
        metadata={"doc": "Time between two commands while no transfer runs, also when the origin keeps silent."},
    )
    data_accept: Seconds = field(
        default=30.0,
        metadata={
            "doc": "Time from the 227 or 229 reply to the client's data connection and, where the gateway ends TLS, "
            "to its transfer command."
        },
    )
    data_stall: Seconds = field(
        default=300.0,
        metadata={"doc": "Time without a byte after which a transfer is cut off."},
    )
    drain: Delay = field(
        default=30.0,
        metadata={"doc": "Time for running transfers to finish when the gateway stops. 0 cuts them off at once."},
    )


@frozen
class Tls:
    """TLS with the clients and with the origin. All files are PEM."""

    mode: TlsMode = field(
        default=TlsMode.OFF,
        metadata={
            "doc": "off: no TLS, AUTH is refused. passthrough: TLS between client and origin, which the gateway "
            "cannot read. flexible: TLS with the client only. full: TLS on both sides, without verifying the "
            "origin's certificate. strict: TLS on both sides, and the origin's certificate and name are verified."
        },
    )
    certificate: File | None = field(
        default=None,
        metadata={
            "doc": "The certificate chain for clients, read again when the file changes. Or a directory, where each "
            "`*.pem` holds a chain and its key: the name that the client asks for selects one, otherwise the first "
            "is used."
        },
    )
    key: File | None = field(
        default=None,
        metadata={"doc": "The private key of `certificate`. If left out, the key is in the same file."},
    )
    implicit: bool = field(
        default=False,
        metadata={"doc": "Starts TLS at a client's first byte, as on port 990, instead of waiting for AUTH."},
    )
    require: TlsRequirement = field(
        default=TlsRequirement.NONE,
        metadata={"doc": "The parts that need TLS. none: nothing. control: the login. data: transfers as well."},
    )
    data_session_reuse: DataSessionReuse = field(
        default=DataSessionReuse.REQUIRED,
        metadata={"doc": "Whether a client's data connection must resume the TLS session of its control connection."},
    )
    minimum_version: TlsVersion = field(
        default=TlsVersion.V1_2,
        metadata={"doc": "The lowest version of TLS that the gateway accepts."},
    )
    origin_ca: File | None = field(
        default=None,
        metadata={
            "doc": "Mode strict: the certificate authorities trusted for the origin. If left out, the system's."
        },
    )
    origin_name: Host | None = field(
        default=None,
        metadata={"doc": "Mode strict: the name in the origin's certificate. If left out, the host in `origin`."},
    )
    origin_implicit: bool = field(
        default=False,
        metadata={"doc": "Starts TLS with the origin at the first byte instead of sending AUTH."},
    )
    origin_certificate: File | None = field(
        default=None,
        metadata={"doc": "The certificate that the gateway presents to the origin."},
    )
    origin_key: File | None = field(
        default=None,
        metadata={"doc": "The private key of `origin_certificate`. If left out, the key is in the same file."},
    )


@frozen
class Limits:
    """Limits of this application; 0 means no limit. A client is one IPv4 address, or the /64 of an IPv6 address."""

    sessions: Count = field(
        default=0,
        metadata={"doc": "Sessions at the same time."},
    )
    sessions_per_client: Count = field(
        default=0,
        metadata={"doc": "Sessions of one client at the same time."},
    )
    connects_per_minute_per_client: Count = field(
        default=600,
        metadata={
            "doc": "New control connections per client and minute: a burst of this many, then one every 60/n seconds."
        },
    )
    data_ports_per_client: Count | None = field(
        default=None,
        metadata={
            "doc": "Data ports of one client that await a transfer at the same time. Above that, PASV and EPSV get "
            "425. If left out, half of `data_ports`, at least one."
        },
    )
    login_failures: Count = field(
        default=5,
        metadata={
            "doc": "After this many failed logins, a client's sessions without a login end and its address is "
            "banned. A client that hangs up before the answer has failed. From the second failure on, each reply is "
            "delayed longer. 0 turns both off and lifts current bans."
        },
    )
    login_failure_window: Delay = field(
        default=300.0,
        metadata={"doc": "Seconds for which a failed login counts. A successful login does not reset the count."},
    )
    ban: Delay = field(
        default=600.0,
        metadata={"doc": "Seconds for which a banned client is refused. With 0 it may come back at once."},
    )
    bandwidth_per_session: Count = field(
        default=0,
        metadata={"doc": "Bytes per second that one session may transfer, in each direction."},
    )
    bandwidth: Count = field(
        default=0,
        metadata={"doc": "Bytes per second that all sessions together may transfer, in each direction."},
    )


@frozen
class Commands:
    """The commands that reach the origin."""

    allow: tuple[AllowedVerb, ...] = field(
        default=(),
        metadata={"doc": "Verbs to relay in addition to those that the gateway knows, even if `read_only` is set."},
    )
    deny: tuple[Verb, ...] = field(
        default=(),
        metadata={"doc": "Verbs to refuse, whether the gateway knows them or not."},
    )
    read_only: bool = field(
        default=False,
        metadata={"doc": "Refuses every known command that changes stored data on the origin."},
    )


@frozen
class ProxyProtocol:
    """The PROXY header, which carries the client's address past a load balancer."""

    accept_from: tuple[AnyNetwork, ...] = field(
        default=(),
        metadata={"doc": "Networks from which every connection begins with a PROXY header, version 1 or 2."},
    )
    send_control: ProxyHeader = field(
        default=ProxyHeader.OFF,
        metadata={"doc": "The header that begins each control connection to the origin."},
    )
    send_data: ProxyHeader = field(
        default=ProxyHeader.OFF,
        metadata={"doc": "The header that begins each data connection to the origin."},
    )


@frozen
class AccessRule:
    """A rule about the clients that may connect; repeat the table for each rule. The first rule that matches the
    client decides. A client that no rule matches may connect. A rule names clients in one way or more, and matches
    those that any of them names.
    """

    action: AccessAction = field(
        metadata={"doc": "The decision for these clients."},
    )
    networks: tuple[AnyNetwork, ...] = field(
        default=(),
        metadata={"doc": "The networks of these clients.", "alone": True},
    )
    countries: tuple[Country, ...] = field(
        default=(),
        metadata={"doc": "The countries of these clients, by ISO 3166-1, two letters each. Needs `geo.country`."},
    )
    asns: tuple[AsNumber, ...] = field(
        default=(),
        metadata={"doc": "The numbers of these clients' autonomous systems. Needs `geo.asn`."},
    )
    lists: tuple[File, ...] = field(
        default=(),
        metadata={
            "doc": "Files with the networks of these clients, one per line, with comments behind `#` or `;`. They "
            "are read again when they change."
        },
    )

    def __attrs_post_init__(self) -> None:
        if not (self.networks or self.countries or self.asns or self.lists):
            raise ValueError("must name networks, countries, asns or lists")


@frozen
class Application:
    """One FTP server behind the gateway; repeat the table for each server."""

    name: Word = field(
        metadata={"doc": "The unique name of the application in log lines, events and replies."},
    )
    listen: Endpoints = field(
        metadata={"doc": "Where clients connect: Twisted endpoint strings of the kinds tcp, tcp6 and systemd."},
    )
    origin: Origin = field(
        metadata={
            "doc": "The FTP server. An IPv6 address stands in brackets. A hostname is resolved for new sessions; "
            "they share one look-up, and its answer for 5 seconds."
        },
    )
    data_ports: PortRanges = field(
        metadata={
            "doc": "The origin's passive ports, from 1024 to 65535. The gateway uses the same ports, unless both "
            "ranges are given; then they must be equally long."
        },
    )
    public_address: PublicAddress | None = field(
        default=None,
        metadata={
            "doc": "The address in 227 replies. A hostname is resolved every 60 seconds. If left out, the address "
            "that the client connected to."
        },
    )
    banner: Banner | None = field(
        default=None,
        metadata={"doc": "The text of the greeting, after its 220. If left out, the origin's own text."},
    )
    access_denied: AccessDenied = field(
        default=AccessDenied.REPLY,
        metadata={
            "doc": "The answer to a client that `access` denies. reply: a 421. drop: a closed connection. With "
            "`tls.implicit` the connection is closed in both cases."
        },
    )
    data_peer: DataPeer = field(
        default=DataPeer.ADDRESS,
        metadata={
            "doc": "The addresses that may open a data connection. address: only that of the control connection. "
            "network: its /24 or /64, for clients behind several NAT addresses. any: all addresses."
        },
    )
    data_interface: Interface | None = field(
        default=None,
        metadata={"doc": "The address of the data ports. If left out, the address that the client connected to."},
    )
    timeouts: Timeouts = field(factory=Timeouts)
    tls: Tls = field(factory=Tls)
    limits: Limits = field(factory=Limits)
    commands: Commands = field(factory=Commands)
    proxy_protocol: ProxyProtocol = field(factory=ProxyProtocol)
    access: tuple[AccessRule, ...] = ()


@frozen
class GatewayLimits:
    """Limits of all applications together; 0 means no limit."""

    sessions: Count = field(
        default=0,
        metadata={"doc": "Sessions at the same time."},
    )
    data_ports: Count = field(
        default=0,
        metadata={"doc": "Data ports that listen at the same time. Above that, PASV and EPSV get 425."},
    )


@frozen
class Geo:
    """Databases of the places of addresses, in MaxMind's format. They are read again when they change."""

    country: File | None = field(
        default=None,
        metadata={"doc": "The database of countries, such as GeoLite2-Country.mmdb or GeoLite2-City.mmdb."},
    )
    asn: File | None = field(
        default=None,
        metadata={"doc": "The database of autonomous systems, such as GeoLite2-ASN.mmdb."},
    )


@frozen
class Events:
    """The log of events, one JSON object per line."""

    path: File | None = field(
        default=None,
        metadata={
            "doc": 'The file that events are appended to, or "-" for standard output. If left out, none is written.'
        },
    )


@frozen
class Config:
    """The keys of the whole gateway."""

    applications: tuple[Application, ...] = field(metadata={"key": "application"})
    limits: GatewayLimits = field(factory=GatewayLimits)
    geo: Geo = field(factory=Geo)
    events: Events = field(factory=Events)


def key(attribute: "attrs.Attribute[Any]") -> str:
    """The name of a key in the TOML."""
    return str(attribute.metadata.get("key", attribute.name))


def is_table(kind: Any) -> TypeGuard[type]:
    """Whether the type of a key is the class of a table."""
    return isinstance(kind, type) and attrs.has(kind)


def table_in(kind: Any) -> type | None:
    """The class of the table, or of each table, that a key holds; None where it holds a plain value."""
    kind = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return kind if is_table(kind) else None


def tables(root: type = Config, path: str = "") -> Iterator[tuple[str, type]]:
    """Every table's path, "" for the outermost, and its class; outer tables before those in them."""
    yield path, root
    for attribute in attrs.fields(root):
        inner = table_in(attribute.type)
        if inner is not None:
            yield from tables(inner, f"{path}.{key(attribute)}".lstrip("."))
