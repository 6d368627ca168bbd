"""One protected FTP server, as its sessions see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address

import attrs

from gateway.addresses import Address, Network
from gateway.data.bandwidth import Bandwidth
from gateway.data.port import DataPorts
from gateway.guard.admission import Guard
from gateway.observe.records import Note
from gateway.origins.origin import Origin
from gateway.relay.public import PublicAddress
from gateway.session.client_tls import TLSTerms
from gateway.session.events import Deadline
from gateway.session.policy import Policy
from gateway.tls.to_clients import ServerTLS


@attrs.frozen
class Application:
    """The settings and objects that its sessions share. Times in seconds.

    :param name: the name that stands in every event.
    :param origin: the FTP server that its sessions go to.
    :param peers: gives the network whose data connections are accepted for a client's address; None for any.
    :param public: the address that 227 replies name; None for the one that the client reached.
    :param data_interface: the address that data ports are bound on; None for the one that the client reached.
    :param bandwidth: the limits on the bandwidth of data.
    :param proxies: the networks whose connections begin with a PROXY header.
    :param tls: the terms for TLS on either side.
    :param client_tls: the TLS that clients are offered; None where the gateway does not end it.
    :param guard: decides which clients are let in.
    :param data_resumption: whether clients' data connections must resume the TLS session of their control connection.
    :param note: writes an event down.
    """

    name: str
    origin: Origin
    policy: Policy
    banner: str | None
    peers: Callable[[Address], Network | None]
    public: PublicAddress | None
    data_interface: Address | None
    deadlines: Mapping[Deadline, float]
    accept_timeout: float
    stall_timeout: float
    data_ports: DataPorts
    bandwidth: Bandwidth
    proxies: Sequence[Network]
    tls: TLSTerms
    client_tls: ServerTLS | None
    guard: Guard
    data_resumption: bool
    note: Note

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""
        return any(address in network for network in self.proxies)

    def public_text(self, reached: Address) -> str:
        """The text in the place of the origin's address, for a client that reached this address of ours."""
        return str(reached) if self.public is None else self.public.host

    def passive_host(self, reached: Address) -> IPv4Address | None:
        """The address that a 227 names to a client that reached this address of ours; None where none is known."""
        if self.public is not None:
            return self.public.address
        return reached if isinstance(reached, IPv4Address) else None

    def data_host(self, local: Address) -> str:
        """The address of the data ports for a client whose control connection ends at this address of ours.

        An EPSV client dials the address family that it reached (RFC 2428 section 3), not that of ``data_interface``.
        """
        if self.data_interface is not None and self.data_interface.version == local.version:
            return str(self.data_interface)
        return str(local)
