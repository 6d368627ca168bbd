"""The addresses, networks and ranges of ports, under the names that every room uses for them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import attrs

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
SocketAddress = tuple[str, int]  # an address and a port


@lru_cache(maxsize=1024)  # the same few clients and origins come several times in each session
def peer_address(name: str) -> Address:
    """The address in a socket's name; an IPv4 client of a dual-stack socket is an IPv4 client.

    :raises ValueError: where the name is not an address.
    """
    address = ip_address(name.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_address(text: str) -> bool:
    """Whether a text is an IP address, not a host name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@attrs.frozen
class PortMap:
    """The origin's passive ports, and the gateway's ports that stand for them, one for one and in the same order."""

    origin: range
    public: range

    @property
    def mirrored(self) -> bool:
        """Whether each port stands for its own number."""
        return self.origin == self.public

    def public_port(self, origin_port: int) -> int | None:
        """The gateway's port for one of the origin's; None for a port outside the range."""
        return self.public[origin_port - self.origin.start] if origin_port in self.origin else None

    def __str__(self) -> str:
        """The origin's range."""
        return span(self.origin)


def span(ports: range) -> str:
    """``20000-20020``, or ``20000`` for a single port."""
    return f"{ports[0]}-{ports[-1]}" if len(ports) > 1 else str(ports[0])
