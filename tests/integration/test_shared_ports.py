"""A data port that the origin gives out again while the first client that was told of it is still on its way."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import Any

import attrs
import pytest
from twisted.internet.testing import MemoryReactorClock

from gateway.addresses import Address
from gateway.data.channel import DataChannel
from gateway.data.port import DataPorts
from gateway.data.usage import Ending, Usage
from tests.kit.ports import take
from tests.kit.stage import plain_route

PORT = take(1)[0]
CLIENT = ip_address("127.0.0.1")


@attrs.define(eq=False)
class Owner:
    """Keeps what a channel told."""

    listening: bool = False
    ending: Ending | None = None

    def data_listening(self, channel: DataChannel) -> None:
        self.listening = True

    def data_connected(self, channel: DataChannel) -> None: ...

    def data_delivered(self, channel: DataChannel, to_client: bool) -> None: ...

    def data_stranger(self, channel: DataChannel, address: Address) -> None: ...

    def data_header_refused(self, channel: DataChannel, address: Address, reason: str) -> None: ...

    def data_refused(self, channel: DataChannel, address: Address, reason: str) -> None: ...

    def data_ended(self, channel: DataChannel, usage: Usage) -> None:
        self.ending = usage.ending


@pytest.fixture
def ports() -> DataPorts:
    """On a reactor that tells of nothing, as if it were late."""
    reactor: Any = MemoryReactorClock()  # type: ignore[no-untyped-call]
    return DataPorts(reactor)


def opened(ports: DataPorts) -> tuple[DataChannel, Owner]:
    """A channel of the client's, as a 229 asks for it."""
    route = plain_route(("127.0.0.1", PORT), ("127.0.0.2", PORT), source="127.0.0.1", peers=ip_network(CLIENT))
    owner = Owner()
    reactor: Any = ports.reactor
    channel = DataChannel(reactor, ports, route, owner)
    channel.open()
    return channel, owner


def test_a_connection_that_the_reactor_has_not_told_of_yet_counts(ports: DataPorts) -> None:
    """The origin accepted it, and was free to give its port to the next session."""
    with socket.create_server(("127.0.0.2", PORT)) as origin:
        first, first_owner = opened(ports)
        first.dial()
        accepted, _ = origin.accept()
    with accepted:
        second, second_owner = opened(ports)
        assert first_owner.listening
        assert first_owner.ending is None
        assert not second_owner.listening  # the two have one client's address: the second one's turn comes
        first.close()
        assert second_owner.listening
        second.close()


def test_a_port_that_the_origin_gave_away_is_lost(ports: DataPorts) -> None:
    _, first_owner = opened(ports)
    second, second_owner = opened(ports)
    assert first_owner.ending is Ending.SUPERSEDED
    assert second_owner.listening
    second.close()
