"""The candidates at a data port: the connections that may be the client's, their handshakes, their deadlines.

Until the transfer begins they are held, and most clients send nothing before the 150. Then their handshakes begin: a
candidate that is silent for too long is turned away. There are few at a time: of all but the first, the one that has
been silent longest gives way to a new one. The first keeps its place, since it is the client's as a rule; otherwise
latecomers could push the client aside, and without TLS even take its data.
"""

from __future__ import annotations

from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gateway.addresses import Address
from gateway.data.tables import CLIENT, Cause, Client
from gateway.data.usage import Ending
from gateway.machine import Machine
from gateway.net.clock import call_off
from gateway.net.leg import Leg
from gateway.net.tls_leg import Handshake, TLSLeg

SILENCE = 5.0  # seconds in which a candidate has to send something once its handshake has begun

MAX_CANDIDATES = 4  # connections that have not yet shown whether they are the client's
_GAVE_WAY = "gave way to a newer connection"
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
        """Called when the client or its transfer command did not come, or no connection was the client's."""

    def failed(self) -> None:
        """Called when an exception was raised while a candidate was served."""


@attrs.define(eq=False)
class _Candidate:
    """A connection that may be the client's.

    :param heard: the time when it came, its handshake began, or its last bytes came.
    :param silence: runs out where it sends nothing in its handshake.
    """

    leg: Leg = attrs.field(repr=False)
    address: Address
    heard: float
    silence: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def reset(self) -> None:
        """Turns the connection away."""
        self.rest()
        self.leg.reset()

    def rest(self) -> None:
        """Waits for no more bytes."""
        call_off(self.silence)
        self.silence = None


@attrs.define(eq=False)
class Candidates:
    """The connections from the client's address; the first that proves to be the client's is its data connection.

    :param host: is told nothing any more after ``close``.
    :param timeout: the seconds for the transfer to begin, and then for the client to come and to be known.
    :param is_held: whether candidates are held until ``begin``, the start of the transfer.
    """

    reactor: IReactorTime = attrs.field(repr=False)
    host: Host = attrs.field(repr=False)
    timeout: float
    is_held: bool
    _state: Machine[Client, Cause] = attrs.field(init=False)
    _handshake: Handshake | None = attrs.field(default=None, init=False, repr=False)
    _all: list[_Candidate] = attrs.field(factory=list, init=False, repr=False)
    _silent: bool = attrs.field(default=False, init=False)  # a candidate was turned away for its silence
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
        if len(self._all) == MAX_CANDIDATES:
            self._turn_away(min(self._all[1:], key=lambda other: other.heard), _GAVE_WAY)
        candidate = _Candidate(leg, address, self.reactor.seconds())
        self._all.append(candidate)
        self._state.move(Cause.CAME)
        self.host.client_came()
        if self._state.state is Client.SOUGHT:
            self._greet(candidate)

    def begin(self, handshake: Handshake | None) -> None:
        """Lets the held connections show, by this handshake, whether they are the client's."""
        self._state.move(Cause.BEGIN)
        self._handshake = handshake
        self.wait()
        for candidate in tuple(self._all):
            if self._state.state is Client.SOUGHT:
                self._greet(candidate)

    def close(self) -> None:
        """Turns every connection away, and awaits none any more."""
        self._state.move(Cause.END)
        self._stop_timer()
        self._reset_all()
        del self.host  # the host holds these candidates

    def _greet(self, candidate: _Candidate) -> None:
        if self._handshake is None:
            self._know(candidate)
            return
        leg = candidate.leg
        candidate.leg = secure = TLSLeg(leg.reactor, leg.hand_over(), handshake=self._handshake)
        secure.failed = self.host.failed
        self._heard(candidate)
        candidate.silence = self.reactor.callLater(SILENCE, self._silent_for_long, candidate)
        secure.secure(lambda failure: self._greeted(candidate, failure), lambda: self._heard(candidate))

    def _heard(self, candidate: _Candidate) -> None:
        candidate.heard = self.reactor.seconds()
        if candidate.silence is not None:
            candidate.silence.reset(SILENCE)

    def _greeted(self, candidate: _Candidate, failure: str | None) -> None:
        if failure is None:
            self._know(candidate)
            return
        self._turn_away(candidate, failure)
        if not self._all:
            self.host.client_missing(Ending.CLIENT_TLS, failure)

    def _know(self, candidate: _Candidate) -> None:
        self._state.move(Cause.KNOWN)
        self._stop_timer()
        candidate.rest()
        self._all.remove(candidate)
        self._reset_all()
        self.host.client_known(candidate.leg, candidate.address)

    def _silent_for_long(self, candidate: _Candidate) -> None:
        # Anybody at the client's address can be silent: the client itself may still come.
        self._silent = True
        self._turn_away(candidate, _NO_HANDSHAKE)

    def _turn_away(self, candidate: _Candidate, reason: str) -> None:
        self._all.remove(candidate)
        candidate.reset()
        self.host.client_refused(candidate.address, reason)

    def _late(self) -> None:
        self._timer = None
        if self._state.state is Client.ARRIVED:
            self.host.client_missing(Ending.NO_TRANSFER)
            return
        for candidate in self._all:
            self.host.client_refused(candidate.address, _NO_HANDSHAKE)
        if self._all or self._silent:
            self.host.client_missing(Ending.CLIENT_TLS, _NO_HANDSHAKE)
        else:
            self.host.client_missing(Ending.NO_CLIENT)

    def _reset_all(self) -> None:
        for candidate in self._all:
            candidate.reset()
        self._all.clear()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
