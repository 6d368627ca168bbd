"""Every table and key of the configuration, with its default and its documentation.

The attribute `doc` in a field's metadata is what the configuration reference says; `key` is there where the TOML's
name of the key is not the attribute's.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any, TypeGuard, get_args, get_origin

import attrs
from attrs import field, frozen

from gateway.config.values import (
    AllowedVerb,
    AnyNetwork,
    Banner,
    Count,
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
    """What a client gets that the access rules refuse."""

    REPLY = "reply"
    DROP = "drop"


class DataPeer(Enum):
    """Who may take a data channel."""

    ADDRESS = "address"
    NETWORK = "network"
    ANY = "any"


class TlsMode(Enum):
    """Where TLS begins and ends."""

    OFF = "off"
    PASSTHROUGH = "passthrough"
    FLEXIBLE = "flexible"
    FULL = "full"
    STRICT = "strict"


class TlsRequirement(Enum):
    """What a client may not do in the clear."""

    NONE = "none"
    CONTROL = "control"
    DATA = "data"


class DataSessionReuse(Enum):
    """Whether TLS on a data connection must resume the control connection's session."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class TlsVersion(Enum):
    """The versions of TLS that are spoken."""

    V1_2 = "1.2"
    V1_3 = "1.3"


class ProxyHeader(Enum):
    """The version of the PROXY header that is sent."""

    OFF = "off"
    V1 = "v1"
    V2 = "v2"


class AccessAction(Enum):
    """What an access rule does with the clients that it names."""

    ALLOW = "allow"
    DENY = "deny"


@frozen
class Timeouts:
    """How long the gateway waits, in seconds."""

    origin_connect: Seconds = field(
        default=10.0,
        metadata={"doc": "For the origin to accept a TCP connection, control or data."},
    )
    login: Seconds = field(
        default=60.0,
        metadata={"doc": "From a client's connection to its successful login."},
    )
    idle: Seconds = field(
        default=300.0,
        metadata={
            "doc": "From a command to the next, while no transfer is under way, be it the origin that is silent."
        },
    )
    data_accept: Seconds = field(
        default=30.0,
        metadata={"doc": "From the 227 or 229 reply to the client's data connection."},
    )
    data_stall: Seconds = field(
        default=300.0,
        metadata={"doc": "For the next byte of a transfer."},
    )
    drain: Delay = field(
        default=30.0,
        metadata={"doc": "For running transfers to end when the gateway stops; 0 cuts them at once."},
    )


@frozen
class Tls:
    """TLS towards the clients and towards the origin. Files are PEM."""

    mode: TlsMode = field(
        default=TlsMode.OFF,
        metadata={
            "doc": "off: none, AUTH is refused; passthrough: between client and origin, unseen by the gateway; "
            "flexible: to the client alone; full: on both sides, the origin's certificate not verified; "
            "strict: on both sides, the origin's certificate and name verified."
        },
    )
    certificate: File | None = field(
        default=None,
        metadata={
            "doc": "The certificate chain that clients see, read again when it changes; or a directory, where each "
            "`*.pem` holds a chain and its key, chosen by the name that the client asks for, else the first."
        },
    )
    key: File | None = field(
        default=None,
        metadata={"doc": "The private key of `certificate`; left out: it stands in the same file."},
    )
    implicit: bool = field(
        default=False,
        metadata={"doc": "Speaks TLS from a client's first byte, as on port 990, instead of waiting for AUTH."},
    )
    require: TlsRequirement = field(
        default=TlsRequirement.NONE,
        metadata={"doc": "Refuses in the clear: none: nothing; control: the login; data: transfers as well."},
    )
    data_session_reuse: DataSessionReuse = field(
        default=DataSessionReuse.REQUIRED,
        metadata={"doc": "Whether a client's data connection must resume the TLS session of its control connection."},
    )
    minimum_version: TlsVersion = field(
        default=TlsVersion.V1_2,
        metadata={"doc": "The lowest version of TLS that is spoken."},
    )
    origin_ca: File | None = field(
        default=None,
        metadata={"doc": "Mode strict: the authorities trusted for the origin; left out: the system's."},
    )
    origin_name: Host | None = field(
        default=None,
        metadata={"doc": "Mode strict: the name in the origin's certificate; left out: the host in `origin`."},
    )
    origin_implicit: bool = field(
        default=False,
        metadata={"doc": "Speaks TLS to the origin from the first byte instead of sending AUTH."},
    )
    origin_certificate: File | None = field(
        default=None,
        metadata={"doc": "The certificate that the gateway shows to the origin."},
    )
    origin_key: File | None = field(
        default=None,
        metadata={"doc": "The private key of `origin_certificate`; left out: it stands in the same file."},
    )


