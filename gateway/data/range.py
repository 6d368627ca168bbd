"""A whole range of data ports, open to one client's address for as long as its session lives.

For sessions whose replies cannot be read: which port the client will be told of is not known.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

import attrs

from gateway.addresses import Address, Network, SocketAddress
from gateway.data.port import DataPorts


@attrs.define(eq=False)
class OpenPort:
    """One port of the range."""

    port: int
    owner: OpenRange = attrs.field(repr=False)
    dialled = False
    lasting = True

    @property
    def peers(self) -> Network | None:
        """Whose connections are accepted; None for anyone's."""
        return self.owner.peers

    @property
    def spoke(self) -> float:
        """When the session last said anything."""
        return self.owner.spoke

    @property
    def busy(self) -> bool:
        """Whether the session has a data connection."""
        return self.owner.busy

    def listening(self) -> None:
        """It is known to listen, by what ``open`` gives back."""

    def accepted(self, connection: socket.socket, address: Address) -> None:
        """A connection came."""
        self.owner.came(self.port, connection, address)

    def stranger(self, address: Address) -> None:
        """Somebody else came."""
        self.owner.turned_away(self.port, address)

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""
        return self.owner.is_proxy(address)

    def header_refused(self, address: Address, reason: str) -> None:
        """One of those did not."""
        self.owner.header_refused(self.port, address, reason)

    def superseded(self) -> None:
        """Cannot be: it stands for whatever session the client has."""


@attrs.define(eq=False)
class OpenRange:
    """Data ports at one local address.

    :param came: called with the port, the connection and its address.
    :param turned_away: called with the port and the address of a stranger.
    :param is_proxy: whether connections from an address begin with a PROXY header.
    :param header_refused: called with the port, such an address and the reason where they do not.
    :param spoke: when the session last said anything, in the reactor's seconds; its owner keeps it.
    :param busy: whether the session has a data connection; its owner keeps it.
    """

    ports: DataPorts = attrs.field(repr=False)
    host: str
    peers: Network | None
    came: Callable[[int, socket.socket, Address], None] = attrs.field(repr=False)
    turned_away: Callable[[int, Address], None] = attrs.field(repr=False)
    is_proxy: Callable[[Address], bool] = attrs.field(repr=False)
    header_refused: Callable[[int, Address, str], None] = attrs.field(repr=False)
    spoke: float = attrs.field(default=0.0, init=False)
    busy: bool = attrs.field(default=False, init=False)
    _guests: dict[SocketAddress, OpenPort] = attrs.field(factory=dict, init=False, repr=False)

    def open(self, numbers: Iterable[int]) -> list[int]:
        """Listens at all of them; gives those that cannot be bound."""
        missing = []
        for number in numbers:
            place, guest = (self.host, number), OpenPort(number, self)
            try:
                self.ports.open(place, guest)
            except OSError:
                missing.append(number)
            else:
                self._guests[place] = guest
        return missing

    def close(self) -> None:
        """Listens no more; connections that came go on."""
        for place, guest in self._guests.items():
            self.ports.leave(place, guest)
        self._guests.clear()
