"""The control port: a port at which the clients of one application come in."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import attrs
from twisted.internet.defer import Deferred, succeed

from gateway.addresses import Address, SocketAddress, peer_address
from gateway.ftp.replies import Reply
from gateway.guard.admission import Refusal
from gateway.guard.places import Place
from gateway.net.acceptor import Acceptor
from gateway.net.clock import call_off
from gateway.net.leg import Leg
from gateway.net.proxy_header import ProxyInfo
from gateway.net.reactor import Reactor
from gateway.net.reception import Contained, Reception
from gateway.observe.records import ClientFiltered, ProxyHeaderRefused
from gateway.relay.farewell import Farewell
from gateway.relay.relay import Relay
from gateway.relay.sides import Side
from gateway.relay.terms import SessionTerms
from gateway.session.events import Draining, Stopped

# The most clients that are being told that they may not come in. Each takes a descriptor until it closes; beyond this
# number they are closed without a word.
MAX_TURNED_AWAY = 256


@attrs.define(eq=False)
class ControlPort:
    """The port that makes a session of each client that is let in, and counts the sessions.

    :param terms: the terms of new sessions; running ones keep theirs.
    :param drain: the seconds that transfers may go on when the port closes for good.
    :param numbers: gives each session its number.
    """

    reactor: Reactor = attrs.field(repr=False)
    terms: SessionTerms
    drain: float
    numbers: Iterator[int] = attrs.field(repr=False)
    listening: Acceptor | None = attrs.field(default=None, init=False, repr=False)
    _reception: Reception | None = attrs.field(default=None, init=False, repr=False)
    _turned_away: set[Side] = attrs.field(factory=set, init=False, repr=False)
    _relays: dict[Relay, Address] = attrs.field(factory=dict, init=False, repr=False)
    _awaiting: list[Deferred[None]] = attrs.field(factory=list, init=False, repr=False)

    @property
    def sessions(self) -> int:
        """The number of running sessions."""
        return len(self._relays)

    def came(self, connection: socket.socket, peer: SocketAddress) -> None:
        """Called with a new connection."""
        with Contained(connection):
            if not self.terms.is_proxy(peer_address(peer[0])):
                self._welcome(connection, peer, None)
                return
            if self._reception is None:
                self._reception = Reception(self.reactor)
            self._reception.receive(connection, peer, self)

    def introduced(self, connection: socket.socket, peer: SocketAddress, ends: ProxyInfo | None) -> None:
        """Called when the header of a balancer's connection was read."""
        with Contained(connection):
            self._welcome(connection, peer, ends)

    def header_refused(self, proxy: Address, reason: str) -> None:
        """Called when a balancer's connection was closed because of its header."""
        self.terms.note(ProxyHeaderRefused(str(proxy), reason))

    def _welcome(self, connection: socket.socket, peer: SocketAddress, ends: ProxyInfo | None) -> None:
        """Begins the session of a client whose address is known now, or turns it away.

        :param ends: the ends that its PROXY header names; None where the connection is the client's own.
        """
        client = peer_address(peer[0]) if ends is None else ends.client[0]
        leg = Leg(self.reactor, connection)
        place = self.terms.guard.places.of(client)
        refusal = self.terms.guard.admit(client, place)
        if refusal is not None:
            self._turn_away(leg, client, place, refusal)
            return
        relay = Relay(self.reactor, self.terms, next(self.numbers), self._gone)
        self._relays[relay] = client
        try:
            relay.start(leg, peer, ends, place)
        except Exception:
            leg.reset()
            self._gone(relay)
            raise

    def shut(self) -> None:
        """Lets no more clients in; running sessions go on."""
        if self.listening is not None:
            self.listening.close()
            self.listening = None
        if self._reception is not None:
            self._reception.close()

    def empty(self) -> Deferred[None]:
        """Fires when no session is left."""
        if not self._relays:
            return succeed(None)
        self._awaiting.append(Deferred())
        return self._awaiting[-1]

    def clear(self) -> Deferred[None]:
        """Lets no more clients in and ends each session: at once, or after its transfer. Fires when all are gone."""
        self.shut()
        for side in tuple(self._turned_away):
            side.abort()
        for relay in tuple(self._relays):
            relay.tell(Draining())
        if not self._relays:
            return succeed(None)
        late = self.reactor.callLater(self.drain, self.hurry)
        return self.empty().addBoth(lambda _: call_off(late))

    def hurry(self) -> None:
        """Ends every running session now, with its transfer."""
        for relay in tuple(self._relays):
            relay.tell(Stopped())
            relay.cut()

    def _turn_away(self, leg: Leg, client: Address, place: Place, refusal: Refusal) -> None:
        terms = self.terms
        if refusal.noted:
            reason, network, named_by = refusal.reason.value, refusal.network, refusal.list
            terms.note(ClientFiltered(reason, network, named_by, place.country, place.asn), client=str(client))
        # A reply in the clear means nothing to a client that speaks TLS from the first byte.
        if refusal.words is None or terms.tls.implicit or len(self._turned_away) == MAX_TURNED_AWAY:
            leg.close()
            return
        side = Side(self.reactor, Farewell(self._turned_away.discard), leg, str(client))
        self._turned_away.add(side)
        side.send(Reply.of(421, refusal.words).render())
        side.close()

    def _gone(self, relay: Relay) -> None:
        relay.terms.guard.leave(self._relays.pop(relay))
        if not self._relays:
            awaiting, self._awaiting = self._awaiting, []
            for each in awaiting:
                each.callback(None)
