"""The look-ups of names: one at a time for each name, in a thread of its own; its answer is shared for some seconds.

A crowd of clients before one name costs one thread, and a name whose servers are dead delays nobody but its own
clients. No more look-ups run at once than there are names in the configuration, twice as many where a name is both an
origin's and public.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.net.reactor import Reactor
from gateway.threads import in_own_thread

SHARED = 5.0  # seconds for which an answer is shared
FAILURE_SHARED = 1.0  # seconds for which a failure is

_FAMILIES: dict[frozenset[type[IAddress]], int] = {
    frozenset((IPv4Address,)): socket.AF_INET,
    frozenset((IPv6Address,)): socket.AF_INET6,
    frozenset((IPv4Address, IPv6Address)): socket.AF_UNSPEC,
}

_log = Logger("gateway")


@implementer(IHostResolution)
@attrs.define(eq=False)
class _Asked:
    """One who asked for the addresses of a name."""

    name: str
    receiver: IResolutionReceiver
    port: int
    look_up: _LookUp = attrs.field(repr=False)

    def cancel(self) -> None:
        """Asks no more. The look-up goes on: the next to ask shares it."""
        self.look_up.asking.pop(self, None)

    def answer(self, addresses: Iterable[str]) -> None:
        for host in addresses:
            kind = IPv6Address if ":" in host else IPv4Address
            self.receiver.addressResolved(kind("TCP", host, self.port))
        self.receiver.resolutionComplete()


@attrs.define(eq=False)
class _LookUp:
    """The look-up of one name, and its answer.

    :param asking: those who wait for the answer, in their order.
    :param addresses: the answer, empty where the name has no address; None while there is no answer yet.
    :param until: the reactor's time until which the answer is shared.
    """

    asking: dict[_Asked, None] = attrs.field(factory=dict, init=False)
    addresses: tuple[str, ...] | None = attrs.field(default=None, init=False)
    until: float = attrs.field(default=0.0, init=False)

    def is_over(self, now: float) -> bool:
        return self.addresses is not None and now >= self.until


@implementer(IHostnameResolver)
@attrs.define(eq=False)
class Resolver:
    """The system's resolver, as `socket.getaddrinfo` asks it. A look-up cannot be stopped: one that hangs stays the
    only one of its name.
    """

    reactor: Reactor = attrs.field(repr=False)
    _look_ups: dict[tuple[str, int], _LookUp] = attrs.field(factory=dict, init=False)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Gives the receiver the addresses of a name for TCP: at once where they are known."""
        family = _FAMILIES[frozenset(addressTypes or (IPv4Address, IPv6Address))]
        look_up = self._look_up(hostName, family)
        asked = _Asked(hostName, resolutionReceiver, portNumber, look_up)
        resolutionReceiver.resolutionBegan(asked)
        if look_up.addresses is None:
            look_up.asking[asked] = None
        else:
            asked.answer(look_up.addresses)
        return asked

    def _look_up(self, name: str, family: int) -> _LookUp:
        now = self.reactor.seconds()
        found = self._look_ups.get((name, family))
        if found is None or found.is_over(now):
            self._look_ups = {key: other for key, other in self._look_ups.items() if not other.is_over(now)}
            found = self._look_ups[name, family] = _LookUp()
            in_own_thread(self.reactor, _addresses, name, family).addBoth(self._answered, found)
        return found

    def _answered(self, answer: tuple[str, ...] | Failure, look_up: _LookUp) -> None:
        look_up.addresses = () if isinstance(answer, Failure) else answer
        look_up.until = self.reactor.seconds() + (SHARED if look_up.addresses else FAILURE_SHARED)
        while look_up.asking:
            asked = next(iter(look_up.asking))
            asked.cancel()
            try:
                asked.answer(look_up.addresses)
            except Exception:  # that of one session; the others have to hear the answer
                _log.failure("the answer of a look-up could not be used")


def _addresses(name: str, family: int) -> tuple[str, ...]:
    found = (str(place[0]) for *_, place in socket.getaddrinfo(name, 0, family, socket.SOCK_STREAM))
    return tuple(dict.fromkeys(found))  # each once


def use_own_resolver(reactor: Reactor) -> None:
    """Makes a reactor look names up with a `Resolver` in the place of its pool of threads."""
    reactor.installNameResolver(Resolver(reactor))
