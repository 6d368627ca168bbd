"""A data channel on ports of another owner, which may be late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any, cast

import attrs
import pytest

from gateway.addresses import Address, SocketAddress
from gateway.data.channel import DataChannel
from gateway.data.port import Guest, TooManyPorts
from gateway.data.tables import Client
from gateway.data.usage import Ending, Usage
from gateway.net.reactor import Reactor
from tests.kit.manual_reactor import ManualReactor
from tests.kit.stage import plain_route
from tests.unit.net.test_tls_leg import connected

CLIENT = ip_address("127.0.0.1")


@attrs.define(eq=False)
class LatePorts:
    """Ports of another process: they listen once the test says so."""

    guests: list[Guest] = attrs.field(factory=list)
    refuse: Callable[[], OSError] | None = None

    def open(self, place: SocketAddress, guest: Guest) -> None:
        if self.refuse is not None:
            raise self.refuse()
        self.guests.append(guest)

    def leave(self, place: SocketAddress, guest: Guest) -> None:
        if guest in self.guests:
            self.guests.remove(guest)


@attrs.define(eq=False)
class Owner:
    """Writes down what it is told."""

    told: list[str] = attrs.field(factory=list)
    usage: Usage | None = None

    def data_listening(self, channel: DataChannel) -> None:
        self.told.append("listening")

    def data_connected(self, channel: DataChannel) -> None:
        self.told.append("connected")

    def data_delivered(self, channel: DataChannel, to_client: bool) -> None:
        self.told.append(f"delivered {to_client}")

    def data_stranger(self, channel: DataChannel, address: Address) -> None:
        self.told.append(f"stranger {address}")

    def data_header_refused(self, channel: DataChannel, address: Address, reason: str) -> None:
        self.told.append(f"header refused {address}: {reason}")

    def data_refused(self, channel: DataChannel, address: Address, reason: str) -> None:
        self.told.append(f"refused {address}: {reason}")

    def data_ended(self, channel: DataChannel, usage: Usage) -> None:
        assert self.usage is None
        self.usage = usage
        self.told.append("ended")


@attrs.define(eq=False)
class House:
    """One channel, its ports and its owner. A client has 30 seconds to come."""

    reactor: ManualReactor = attrs.field(factory=ManualReactor)
    ports: LatePorts = attrs.field(factory=LatePorts)
    owner: Owner = attrs.field(factory=Owner)
    channel: DataChannel = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        route = plain_route(("127.0.0.1", 1), ("127.0.0.1", 9), source="127.0.0.1", peers=ip_network(CLIENT))
        self.channel = DataChannel(cast(Reactor, self.reactor), self.ports, route, self.owner)

    def ended(self) -> Ending | None:
        """How, where it has; nothing is left then."""
        if self.owner.usage is None:
            return None
        assert self.owner.told[-1] == "ended"
        assert self.ports.guests == [] and self.reactor.getDelayedCalls() == []
        assert not self.reactor.readers and not self.reactor.writers
        return self.owner.usage.ending


@pytest.fixture
def house() -> Iterator[House]:
    """Its channel has not begun."""
    house = House()
    yield house
    house.channel.close()
    assert house.ended() is not None


def test_a_port_may_listen_late(house: House) -> None:
    house.channel.open()
    house.reactor.advance(20)
    assert house.owner.told == []
    [guest] = house.ports.guests
    guest.listening()
    assert house.owner.told == ["listening"]
    house.reactor.advance(20)  # the client's time began when the port listened
    assert house.ended() is None
    house.reactor.advance(10)
    assert house.ended() is Ending.NO_CLIENT


def test_a_port_that_never_listens(house: House) -> None:
    house.channel.open()
    house.reactor.advance(30)
    assert house.ended() is Ending.NO_CLIENT
    assert house.owner.told == ["ended"]


@pytest.mark.parametrize(
    ("refuse", "ending", "reason"),
    [
        (TooManyPorts, Ending.TOO_MANY_PORTS, ""),
        (partial(OSError, 13, "Permission denied"), Ending.PORT_UNAVAILABLE, "Permission denied"),
    ],
)
def test_a_port_that_cannot_be_had(house: House, refuse: Callable[[], OSError], ending: Ending, reason: str) -> None:
    house.ports.refuse = refuse
    house.channel.open()
    assert house.ended() is ending
    assert house.owner.usage is not None and house.owner.usage.reason == reason


def test_strangers_and_headers_are_told_to_the_owner(house: House) -> None:
    house.channel.open()
    [guest] = house.ports.guests
    assert guest.peers == ip_network(CLIENT) and not guest.is_proxy(CLIENT) and not guest.dialled
    guest.stranger(ip_address("192.0.2.7"))
    guest.header_refused(ip_address("192.0.2.8"), "why")
    assert house.owner.told == ["stranger 192.0.2.7", "header refused 192.0.2.8: why"]
    guest.superseded()
    assert house.ended() is Ending.SUPERSEDED


def test_what_comes_behind_the_end_changes_nothing(house: House) -> None:
    house.channel.open()
    house.channel.close()
    told: list[Any] = list(house.owner.told)
    house.channel.dial()
    house.channel.begin(None, None)
    house.channel.failed()
    house.channel.close()
    assert house.owner.told == told == ["ended"]
    assert house.ended() is Ending.ABORTED
    assert (house.channel.to_client, house.channel.to_origin) == (0, 0)


def test_a_failure_ends_it_and_resets_who_came(house: House) -> None:
    house.channel.open()
    theirs, ours = connected()
    with theirs:
        house.ports.guests[0].accepted(ours, CLIENT)
        house.channel.failed()
        with pytest.raises(ConnectionResetError):
            theirs.recv(1)
    assert house.ended() is Ending.INTERNAL_ERROR


def test_a_transfer_command_gives_the_client_its_whole_time_again(house: House) -> None:
    """It waits for the origin's port, which may take longer than what was left."""
    house.channel.route = attrs.evolve(house.channel.route, connect_timeout=100)
    house.channel._candidates.is_held = True
    house.channel._candidates._state.state = Client.AWAITED
    house.channel.open()
    [guest] = house.ports.guests
    guest.listening()
    client, ours = connected()
    with client:
        guest.accepted(ours, CLIENT)
        house.reactor.advance(20)
        house.channel.expect()
        house.reactor.advance(20)
        assert house.ended() is None
        house.reactor.advance(10)
        assert house.ended() is Ending.NO_TRANSFER
