"""The data ports that listen, each only while a client is awaited.

An origin may give a port out again as soon as it has accepted there, while the client that was told of it first is
still on its way to the gateway. So clients share a port if their addresses tell them apart; one that could be taken
for another waits until that one came, or its time is over.
"""

from __future__ import annotations

import socket
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.addresses import Address, Network, SocketAddress, peer_address
from gateway.net.proxy_header import ProxyInfo
from gateway.net.reactor import Reactor
from gateway.net.reception import Reception, contained

Connection = socket.socket  # the class below has an attribute of the module's name

_BACKLOG = 128  # connections that wait to be accepted; strangers may come by the dozen
_PAUSE = 0.1  # seconds; a port that could not accept tries again then


class Guest(Protocol):
    """One that awaits a client at a data port."""

    @property
    def peers(self) -> Network | None:
        """Whose connections are accepted; None for anyone's."""

    @property
    def dialled(self) -> bool:
        """Whether the origin's port that this one stands for has accepted already."""

    @property
    def lasting(self) -> bool:
        """Whether it awaits any number of connections: all those that no other guest here awaits."""

    @property
    def spoke(self) -> float:
        """When its session last said anything: among those that last, that one has asked for the connection."""

    @property
    def busy(self) -> bool:
        """Whether its session has a data connection, and so has hardly asked for another."""

    def listening(self) -> None:
        """The port listens."""

    def accepted(self, connection: socket.socket, address: Address) -> None:
        """Somebody whom it accepts came; once that is its client, the guest has to leave.

        Where it raises an exception, it has closed the connection, or done nothing with it.
        """

    def stranger(self, address: Address) -> None:
        """A connection from an address that is not awaited was closed."""

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""

    def header_refused(self, address: Address, reason: str) -> None:
        """A connection from such an address was closed: it did not tell whose it is."""

    def superseded(self) -> None:
        """The origin gave the port to another session; the port no longer listens for this guest."""


class Ports(Protocol):
    """The data ports of all sessions: of this process, or of several that share them."""

    def open(self, place: SocketAddress, guest: Guest) -> None:
        """Listens at ``place`` for ``guest``, whose ``listening`` is called once that is so: now or later.

        :raises TooManyPorts: where it would be one more than may listen.
        :raises OSError: where the port cannot be bound.
        """

    def leave(self, place: SocketAddress, guest: Guest) -> None:
        """``guest`` awaits nobody any more. It may leave more than once."""


def _confusable(one: Guest, other: Guest) -> bool:
    if one.lasting or other.lasting:
        return False
    if one.peers is None or other.peers is None:
        return True
    return one.peers.version == other.peers.version and one.peers.overlaps(other.peers)


class TooManyPorts(OSError):
    """As many data ports listen as may."""


@attrs.define(eq=False)
class DataPorts:
    """The data ports of one process that listen now: `Ports` where it is the only one.

    :param limit: how many they may be; 0 is no limit.
    """

    reactor: Reactor = attrs.field(repr=False)
    limit: int = attrs.field(default=0, init=False)
    _ports: dict[SocketAddress, _Port] = attrs.field(factory=dict, init=False)

    def open(self, place: SocketAddress, guest: Guest) -> None:
        """Listens at ``place`` for ``guest``; its ``listening`` is called, now or when a guest it could be taken for
        has left.

        :raises TooManyPorts: where it would be one more than may listen.
        :raises OSError: where the port cannot be bound.
        """
        port = self._ports.get(place)
        if port is None:
            if 0 < self.limit <= len(self._ports):
                raise TooManyPorts
            port = self._ports[place] = _Port(self, place, _bind(place))
            self.reactor.addReader(port)
        port.enter(guest)

    def leave(self, place: SocketAddress, guest: Guest) -> None:
        """``guest`` awaits nobody any more."""
        port = self._ports.get(place)
        if port is not None:
            port.leave(guest)

    def forget(self, place: SocketAddress) -> None:
        """The port at ``place`` was closed."""
        del self._ports[place]


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class _Port:
    owner: DataPorts = attrs.field(repr=False)
    place: SocketAddress
    socket: socket.socket
    guests: list[Guest] = attrs.field(factory=list, init=False)
    queue: list[Guest] = attrs.field(factory=list, init=False)
    reception: Reception | None = attrs.field(default=None, init=False)
    pause: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def enter(self, guest: Guest) -> None:
        # The origin has given its port to the new session: a guest that had not dialled it yet has lost it.
        others = [] if guest.lasting else [*self.guests, *self.queue]
        stale = [other for other in others if not other.dialled and not other.lasting]
        self.guests = [other for other in self.guests if other not in stale]
        self.queue = [*(other for other in self.queue if other not in stale), guest]
        self._admit()
        for other in stale:
            other.superseded()

    def leave(self, guest: Guest) -> None:
        if guest in self.queue:
            self.queue.remove(guest)
        if guest in self.guests:
            self.guests.remove(guest)
        self._admit()

    def _admit(self) -> None:
        for guest in self.queue.copy():
            if not any(_confusable(guest, other) for other in self.guests):
                self.queue.remove(guest)
                self.guests.append(guest)
                guest.listening()
        if not self.guests and self.fileno() >= 0:  # a guest that left as soon as it was let in has closed it already
            if self.pause is None:
                self.owner.reactor.removeReader(self)
            else:
                self.pause.cancel()
            self.owner.forget(self.place)
            self.socket.close()
            if self.reception is not None:
                self.reception.close()

    def _rest(self) -> None:
        self.pause = self.owner.reactor.callLater(_PAUSE, self._go_on)

    def _go_on(self) -> None:
        self.pause = None
        self.owner.reactor.addReader(self)

    # What the reactor asks for

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "data port"

    def doRead(self) -> None:
        try:
            connection, name = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client is gone again
            return
        except OSError:  # out of descriptors, say: the client stays in line, and the reactor would ask at every turn
            self.owner.reactor.removeReader(self)
            self._rest()
            return
        with contained(connection):
            self._receive(connection, (name[0], name[1]))

    def _receive(self, connection: Connection, peer: SocketAddress) -> None:
        address = peer_address(peer[0])
        if not any(guest.is_proxy(address) for guest in self.guests):
            self._lead(connection, address)
            return
        if self.reception is None:
            self.reception = Reception(self.owner.reactor)
        self.reception.receive(connection, peer, self)

    # What the reception asks for

    def introduced(self, connection: Connection, peer: SocketAddress, ends: ProxyInfo | None) -> None:
        with contained(connection):
            self._lead(connection, peer_address(peer[0]) if ends is None else ends.client[0])

    def header_refused(self, proxy: Address, reason: str) -> None:
        self.guests[0].header_refused(proxy, reason)

    def _lead(self, connection: Connection, address: Address) -> None:
        for guest in sorted(self.guests, key=lambda guest: (guest.lasting, guest.busy, -guest.spoke)):
            if guest.peers is None or address in guest.peers:
                guest.accepted(connection, address)
                return
        connection.close()
        self.guests[0].stranger(address)

    def connectionLost(self, reason: Failure) -> None:
        """A listening socket is not lost: the reactor dropped it behind an exception, which is in the log."""
        self._rest()


def _bind(place: SocketAddress) -> socket.socket:
    host, _ = place
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
