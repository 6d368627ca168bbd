"""The candidates at a data port: the connections that may be the client's, their handshakes, their deadline."""

from __future__ import annotations

from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gateway.addresses import Address
from gateway.data.tables import CLIENT, Cause, Client
from gateway.data.usage import Ending
from gateway.machine import Machine
from gateway.net.leg import Leg
from gateway.net.tls_leg import Handshake, TLSLeg

_MAX_CANDIDATES = 4  # connections that have not yet shown whether they are the client's
_NO_HANDSHAKE = "no TLS handshake in time"


class Host(Protocol):
    """The channel that awaits its client."""

    def client_came(self) -> None:
        """Called when a connection came that may be the client's."""

    def client_known(self, leg: Leg, address: Address) -> None:
        """Called when the client is known."""

    def client_refused(self, address: Address, reason: str) -> None:
        """Called when a connection from the client's address was turned away."""

    def client_missing(self, ending: Ending, reason: str = "") -> None:
        """Called when the client did not come, or no connection was the client's."""

    def failed(self) -> None:
        """Called when an exception was raised while a candidate was served."""


@attrs.define(eq=False)
class Candidates:
    """The connections from the client's address; the first that proves to be the client's is its data connection.

    :param host: is told nothing any more after ``close``.
    :param timeout: the seconds for the client to come and to be known.
    :param is_held: whether candidates are held until ``begin``, the start of the transfer.
    """

    reactor: IReactorTime = attrs.field(repr=False)
    host: Host = attrs.field(repr=False)
    timeout: float
    is_held: bool
    _state: Machine[Client, Cause] = attrs.field(init=False)
    _handshake: Handshake | None = attrs.field(default=None, init=False, repr=False)
    _all: list[tuple[Leg, Address]] = attrs.field(factory=list, init=False, repr=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    @_state.default
    def _first_state(self) -> Machine[Client, Cause]:
        return Machine(CLIENT, Client.AWAITED if self.is_held else Client.SOUGHT)

    @property
    def held(self) -> bool:
        """Whether the connections that come are held until the transfer begins."""
        return self._state.state in (Client.AWAITED, Client.ARRIVED)

    def wait(self) -> None:
        """Restarts the time that the client has."""
        if self._timer is None:
            self._timer = self.reactor.callLater(self.timeout, self._late)
        else:
            self._timer.reset(self.timeout)

    def come(self, leg: Leg, address: Address) -> None:
        """Takes a connection that may be the client's."""
        if len(self._all) == _MAX_CANDIDATES:
            leg.reset()
            self.host.client_refused(address, "too many connections at once")
            return
        self._all.append((leg, address))
        self._state.move(Cause.CAME)
        self.host.client_came()
        if self._state.state is Client.ARRIVED:
            self._stop_timer()
        elif self._state.state is Client.SOUGHT:
            self._greet(leg, address)

    def begin(self, handshake: Handshake | None) -> None:
        """Lets the held connections show, by this handshake, whether they are the client's."""
        self._state.move(Cause.BEGIN)
        self._handshake = handshake
        self.wait()
        for leg, address in tuple(self._all):
            if self._state.state is Client.SOUGHT:
                self._greet(leg, address)

    def close(self) -> None:
        """Turns every connection away, and awaits none any more."""
        self._state.move(Cause.END)
        self._stop_timer()
        self._reset_all()
        del self.host  # the host holds these candidates

    def _greet(self, leg: Leg, address: Address) -> None:
        if self._handshake is None:
            self._know(leg, address)
            return
        secure = TLSLeg(leg.reactor, leg.hand_over(), handshake=self._handshake)
        secure.failed = self.host.failed
        self._all[self._all.index((leg, address))] = (secure, address)
        secure.secure(lambda failure: self._greeted(secure, address, failure))

    def _greeted(self, leg: Leg, address: Address, failure: str | None) -> None:
        if failure is None:
            self._know(leg, address)
            return
        self._all.remove((leg, address))
        leg.reset()
        self.host.client_refused(address, failure)
        if not self._all:
            self.host.client_missing(Ending.CLIENT_TLS, failure)

    def _know(self, leg: Leg, address: Address) -> None:
        self._state.move(Cause.KNOWN)
        self._stop_timer()
        self._all.remove((leg, address))
        self._reset_all()
        self.host.client_known(leg, address)

    def _late(self) -> None:
        self._timer = None
        if not self._all:
            self.host.client_missing(Ending.NO_CLIENT)
            return
        for _, address in self._all:
            self.host.client_refused(address, _NO_HANDSHAKE)
        self.host.client_missing(Ending.CLIENT_TLS, _NO_HANDSHAKE)

    def _reset_all(self) -> None:
        for leg, _ in self._all:
            leg.reset()
        self._all.clear()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
