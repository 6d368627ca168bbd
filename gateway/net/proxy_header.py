"""The PROXY header, with which a load balancer names the client of a connection (HAProxy's proxy-protocol.txt).

proxyprotocol reads and writes the addresses. This file does the rest: it finds the end of the header, limits its
length, and checks that it is for a TCP connection.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from socket import SOCK_STREAM

import attrs
from proxyprotocol import ProxyProtocol
from proxyprotocol.result import ProxyResult, ProxyResultIPv4, ProxyResultIPv6, ProxyResultLocal, ProxyResultUnknown
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from gateway.addresses import Address

Port = tuple[Address, int]

DEADLINE = 3.0  # seconds for a header to arrive; the balancer sends it with its first packet
MAX_HEADER = 4096  # bytes: room for the TLVs of version 2, which may hold a client's certificate
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # the start of version 2 (section 2.2)

_LINE = b"PROXY "  # the start of version 1 (section 2.1)
_MAX_LINE = 107
_FIXED = 16  # bytes of version 2 before the addresses
_PROXY = 1  # the command of version 2 that names a client
_LAST_FAMILY = 3
_V1 = ProxyProtocolV1()
_V2 = ProxyProtocolV2()


class BadHeader(Exception):
    """A stream that does not begin with a PROXY header. The text is for the operator."""


@attrs.frozen
class ProxyInfo:
    """The ends of a connection as its client knows them, an address and a port each."""

    client: Port
    reached: Port


@attrs.frozen
class Header:
    """One PROXY header.

    :param size: its length in bytes; the client's bytes follow.
    :param ends: the ends that it names; None where they are the connection's own: the balancer speaks for itself
            (LOCAL), or does not know (UNKNOWN).
    """

    size: int
    ends: ProxyInfo | None


def read(data: bytes) -> Header | None:
    """The header that a stream begins with; None where more of it has to arrive first.

    :raises BadHeader: as soon as the bytes cannot be a header.
    """
    if data.startswith(_LINE):
        return _read_line(data)
    if data.startswith(SIGNATURE):
        return _read_binary(data)
    if _LINE.startswith(data) or SIGNATURE.startswith(data):
        return None
    raise BadHeader("no PROXY header")


def _read_line(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _MAX_LINE)
    if end < 0 and len(data) < _MAX_LINE:
        return None
    if end < 0:
        raise BadHeader(f"version 1 and no end of line within {_MAX_LINE} bytes")
    return _unpack(_V1, data[: end + 2])


def _read_binary(data: bytes) -> Header | None:
    if len(data) < _FIXED:
        return None
    size = _FIXED + int.from_bytes(data[14:16], "big")
    if size > MAX_HEADER:
        raise BadHeader(f"version 2 and longer than {MAX_HEADER} bytes")
    command, family = data[12] & 0x0F, data[13] >> 4
    if command == _PROXY and family > _LAST_FAMILY:  # section 2.2: to be rejected
        raise BadHeader("version 2 and of an unknown address family")
    return _unpack(_V2, data[:size]) if len(data) >= size else None


def _unpack(version: ProxyProtocol, header: bytes) -> Header:
    try:
        result = version.unpack(header)
        return Header(len(header), _ends(result, version))
    except (ValueError, struct.error) as error:
        number = 1 if version is _V1 else 2
        raise BadHeader(f"version {number} and malformed: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _ends(result: ProxyResult, version: ProxyProtocol) -> ProxyInfo | None:
    match result:
        case ProxyResultLocal() | ProxyResultUnknown():
            return None
        case ProxyResultIPv4() | ProxyResultIPv6() if version is _V1 or result.protocol is SOCK_STREAM:
            return ProxyInfo(_port(result.source), _port(result.dest))
    raise ValueError("not of a TCP connection")


def _port(end: tuple[Address, int]) -> Port:
    """The address and port of an end; an IPv4 client of a dual-stack socket is an IPv4 client."""
    address, port = end
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an address with a scope")
        address = address.ipv4_mapped or address
    return address, port


def version_1(ends: ProxyInfo) -> bytes:
    """The header for these ends in version 1, a line of text."""
    return _V1.pack(_result(ends))


def version_2(ends: ProxyInfo) -> bytes:
    """The header for these ends in version 2, in binary."""
    return _V2.pack(_result(ends))


def _result(ends: ProxyInfo) -> ProxyResult:
    """Both ends in one family, as the header wants it: if only one is IPv4, it is mapped into IPv6."""
    (client, client_port), (reached, reached_port) = ends.client, ends.reached
    if isinstance(client, IPv4Address) and isinstance(reached, IPv4Address):
        return ProxyResultIPv4((client, client_port), (reached, reached_port), protocol=SOCK_STREAM)
    return ProxyResultIPv6((_in_v6(client), client_port), (_in_v6(reached), reached_port), protocol=SOCK_STREAM)


def _in_v6(address: Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")
