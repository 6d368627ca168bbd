"""Where clients of one application come in."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import ServerFactory

from gateway.data.leg import Leg, Place, peer_address
from gateway.data.newcomer import Newcomer
from gateway.guard.proxy import Ends
from gateway.relay.application import Application
from gateway.relay.dial import Arrival, Reactor
from gateway.relay.relay import Relay
from gateway.session.events import Draining, Stopped


@attrs.define(eq=False)
class Door(ServerFactory):
    """Makes a session of each client that comes, and knows those that are inside.

    :param application: what new sessions are of; running ones keep theirs.
    :param drain: how long transfers may go on when it closes for good, in seconds.
    :param numbers: gives each session its number.
    """

    noisy = False

    reactor: Reactor = attrs.field(repr=False)
    application: Application
    drain: float
    numbers: Iterator[int] = attrs.field(repr=False)
    listening: IListeningPort | None = attrs.field(default=None, init=False, repr=False)
    _newcomers: set[Newcomer] = attrs.field(factory=set, init=False, repr=False)
    _relays: set[Relay] = attrs.field(factory=set, init=False, repr=False)
    _empty: Deferred[None] | None = attrs.field(default=None, init=False, repr=False)

    @property
    def sessions(self) -> int:
        """How many are inside."""
        return len(self._relays)

    def logPrefix(self) -> str:
        """What Twisted's own log lines call it."""
        return self.application.name

    def buildProtocol(self, addr: IAddress | None) -> Arrival:
        return Arrival(self._came)

    def _came(self, connection: socket.socket, peer: Place) -> None:
        if self.application.is_proxy(peer_address(peer[0])):
            self._newcomers.add(Newcomer(self.reactor, connection, peer, self._introduced, self._refuse))
        else:
            self._welcome(connection, peer, None)

    def _introduced(self, newcomer: Newcomer, ends: Ends | None) -> None:
        self._newcomers.remove(newcomer)
        self._welcome(newcomer.release(), newcomer.peer, ends)

    def _refuse(self, newcomer: Newcomer, reason: str | None) -> None:
        self._newcomers.remove(newcomer)
        newcomer.release().close()
        if reason is not None:
            fields = {"proxy": str(peer_address(newcomer.peer[0])), "reason": reason}
            self.application.note("proxyHeaderRefused", fields)

    def _welcome(self, connection: socket.socket, peer: Place, ends: Ends | None) -> None:
        """Begins the session of a client whose address is known now.

        :param ends: what its PROXY header told; None where the connection is its own.
        """
        relay = Relay(self.reactor, self.application, next(self.numbers), self._gone)
        self._relays.add(relay)
        relay.start(Leg(self.reactor, connection), peer, ends)

    def shut(self) -> None:
        """Lets nobody in any more; those inside go on."""
        if self.listening is not None:
            self.listening.stopListening()
            self.listening = None

    def clear(self) -> Deferred[None]:
        """Lets nobody in any more and sends all out: at once, or at the end of their transfer. Fires when empty."""
        self.shut()
        for newcomer in self._newcomers:
            newcomer.release().close()
        self._newcomers.clear()
        for relay in tuple(self._relays):
            relay.tell(Draining())
        if not self._relays:
            return succeed(None)
        late = self.reactor.callLater(self.drain, self.hurry)
        self._empty = Deferred()
        return self._empty.addBoth(lambda _: late.cancel() if late.active() else None)

    def hurry(self) -> None:
        """Ends every session inside now, its transfer with it."""
        for relay in tuple(self._relays):
            relay.tell(Stopped())
            relay.cut()

    def _gone(self, relay: Relay) -> None:
        self._relays.discard(relay)
        if not self._relays and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)
