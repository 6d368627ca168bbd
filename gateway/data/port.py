"""The listening data ports; each listens only while a client is awaited.

An origin may give a port out again as soon as it has accepted there, while the first client is still on its way to
the gateway. So clients share a port if their addresses tell them apart; a client that could be mistaken for another
waits until the other has come, or its time is over.
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
from gateway.net.reception import Contained, Reception

Connection = socket.socket  # the class below has an attribute of the module's name

_BACKLOG = 128  # connections waiting to be accepted; strangers may come by the dozen
_PAUSE = 0.1  # seconds until a port that could not accept tries again


class Guest(Protocol):
    """A guest at a data port, which awaits a client there."""

    @property
    def peers(self) -> Network | None:
        """The network whose connections are accepted; None for any."""

    @property
    def dialled(self) -> bool:
        """Whether the origin's port that this one stands for has already accepted."""

    @property
    def lasting(self) -> bool:
        """Whether it awaits any number of connections, namely all that no other guest of the port awaits.

        While the origin has yet to accept for another guest, it gets none.
        """

    @property
    def spoke(self) -> float:
        """The time when its session last said anything; the lasting guest with the latest one gets the connection."""

    @property
    def busy(self) -> bool:
        """Whether its session already has a data connection, and so has hardly asked for another."""

    def listening(self) -> None:
        """Called when the port listens."""

    def accepted(self, connection: socket.socket, address: Address) -> None:
        """Called when a connection came that it accepts; once that is its client's, the guest has to leave.

        Where it raises an exception, it has closed the connection, or done nothing with it.
        """

    def stranger(self, address: Address) -> None:
        """Called when a connection from an unexpected address was closed."""

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""

    def header_refused(self, address: Address, reason: str) -> None:
        """Called when a connection from such an address was closed because of its header."""

    def superseded(self) -> None:
        """Called when the origin gave the port to another session; the port no longer listens for this guest."""


class Ports(Protocol):
    """The data ports of all sessions, in this process or in several that share them."""

    def open(self, place: SocketAddress, guest: Guest) -> None:
        """Listens at ``place`` for ``guest``, and calls its ``listening`` then, now or later.

        :raises TooManyPorts: where no more ports may listen.
        :raises OSError: where the port cannot be bound.
        """

    def leave(self, place: SocketAddress, guest: Guest) -> None:
        """Awaits nobody for ``guest`` any more. A guest may leave more than once."""


def _confusable(one: Guest, other: Guest) -> bool:
    if other.lasting:
        return False
    if one.peers is None or other.peers is None:
        return True
    return one.peers.version == other.peers.version and one.peers.overlaps(other.peers)


class TooManyPorts(OSError):
    """The refusal of one more listening port: the limit is reached."""


@attrs.define(eq=False)
class DataPorts:
    """The listening data ports of one process: the `Ports` of a gateway with a single one.

    :param limit: the most ports that listen at once; 0 is no limit.
    """

    reactor: Reactor = attrs.field(repr=False)
    limit: int = attrs.field(default=0, init=False)
    _ports: dict[SocketAddress, _Port] = attrs.field(factory=dict, init=False)

    def open(self, place: SocketAddress, guest: Guest) -> None:
        """Listens at ``place`` for ``guest``, and calls its ``listening``: now, or when a guest with which it could
        be confused has left.

        :raises TooManyPorts: where no more ports may listen.
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
        """Awaits nobody for ``guest`` any more."""
        port = self._ports.get(place)
        if port is not None:
            port.leave(guest)

    def forget(self, place: SocketAddress) -> None:
        """Forgets the port at ``place``, which was closed."""
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
            if guest.lasting or not any(_confusable(guest, other) for other in self.guests):
                self.queue.remove(guest)
                self.guests.append(guest)
                guest.listening()
        if not self.guests and self.fileno() >= 0:  # a guest that left during its `listening` has closed it already
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

    # Called by the reactor

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "data port"

    def doWrite(self) -> None:
        """Does nothing: the reactor may still report the socket that had the descriptor before."""

    def doRead(self) -> None:
        try:
            connection, name = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client is gone again
            return
        except OSError:  # out of descriptors, say: the client stays in line, but the reactor must not ask each turn
            self.owner.reactor.removeReader(self)
            self._rest()
            return
        with Contained(connection):
            self._receive(connection, (name[0], name[1]))

    def _receive(self, connection: Connection, peer: SocketAddress) -> None:
        address = peer_address(peer[0])
        if not any(guest.is_proxy(address) for guest in self.guests):
            self._lead(connection, address)
            return
        if self.reception is None:
            self.reception = Reception(self.owner.reactor)
        self.reception.receive(connection, peer, self)

    # Called by the reception

    def introduced(self, connection: Connection, peer: SocketAddress, ends: ProxyInfo | None) -> None:
        with Contained(connection):
            self._lead(connection, peer_address(peer[0]) if ends is None else ends.client[0])

    def header_refused(self, proxy: Address, reason: str) -> None:
        self.guests[0].header_refused(proxy, reason)

    def _lead(self, connection: Connection, address: Address) -> None:
        # The origin has not accepted for that guest yet: it would take a lasting guest's connection for the guest's.
        awaited = any(not guest.lasting and not guest.dialled for guest in self.guests)
        welcoming = [guest for guest in self.guests if not (awaited and guest.lasting)]
        for guest in sorted(welcoming, key=lambda guest: (guest.lasting, guest.busy, -guest.spoke)):
            if guest.peers is None or address in guest.peers:
                guest.accepted(connection, address)
                return
        connection.close()
        self.guests[0].stranger(address)

    def connectionLost(self, reason: Failure) -> None:
        """Pauses after an exception, which is in the log: the reactor dropped the socket, but it still listens."""
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
