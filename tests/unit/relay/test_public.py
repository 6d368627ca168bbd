"""The public address: resolved every minute, the last good answer kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from ipaddress import IPv4Address

import attrs
import pytest
from twisted.internet.address import IPv4Address as TCPAddress
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.internet.task import Clock
from zope.interface import implementer

from gateway.observe.records import PublicAddressChanged, PublicAddressUnresolved, Record
from gateway.relay.public import INTERVAL, PublicHost

ONE, TWO = "192.0.2.1", "192.0.2.2"


@implementer(IHostResolution)
@attrs.frozen
class Resolution:
    """One that runs until the resolver answers."""

    name: str
    _forget: Callable[[], None]

    def cancel(self) -> None:
        self._forget()


@implementer(IHostnameResolver)
@attrs.define(eq=False)
class Names:
    """A resolver, and what it answers."""

    answers: list[str] = attrs.field(factory=list)
    slow: bool = False
    asked: list[tuple[str, object]] = attrs.field(factory=list)
    _receivers: list[IResolutionReceiver] = attrs.field(factory=list)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self.asked.append((hostName, addressTypes))
        resolution = Resolution(hostName, lambda: self._receivers.remove(resolutionReceiver))
        self._receivers.append(resolutionReceiver)
        resolutionReceiver.resolutionBegan(resolution)
        if not self.slow:
            self.answer()
        return resolution

    def answer(self) -> None:
        """Answers what was asked."""
        for receiver in self._receivers:
            for address in self.answers:
                receiver.addressResolved(TCPAddress("TCP", address, 0))
            receiver.resolutionComplete()
        self._receivers.clear()

    @property
    def waiting(self) -> int:
        """The number of those who wait for an answer."""
        return len(self._receivers)


@attrs.define(eq=False)
class Public:
    """A public address, the names and the clock around it, and the events that it noted."""

    host: str
    names: Names = attrs.field(factory=Names)
    clock: Clock = attrs.field(factory=Clock)
    noted: list[Record] = attrs.field(factory=list)
    address: PublicHost = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.address = PublicHost(self.host, lambda record, **_: self.noted.append(record))

    def start(self, *answers: str) -> None:
        """Begins, while the name has these addresses."""
        self.names.answers = list(answers)
        self.address.start(self.names, self.clock)

    def later(self, *answers: str) -> None:
        """A minute later the name has these addresses."""
        self.names.answers = list(answers)
        self.clock.advance(INTERVAL)

    def close(self) -> None:
        """Ends it; no timer is left."""
        self.address.stop()
        assert not self.clock.getDelayedCalls()


@pytest.fixture
def public() -> Iterator[Public]:
    """It has a name, and was not started yet."""
    with closing(Public("ftp.example.com")) as public:
        yield public


def test_an_address_is_not_resolved() -> None:
    with closing(Public(ONE)) as public:
        public.start()
        assert public.address.address == IPv4Address(ONE)
        assert public.names.asked == [] and not public.clock.getDelayedCalls()


def test_a_name_is_resolved_at_once_and_every_minute(public: Public) -> None:
    assert public.address.address is None
    public.start(ONE)
    assert public.address.address == IPv4Address(ONE)
    public.clock.advance(INTERVAL - 1)
    assert len(public.names.asked) == 1
    public.clock.advance(1)
    assert public.names.asked == [("ftp.example.com", [TCPAddress])] * 2
    assert public.noted == []


def test_a_change_is_noted(public: Public) -> None:
    public.start(ONE)
    public.later(TWO)
    assert public.address.address == IPv4Address(TWO)
    public.later(TWO)
    assert public.noted == [PublicAddressChanged("ftp.example.com", ONE, TWO)]


def test_an_address_that_is_still_good_stays(public: Public) -> None:
    public.start(ONE, TWO)
    public.later(TWO, ONE)
    assert public.address.address == IPv4Address(ONE)
    assert public.noted == []


def test_the_last_good_answer_stays_while_there_is_none(public: Public) -> None:
    public.start(ONE)
    for _ in range(3):
        public.later()
        assert public.address.address == IPv4Address(ONE)
    assert public.noted == [PublicAddressUnresolved("ftp.example.com", ONE)]
    public.later(ONE)
    public.later()
    assert public.noted == [PublicAddressUnresolved("ftp.example.com", ONE)] * 2


def test_there_may_never_have_been_one(public: Public) -> None:
    public.start()
    assert public.address.address is None
    assert public.noted == [PublicAddressUnresolved("ftp.example.com", "")]
    public.later(TWO)
    assert public.address.address == IPv4Address(TWO)
    assert public.noted == [PublicAddressUnresolved("ftp.example.com", "")]


def test_it_is_not_resolved_any_more_once_it_stopped(public: Public) -> None:
    public.start(ONE)
    public.address.stop()
    public.later(TWO)
    assert len(public.names.asked) == 1
    assert public.address.address == IPv4Address(ONE)


def test_a_slow_answer_is_taken_when_it_comes(public: Public) -> None:
    public.names.slow = True
    public.start(ONE)
    assert public.address.address is None
    public.names.answer()
    assert public.address.address == IPv4Address(ONE)


def test_one_that_never_answers_is_asked_for_once_at_a_time(public: Public) -> None:
    public.names.slow = True
    public.start(ONE)
    for _ in range(3):
        public.later(ONE)
        assert public.names.waiting == 1
    public.address.stop()
    assert public.names.waiting == 0
