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
    """What its sessions share. Times in seconds.

    :param name: stands in every event.
    :param origin: the FTP server that its sessions go to.
    :param peers: whose data connections are accepted for a client's address; None for anyone's.
    :param public: what 227 replies say; None for the address that the client reached.
    :param data_interface: where data ports are bound; None for the address that the client reached.
    :param bandwidth: what data is limited to.
    :param proxies: whose connections begin with a PROXY header.
    :param tls: what TLS there is on either side.
    :param client_tls: what clients are shown; None where the gateway does not end their TLS.
    :param guard: who is let in.
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
        """What stands in the place of the origin's address, to a client that reached this address of ours."""
        return str(reached) if self.public is None else self.public.host

    def passive_host(self, reached: Address) -> IPv4Address | None:
        """What a 227 names to a client that reached this address of ours; None where nothing is known."""
        if self.public is not None:
            return self.public.address
        return reached if isinstance(reached, IPv4Address) else None

    def data_host(self, local: Address) -> str:
        """Where to listen for the data connection of a client whose control connection ends at this address of ours.

        An EPSV client dials the family that it reached (RFC 2428 section 3), whatever ``data_interface`` is of.
        """
        if self.data_interface is not None and self.data_interface.version == local.version:
            return str(self.data_interface)
        return str(local)
