"""The public address that 227 replies name, where it is a host name: resolved anew while the gateway runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from ipaddress import IPv4Address

import attrs
from twisted.internet.address import IPv4Address as TCPAddress
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
)
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from gateway.observe.records import Note, PublicAddressChanged, PublicAddressUnresolved

INTERVAL = 60.0  # seconds between two resolutions


@attrs.define(eq=False)
class PublicHost:
    """An IPv4 address, or the name of one.

    While the name does not resolve, the last good answer stays; before the first, ``address`` is None.

    :param host: the configured address or name.
    :param note: writes an event down.
    """

    host: str
    note: Note = attrs.field(repr=False)
    address: IPv4Address | None = attrs.field(default=None, init=False)
    _loop: LoopingCall | None = attrs.field(default=None, init=False, repr=False)
    _answers: _Answers | None = attrs.field(default=None, init=False, repr=False)
    _failing: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        with contextlib.suppress(ValueError):
            self.address = IPv4Address(self.host)

    def start(self, resolver: IHostnameResolver, clock: IReactorTime) -> None:
        """Resolves now, and every minute."""
        if self.address is None:
            self._loop = LoopingCall(self._resolve, resolver)
            self._loop.clock = clock
            self._loop.start(INTERVAL)

    def stop(self) -> None:
        """Resolves no more."""
        if self._loop is not None:
            self._loop.stop()
            self._loop = None
            self._cancel()

    def _resolve(self, resolver: IHostnameResolver) -> None:
        self._cancel()  # one that takes longer than a minute
        self._answers = _Answers(self._resolved)
        resolver.resolveHostName(self._answers, self.host, addressTypes=[TCPAddress])

    def _cancel(self) -> None:
        if self._answers is not None and self._answers.resolution is not None:
            self._answers.resolution.cancel()

    def _resolved(self, answers: list[IPv4Address]) -> None:
        if not answers:
            if not self._failing:
                self.note(PublicAddressUnresolved(self.host, str(self.address or "")))
            self._failing = True
            return
        self._failing = False
        if self.address in answers:
            return
        before, self.address = self.address, answers[0]
        if before is not None:
            self.note(PublicAddressChanged(self.host, str(before), str(self.address)))


@implementer(IResolutionReceiver)
@attrs.define(eq=False)
class _Answers:
    done: Callable[[list[IPv4Address]], None]
    found: list[IPv4Address] = attrs.field(factory=list, init=False)
    resolution: IHostResolution | None = attrs.field(default=None, init=False)  # while it runs

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self.resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        assert isinstance(address, TCPAddress)
        self.found.append(IPv4Address(address.host))

    def resolutionComplete(self) -> None:
        self.resolution = None
        self.done(self.found)
