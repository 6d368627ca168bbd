"""The route of a data channel: where it leads, and by which rules."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway.addresses import Address, Network, SocketAddress
from gateway.data.bandwidth import Throttles
from gateway.net.tls_leg import Handshake


@attrs.frozen
class Route:
    """The route of one data channel. Times in seconds.

    :param public: the local address and port that the client is told of.
    :param origin: the origin's address and port.
    :param source: the local address that dials the origin, the same as the control connection's.
    :param peers: the network whose connections are accepted; None for any.
    :param is_proxy: whether connections from an address begin with a PROXY header.
    :param header: the PROXY header that the origin is sent first; b"" for none.
    :param throttles: the limits on its bandwidth; None for none.
    :param secure_origin: the handshake of the origin's leg; None where it stays plain.
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
