"""The data channels of one session: the one of which the judge is told, and the totals of all."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest

from gateway.data.bandwidth import Bandwidth
from gateway.data.channel import DataChannel
from gateway.data.port import DataPorts
from gateway.data.usage import Ending, Usage
from gateway.net.proxy_header import ProxyInfo
from gateway.net.reactor import Reactor
from gateway.observe.records import Record
from gateway.relay.channels import Channels
from gateway.relay.terms import DataTerms
from gateway.session import events as on
from tests.kit.manual_reactor import ManualReactor

LOCAL = ip_address("127.0.0.1")
ENDS = ProxyInfo((ip_address("203.0.113.9"), 50000), (ip_address("198.51.100.7"), 21))
PUBLIC = IPv4Address("198.51.100.1")


@attrs.define(eq=False)
class Session:
    """Writes down what it is told."""

    events: list[on.Event] = attrs.field(factory=list)
    notes: list[Record] = attrs.field(factory=list)
    gone: int = 0

    def tell(self, event: on.Event) -> None:
        self.events.append(event)

    def note(self, record: Record) -> None:
        self.notes.append(record)

    def channel_gone(self) -> None:
        self.gone += 1


@attrs.define(eq=False)
class House:
    """A session's channels, on a reactor that turns when it is told to."""

    session: Session = attrs.field(factory=Session)
    loop: ManualReactor = attrs.field(factory=ManualReactor)
    channels: Channels = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        reactor = cast(Reactor, self.loop)
        data = DataTerms(
            ports=DataPorts(reactor),
            interface=None,
            peers=lambda client: None,
            resumption=False,
            bandwidth=Bandwidth(0, 0, self.loop.seconds),
            accept_timeout=30,
            stall_timeout=300,
        )
        terms: Any = SimpleNamespace(
            data=data,
            passive_host=lambda reached: PUBLIC if reached == ENDS.reached[0] else None,
            is_proxy=lambda address: False,
            tls=SimpleNamespace(terminates=False),
            origin=SimpleNamespace(data_header=lambda ends: b"", connect_timeout=10),
        )
        self.channels = Channels(reactor, terms, self.session, ENDS, LOCAL)
        self.channels.origin = cast(Any, SimpleNamespace(peer="127.0.0.3", local="127.0.0.1"))

    def open(self) -> DataChannel:
        """A channel on any port, which listens."""
        self.channels.open(9, 0)
        return self.channels._open[-1]

    def end(self, channel: DataChannel, ending: Ending, to_client: int = 0, to_origin: int = 0) -> None:
        """The channel tells that it is over, when so much had gone through it."""
        self.channels.data_ended(channel, Usage(ending, 0, None, to_client, to_origin, 1.0, ""))
        channel.owner = cast(Any, SimpleNamespace(data_ended=lambda *_: None))
        channel.close()


@pytest.fixture
def house() -> Iterator[House]:
    """No channel is open yet."""
    house = House()
    yield house
    house.channels.cut()
    assert len(house.channels) == 0
    assert not house.loop.readers and house.loop.getDelayedCalls() == []


def test_a_port_that_listens_is_told_with_what_a_227_names(house: House) -> None:
    house.open()
    assert house.session.events == [on.DataListening(PUBLIC)]


def test_the_judge_hears_of_the_newest_alone(house: House) -> None:
    first = house.open()
    second = house.open()  # which ends the first
    assert len(house.channels) == 1 and house.session.gone == 1
    house.session.events.clear()
    house.channels.data_connected(first)
    house.channels.data_delivered(first, True)
    assert house.session.events == []
    house.channels.data_connected(second)
    house.channels.data_delivered(second, True)
    house.channels.data_delivered(second, False)
    house.end(second, Ending.CLIENT_TLS)
    assert house.session.events == [
        on.DataConnected(),
        on.DataDelivered(on.Towards.CLIENT),
        on.DataDelivered(on.Towards.ORIGIN),
        on.DataEnded(insecure=True),
    ]
    assert house.session.gone == 1


def test_a_channel_without_a_transfer_command_is_told(house: House) -> None:
    channel = house.open()
    house.session.events.clear()
    house.end(channel, Ending.NO_TRANSFER)
    assert house.session.events == [on.DataEnded(expired=True)]


@pytest.mark.parametrize("how", [Channels.abort, Channels.cut, Channels.forget])
def test_the_end_of_one_that_is_given_up_is_no_event(house: House, how: Any) -> None:
    house.open()
    house.session.events.clear()
    how(house.channels)
    house.channels.cut()
    expected = [on.DataEnded()] if how is Channels.cut else []
    assert (house.session.events, house.session.gone) == (expected, 1 - len(expected))
    assert house.session.notes[-1].fields()["outcome"] == "session ended it"


def test_what_they_add_up_to(house: House) -> None:
    """A transfer is what carried something, be it an empty file."""
    for ending, to_client, to_origin in [
        (Ending.COMPLETE, 100, 0),
        (Ending.COMPLETE, 0, 0),
        (Ending.ORIGIN_RESET, 0, 7),
        (Ending.NO_CLIENT, 0, 0),
        (Ending.ABORTED, 0, 0),
    ]:
        house.end(house.open(), ending, to_client, to_origin)
    assert (house.channels.to_client, house.channels.to_origin, house.channels.count) == (100, 7, 3)


def test_those_that_go_on_count_as_well(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.end(house.open(), Ending.COMPLETE, to_client=100)
    house.open()
    monkeypatch.setattr(DataChannel, "to_client", 11)
    monkeypatch.setattr(DataChannel, "to_origin", 12)
    assert (house.channels.to_client, house.channels.to_origin) == (111, 12)
    monkeypatch.undo()
