"""The dialling of an origin by address or by name. One time limit bounds the look-up and all attempts together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from gateway.net.clock import call_off
from gateway.net.dial import Dial
from gateway.net.leg import Leg
from gateway.net.reactor import Reactor

_STAGGER = 0.25  # seconds until the next address is tried beside those that have not answered (RFC 8305 section 8)

Done = Callable[[Leg | str, str], None]


class Attempt(Protocol):
    """An attempt to connect."""

    def cancel(self) -> object:
        """Gives up. ``done`` is not called any more."""


def dial(reactor: Reactor, host: str, port: int, named: bool, timeout: float, done: Done) -> Attempt:
    """Connects to an address, or to the addresses of a name one after the other (RFC 8305).

    :param named: whether ``host`` is a name.
    :param timeout: seconds.
    :param done: called once, unless given up: with the leg and the address that it leads to, or with the reason of
        the failure.
    """
    if named:
        by_name = _ByName(reactor, host, port, timeout, done)
        by_name.start()
        return by_name
    attempt = Dial(reactor, (host, port), None, timeout, lambda answer: done(answer, host))
    attempt.start()
    return attempt


@implementer(IResolutionReceiver)
@attrs.define(eq=False)
class _ByName:
    """The attempt to connect to a name: first it is looked up, then its addresses are tried in their order.

    The next address is tried once the one before has failed, or has not answered for a moment.
    """

    reactor: Reactor = attrs.field(repr=False)
    host: str
    port: int
    timeout: float
    done: Done = attrs.field(repr=False)
    _resolution: IHostResolution | None = attrs.field(default=None, init=False, repr=False)
    _addresses: list[str] = attrs.field(factory=list, init=False)  # not tried yet
    _attempts: dict[str, Dial] = attrs.field(factory=dict, init=False, repr=False)  # not answered yet
    _next: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)
    _late: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Begins to look the name up; may call ``done`` at once."""
        self._late = self.reactor.callLater(self.timeout, self._time_is_over)
        self.reactor.nameResolver.resolveHostName(self, self.host, self.port)

    def cancel(self) -> None:
        """Gives up; ``done`` is not called any more."""
        if self._resolution is not None:
            self._resolution.cancel()
        call_off(self._next)
        call_off(self._late)
        for attempt in self._attempts.values():
            attempt.cancel()
        self._attempts.clear()
        self._resolution = self._next = self._late = None

    # Called by the resolver

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        assert isinstance(address, (IPv4Address, IPv6Address))
        self._addresses.append(address.host)

    def resolutionComplete(self) -> None:
        self._resolution = None
        if self._addresses:
            self._try_next()
        else:
            self._end(f"the name {self.host} has no address, or cannot be looked up")

    def _try_next(self) -> None:
        call_off(self._next)
        address = self._addresses.pop(0)
        if self._addresses:
            self._next = self.reactor.callLater(_STAGGER, self._try_next)
        place = (address, self.port)
        self._attempts[address] = Dial(self.reactor, place, None, self.timeout, partial(self._answered, address))
        self._attempts[address].start()

    def _answered(self, address: str, answer: Leg | str) -> None:
        del self._attempts[address]
        if isinstance(answer, Leg):
            self._end(answer, address)
        elif self._addresses:
            self._try_next()
        elif not self._attempts:
            self._end(answer)

    def _time_is_over(self) -> None:
        self._end("the look-up of the name took too long" if self._resolution is not None else "connect timeout")

    def _end(self, answer: Leg | str, address: str = "") -> None:
        self.cancel()
        self.done(answer, address or self.host)
