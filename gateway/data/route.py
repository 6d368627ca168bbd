"""Where a data channel leads, and by which rules."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway.addresses import Address, Network, SocketAddress
from gateway.data.bandwidth import Throttles
from gateway.net.tls_leg import Handshake


@attrs.frozen
class Route:
    """The way of one data channel. Times in seconds.

    :param public: the local address and port that the client is told of.
    :param origin: the origin's address and port.
    :param source: the local address that the origin is dialled from, the same as its control connection's.
    :param peers: whose connections are accepted; None for anyone's.
    :param is_proxy: whether connections from an address begin with a PROXY header.
    :param header: the PROXY header that the origin is sent first; b"" for none.
    :param throttles: what limits its bandwidth; None where nothing does.
    :param secure_origin: how the origin's leg becomes secure; None where it stays plain.
    :param secure_client: whether the client's leg may be asked to become secure.
    """

    public: SocketAddress
    origin: SocketAddress
    source: str
    peers: Network | None
    is_proxy: Callable[[Address], bool]
    header: bytes
    throttles: Throttles | None
    secure_origin: Handshake | None
    secure_client: bool
    connect_timeout: float
    accept_timeout: float
    stall_timeout: float
