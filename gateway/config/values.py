"""The forms of single values. A wrong value raises ValueError; its text is one clause, without the path."""

import ipaddress
import json
import math
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any

from attrs import frozen
from twisted.internet.endpoints import serverFromString

from gateway.addresses import Address, Network, PortMap
from gateway.ftp.commands import VERBS, Command, Kind

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})")
_PORT_RANGE = re.compile(r"(?P<low>[0-9]{1,5})(?:-(?P<high>[0-9]{1,5}))?")
# RFC 1123 section 2.1, and the underscore that container networks put into names. A last label of digits alone would
# be a mistyped IPv4 address. No dot at the end: replies are searched for the origin's name as it is written here.
_HOSTNAME = re.compile(r"(?=.{1,253}$)(?!(?:.*\.)?[0-9]+$)(?:(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!$)|$))+")
_WORD = re.compile(r"[!-~]{1,253}")
_VERB = re.compile(r"[A-Za-z][A-Za-z0-9]{2,31}")
_REPLY_CODE = re.compile(r"[0-9]{3}(?:[ -]|$)")
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_SYSTEMD = re.compile(r"systemd:domain=INET6?:(?:index=[0-9]+|name=[^:]+)")

_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2

BANNER_BYTES = 500  # bytes; with "220 " and CRLF they fit in the 512 bytes that old clients allow a line


@frozen
class Form:
    """The form of a value in the TOML, for use within `Annotated`.

    :param written: the TOML's type, or the type of the argument of `read`.
    :param read: makes the value; raises ValueError.
    :param text: the description in the configuration reference.
    """

    written: Any
    read: Callable[[Any], Any]
    text: str


def quoted(text: str) -> str:
    """A string as TOML writes it: on one line, and cut where it is long."""
    shown = text if len(text) <= 80 else text[:79] + "…"
    return json.dumps(shown, ensure_ascii=not shown.isprintable())


def on_one_line(text: str) -> str:
    """The text on one line, even if a file name has a line end."""
    return text if text.isprintable() else json.dumps(text)[1:-1]


def address(text: str) -> Address | None:
    """The IP address that a text is; None where it is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def meet(one: Address | None, other: Address | None) -> bool:
    """Whether sockets bound to these two addresses can want the same port of the same address.

    None is an unknown address, which meets nothing. `::` does not count as meeting IPv4: the system decides that.
    """
    if one is None or other is None:
        return False
    return one == other or (one.version == other.version and (one.is_unspecified or other.is_unspecified))


def host(text: str) -> str:
    """A hostname or an IP address to which a connection can be made."""
    found = address(text)
    if found is None:
        if not _HOSTNAME.fullmatch(text):
            raise ValueError(f"{quoted(text)} is neither a hostname nor an IP address")
        return text
    # The reserved IPv6 networks hold the loopback address.
    if found.is_unspecified or found.is_multicast or (found.version == 4 and found.is_reserved):
        raise ValueError(f"{quoted(text)} is not the address of a host")
    return str(found)


@frozen
class HostPort:
    """The place of a server: a hostname or an IP address without brackets, and a port from 1 to 65535."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Reads `host:port` or `[v6]:port`."""
        match = _HOST_PORT.fullmatch(text)
        if match is None or (match["v6"] and not isinstance(address(match["v6"]), IPv6Address)):
            raise ValueError(f"{quoted(text)} is not host:port or [v6]:port")
        port = int(match["port"])
        if not 0 < port < 65536:
            raise ValueError(f"{quoted(text)} has a port that is not between 1 and 65535")
        return cls(host(match["v6"] or match["host"]), port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Unbound:
    """A stand-in for the reactor, which notes what an endpoint would bind, and binds nothing."""

    port: int
    backlog: int
    interface: str

    def listenTCP(self, port: int, factory: object, backlog: int, interface: str) -> None:
        self.port, self.backlog, self.interface = port, backlog, interface


@frozen
class Listening:
    """The place that a server endpoint string binds; port 0 is any free one, both are None if systemd decides."""

    text: str
    address: Address | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Listening":
        """Reads a string of the kinds tcp, tcp6 and systemd without binding anything."""
        kind = text.partition(":")[0]
        if kind == "ssl":
            raise ValueError(f"{quoted(text)} would hide FTP's TLS from the gateway; use tcp with tls.implicit")
        if kind == "systemd":
            # Twisted would look for the socket at once, but only the service itself has it.
            if not _SYSTEMD.fullmatch(text):
                raise ValueError(
                    f"{quoted(text)} must look like systemd:domain=INET:index=0 or systemd:domain=INET:name=ftp"
                )
            return cls(text)
        if kind not in ("tcp", "tcp6"):
            raise ValueError(f"{quoted(text)} is not an endpoint of the kind tcp, tcp6 or systemd")
        unbound = _Unbound()
        try:
            serverFromString(unbound, text).listen(None)
        except (ValueError, TypeError, RuntimeError):
            raise ValueError(f"{quoted(text)} must look like tcp:21, tcp:21:interface=192.0.2.1 or tcp6:21") from None
        bound = address(unbound.interface or "0.0.0.0")
        if bound is None:
            raise ValueError(f"{quoted(text)} has an interface that is not an IP address")
        if not (0 <= unbound.port < 65536 and 0 <= unbound.backlog < 65536):
            raise ValueError(f"{quoted(text)} has a port or a backlog that is not between 0 and 65535")
        return cls(text, bound, unbound.port)

    def collides(self, other: "Listening") -> bool:
        """Whether the two certainly cannot listen at the same time."""
        # Endpoints are told apart by their text: the same text twice always collides, even with port 0.
        if self.text == other.text:
            return True
        return bool(self.port) and self.port == other.port and meet(self.address, other.address)


def _endpoint(text: str) -> str:
    return Listening.parse(text).text


def port_range(text: str) -> range:
    """Reads `LO-HI`, or a single port; from 1024 to 65535."""
    match = _PORT_RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{quoted(text)} is not a range of ports like 20000-20020")
    low, high = int(match["low"]), int(match["high"] or match["low"])
    if low > high:
        raise ValueError(f"{quoted(text)} ends before it begins")
    if low < 1024:
        raise ValueError(f"{quoted(text)} has ports below 1024, which are not for data connections")  # RFC 2577, 3
    if high > 65535:
        raise ValueError(f"{quoted(text)} has ports above 65535")
    return range(low, high + 1)


def _equally_long(ports: PortMap) -> PortMap:
    if len(ports.origin) != len(ports.public):
        raise ValueError(
            f"origin and public must be equally long, not {len(ports.origin)} and {len(ports.public)} ports"
        )
    return ports


def _public_address(text: str) -> str:
    if isinstance(address(text), IPv6Address):
        raise ValueError(f"{quoted(text)} is an IPv6 address, and a 227 reply carries IPv4 only")
    return host(text)


def _interface(text: str) -> str:
    found = address(text)
    if found is None or found.is_multicast:
        raise ValueError(f"{quoted(text)} is not an IP address of this host")
    return str(found)


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        cause = " (bits after its prefix are set)" if "host bits" in str(error) else ""
        raise ValueError(f"{quoted(text)} is not a network like 192.0.2.0/24 or 2001:db8::/32{cause}") from None
    # An IPv4 client on a socket of both families has such an address, but is an IPv4 client all the same.
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - _MAPPED.prefixlen))
    return network


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError(f"{quoted(text)} must be 1 to 253 printable ASCII characters without white space")
    return text


