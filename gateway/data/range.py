"""A whole range of data ports, open to one client's address for as long as its session lives.

For sessions whose replies cannot be read: the gateway does not know the port that the client will be told.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Protocol

import attrs

from gateway.addresses import Address, Network, SocketAddress
from gateway.data.port import Ports


class Owner(Protocol):
    """The session that the range is open for."""

    @property
    def peers(self) -> Network | None:
        """The network whose connections are accepted; None for any."""

    @property
    def spoke(self) -> float:
        """The time when the session last said anything."""

    @property
    def busy(self) -> bool:
        """Whether the session has a data connection."""

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""

    def came(self, port: int, connection: socket.socket, address: Address) -> None:
        """Called when a connection came."""

    def stranger(self, port: int, address: Address) -> None:
        """Called when a connection from an unexpected address was closed."""

    def header_refused(self, port: int, address: Address, reason: str) -> None:
        """Called when a connection was closed that did not name its client."""


@attrs.define(eq=False)
class OpenPort:
    """One port of the range."""

    port: int
    owner: Owner = attrs.field(repr=False)
    dialled = False
    lasting = True

    @property
    def peers(self) -> Network | None:
        """The network whose connections are accepted; None for any."""
        return self.owner.peers

    @property
    def spoke(self) -> float:
        """The time when the session last said anything."""
        return self.owner.spoke

    @property
    def busy(self) -> bool:
        """Whether the session has a data connection."""
        return self.owner.busy

    def listening(self) -> None:
        """Does nothing: the client learns of the port from the origin."""

    def accepted(self, connection: socket.socket, address: Address) -> None:
        """Called when a connection came."""
        self.owner.came(self.port, connection, address)

    def stranger(self, address: Address) -> None:
        """Called when a connection from another address was closed."""
        self.owner.stranger(self.port, address)

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""
        return self.owner.is_proxy(address)

    def header_refused(self, address: Address, reason: str) -> None:
        """Called when a connection was closed that did not name its client."""
        self.owner.header_refused(self.port, address, reason)

    def superseded(self) -> None:
        """Does nothing: a lasting guest is never superseded."""


@attrs.define(eq=False)
class OpenRange:
    """The data ports at one local address."""

    ports: Ports = attrs.field(repr=False)
    host: str
    _guests: dict[SocketAddress, OpenPort] = attrs.field(factory=dict, init=False, repr=False)

    def open(self, numbers: Iterable[int], owner: Owner) -> list[int]:
        """Listens at all numbers for the owner, until ``close``; gives those that cannot be bound."""
        missing = []
        for number in numbers:
            place, guest = (self.host, number), OpenPort(number, owner)
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
