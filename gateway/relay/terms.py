"""The terms of one application's sessions: everything that is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address

import attrs

from gateway.addresses import Address, Network
from gateway.data.bandwidth import Bandwidth
from gateway.data.port import Ports
from gateway.guard.admission import Guard
from gateway.observe.records import Note
from gateway.origins.origin import Origin
from gateway.relay.public import PublicHost
from gateway.session.client_tls import TLSTerms
from gateway.session.events import Deadline
from gateway.session.policy import Policy
from gateway.tls.to_clients import ServerTLS


@attrs.frozen
class DataTerms:
    """The terms of the data channels. Times in seconds.

    :param ports: opens data ports.
    :param interface: the address where they are bound; None for the one that the client reached.
    :param peers: gives the network that may take the data channel of a client's address; None for any.
    :param resumption: whether TLS on a client's data connection must resume the session of its control connection.
    :param bandwidth: the limits on the bandwidth of data.
    """

    ports: Ports
    interface: Address | None
    peers: Callable[[Address], Network | None]
    resumption: bool
    bandwidth: Bandwidth
    accept_timeout: float
    stall_timeout: float

    def host(self, local: Address) -> str:
        """The address to listen at, for a client whose control connection ends at this address of ours.

        An EPSV client dials the address family that it reached (RFC 2428 section 3), not that of ``interface``.
        """
        if self.interface is not None and self.interface.version == local.version:
            return str(self.interface)
        return str(local)


@attrs.frozen
class SessionTerms:
    """The terms of the sessions. Times in seconds.

    :param name: the application's name, which stands in every event.
    :param origin: the FTP server that the sessions go to.
    :param banner: the text of the greeting; None for the origin's own.
    :param public: the host in 227 replies; None for the address that the client reached.
    :param proxies: the networks whose connections begin with a PROXY header.
    :param tls: the terms for TLS on either side.
    :param client_tls: TLS towards clients; None where the gateway does not end it.
    :param guard: decides which clients are let in.
    :param note: writes an event of the application down.
    """

    name: str
    origin: Origin
    data: DataTerms
    policy: Policy
    banner: str | None
    public: PublicHost | None
    deadlines: Mapping[Deadline, float]
    proxies: Sequence[Network]
    tls: TLSTerms
    client_tls: ServerTLS | None
    guard: Guard
    note: Note

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""
        return any(address in network for network in self.proxies)

    def public_text(self, reached: Address) -> str:
        """The text in the place of the origin's address, for a client that reached this address of ours."""
        return str(reached) if self.public is None else self.public.host

    def passive_host(self, reached: Address) -> IPv4Address | None:
        """The address in a 227, for a client that reached this address of ours; None where none is known."""
        if self.public is not None:
            return self.public.address
        return reached if isinstance(reached, IPv4Address) else None