def _banner(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{quoted(text)} must be one line of printable text")
    if _REPLY_CODE.match(text):
        raise ValueError(f"{quoted(text)} must not begin with a reply code; the gateway puts 220 before it")
    if len(text.encode()) > BANNER_BYTES:
        raise ValueError(f"{quoted(text)} is longer than {BANNER_BYTES} bytes")
    return text


def _file(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(f"{quoted(text)} is not the name of a file")
    return text


def _verb(text: str) -> str:
    if not _VERB.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not an FTP verb")
    return text.upper()


def _allowed_verb(text: str) -> str:
    verb = _verb(text)
    known = VERBS.get(verb.encode())
    if (known is not None and known.kind in (Kind.ACTIVE, Kind.HIDING)) or Command(verb.encode()).foreign:
        raise ValueError(f"the gateway never relays {verb}")
    return verb


def _country(text: str) -> str:
    if not _COUNTRY.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a country's code of two letters, like DE")
    return text.upper()


def _asn(number: int) -> int:
    if not 0 < number < 1 << 32:  # RFC 6793; RFC 7607: 0 is nobody's
        raise ValueError("must be an AS number, from 1 to 4294967295")
    return number


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("must not be empty")
    return values


def _above_zero(number: float) -> float:
    if not 0 < number < math.inf:
        raise ValueError("must be a number of seconds above 0")
    return number


def _zero_or_more(number: float) -> float:
    if not 0 <= number < math.inf:
        raise ValueError("must be a number, 0 or more")
    return number


Word = Annotated[str, Form(str, _word, "word")]
Endpoint = Annotated[str, Form(str, _endpoint, "endpoint")]
Endpoints = Annotated[tuple[str, ...], Form(tuple[Endpoint, ...], _some, "endpoint, or list of endpoints")]
Origin = Annotated[HostPort, Form(str, HostPort.parse, "host:port")]
PortRanges = Annotated[PortMap, Form(PortMap, _equally_long, "LO-HI, or { origin = LO-HI, public = LO-HI }")]
PublicAddress = Annotated[str, Form(str, _public_address, "IPv4 address or hostname")]
Host = Annotated[str, Form(str, host, "hostname or IP address")]
Interface = Annotated[str, Form(str, _interface, "IP address")]
AnyNetwork = Annotated[Network, Form(str, _network, "network")]
Country = Annotated[str, Form(str, _country, "country")]
AsNumber = Annotated[int, Form(int, _asn, "AS number")]
Banner = Annotated[str, Form(str, _banner, "line of text")]
File = Annotated[str, Form(str, _file, "file")]
Verb = Annotated[str, Form(str, _verb, "verb")]
AllowedVerb = Annotated[str, Form(str, _allowed_verb, "verb")]
Seconds = Annotated[float, Form(float, _above_zero, "seconds, above 0")]
Delay = Annotated[float, Form(float, _zero_or_more, "seconds")]
Count = Annotated[int, Form(int, _zero_or_more, "whole number")]