@frozen
class Limits:
    """How much of the application clients may use. 0 is no limit. One client is one IPv4 address, or the /64 of one
    IPv6 address.
    """

    sessions: Count = field(
        default=0,
        metadata={"doc": "Sessions at the same time."},
    )
    sessions_per_client: Count = field(
        default=0,
        metadata={"doc": "Sessions at the same time of one client."},
    )
    connects_per_minute_per_client: Count = field(
        default=0,
        metadata={
            "doc": "Control connections of one client in a minute: so many at once, then one in each such part of it."
        },
    )
    login_failures: Count = field(
        default=5,
        metadata={
            "doc": "The failed login (530 to PASS) of one client that ends its session and bans it. Each one but the "
            "first is answered later than the one before; 0: neither, and running bans are lifted."
        },
    )
    login_failure_window: Delay = field(
        default=300.0,
        metadata={"doc": "Seconds within which failed logins are counted; one that succeeds does not begin anew."},
    )
    ban: Delay = field(
        default=600.0,
        metadata={"doc": "Seconds for which a banned client is refused; 0: it may come back at once."},
    )
    bandwidth_per_session: Count = field(
        default=0,
        metadata={"doc": "Bytes in a second that a session may transfer, in each direction."},
    )
    bandwidth: Count = field(
        default=0,
        metadata={"doc": "Bytes in a second that all sessions together may transfer, in each direction."},
    )


@frozen
class Commands:
    """Which commands reach the origin."""

    allow: tuple[AllowedVerb, ...] = field(
        default=(),
        metadata={
            "doc": "Verbs that are relayed besides those that the gateway knows, also where ``read_only`` is set."
        },
    )
    deny: tuple[Verb, ...] = field(
        default=(),
        metadata={"doc": "Verbs that are refused, known or not."},
    )
    read_only: bool = field(
        default=False,
        metadata={"doc": "Refuses every known command that changes what the origin stores."},
    )


@frozen
class ProxyProtocol:
    """The PROXY header, which tells the address of the client behind a load balancer."""

    accept_from: tuple[AnyNetwork, ...] = field(
        default=(),
        metadata={"doc": "Networks whose connections begin with a PROXY header, version 1 or 2."},
    )
    send_control: ProxyHeader = field(
        default=ProxyHeader.OFF,
        metadata={"doc": "The header sent at the beginning of a control connection to the origin."},
    )
    send_data: ProxyHeader = field(
        default=ProxyHeader.OFF,
        metadata={"doc": "The header sent at the beginning of a data connection to the origin."},
    )


@frozen
class AccessRule:
    """Which clients may connect. The first rule that names the client's address decides; without one it may connect.
    The table is repeated for each rule.
    """

    action: AccessAction = field(
        metadata={"doc": "What happens to these clients."},
    )
    networks: tuple[AnyNetwork, ...] = field(
        metadata={"doc": "The networks that the clients are in."},
    )


@frozen
class Application:
    """One FTP server that the gateway stands in front of. The table is repeated for each."""

    name: Word = field(
        metadata={"doc": "Names the application in log lines and events, and in replies; unique."},
    )
    listen: Endpoints = field(
        metadata={"doc": "Where clients connect: Twisted endpoint strings of the kinds tcp, tcp6 and systemd."},
    )
    origin: Origin = field(
        metadata={"doc": "The FTP server, IPv6 addresses in brackets. A hostname is resolved for each session."},
    )
    data_ports: PortRanges = field(
        metadata={
            "doc": "The origin's passive ports, which the gateway uses as well; or both ranges, equally long, "
            "where its own are to be others. Ports from 1024 to 65535."
        },
    )
    public_address: PublicAddress | None = field(
        default=None,
        metadata={
            "doc": "The address in 227 replies, a hostname resolved every 60 seconds; left out: the address that "
            "the client's control connection reached."
        },
    )
    banner: Banner | None = field(
        default=None,
        metadata={"doc": "The text of the greeting, behind its 220; left out: the origin's own text."},
    )
    access_denied: AccessDenied = field(
        default=AccessDenied.REPLY,
        metadata={
            "doc": "What a client gets that `access` denies: reply: a 421; drop: a closed connection, as with "
            "`tls.implicit` either way."
        },
    )
    data_peer: DataPeer = field(
        default=DataPeer.ADDRESS,
        metadata={
            "doc": "Who may take a data channel: address: the control connection's address alone; network: its "
            "/24 or /64, for clients behind several NAT addresses; any: everyone."
        },
    )
    data_interface: Interface | None = field(
        default=None,
        metadata={"doc": "Where data ports are bound; left out: the address that the control connection reached."},
    )
    timeouts: Timeouts = field(factory=Timeouts)
    tls: Tls = field(factory=Tls)
    limits: Limits = field(factory=Limits)
    commands: Commands = field(factory=Commands)
    proxy_protocol: ProxyProtocol = field(factory=ProxyProtocol)
    access: tuple[AccessRule, ...] = ()


@frozen
class GatewayLimits:
    """How much all applications together may use. 0 is no limit."""

    sessions: Count = field(
        default=0,
        metadata={"doc": "Sessions at the same time."},
    )
    data_ports: Count = field(
        default=0,
        metadata={"doc": "Data ports that listen at the same time; when there are so many, PASV and EPSV get 425."},
    )


@frozen
class Events:
    """The record of what happened, one JSON object a line."""

    path: File | None = field(
        default=None,
        metadata={"doc": 'Where events are appended, or "-" for standard output; left out: nowhere.'},
    )


@frozen
class Config:
    """Keys of the whole gateway."""

    applications: tuple[Application, ...] = field(metadata={"key": "application"})
    limits: GatewayLimits = field(factory=GatewayLimits)
    events: Events = field(factory=Events)


def key(attribute: "attrs.Attribute[Any]") -> str:
    """The name in the TOML."""
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
