"""The shortage of descriptors: connections are refused with a spared one, and an event a minute counts them."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from twisted.internet.task import Clock

from gateway.applications.shortage import _INTERVAL, Shortage
from gateway.observe.records import DescriptorsExhausted, Record


@attrs.define(eq=False)
class House:
    """A listening socket, whose clients cannot be served."""

    listening: socket.socket
    clock: Clock = attrs.field(factory=Clock)
    noted: list[Record] = attrs.field(factory=list)
    clients: list[socket.socket] = attrs.field(factory=list)
    shortage: Shortage = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.shortage = Shortage(self.clock, lambda record, **_: self.noted.append(record))
        self.shortage.prepare()

    def come(self, count: int) -> None:
        """So many clients come while there are no descriptors."""
        self.clients += [socket.create_connection(self.listening.getsockname()) for _ in range(count)]
        with no_descriptors():
            assert self.shortage.refuse(self.listening)

    @property
    def counts(self) -> list[int]:
        """The numbers in the events so far."""
        assert all(isinstance(record, DescriptorsExhausted) for record in self.noted)
        return [record.fields()["refused"] for record in self.noted]


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """The process may open nothing that has not a number already in use, or freed by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as taken:
        highest = os.open(os.devnull, os.O_RDONLY)
        os.close(highest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))  # all lower ones are in use
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        yield


@pytest.fixture
def house() -> Iterator[House]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        listening.setblocking(False)
        house = House(listening)
        yield house
        house.shortage.close()
        assert not house.clock.getDelayedCalls()
        for client in house.clients:
            client.close()


def test_those_who_wait_are_told_at_once(house: House) -> None:
    house.come(3)
    for client in house.clients:
        client.settimeout(10)
        assert client.recv(1) == b""
    assert house.counts == [3]


def test_one_event_a_minute_has_the_number_of_all(house: House) -> None:
    for count in (1, 2, 3):
        house.come(count)
    assert house.counts == [1]
    house.clock.advance(_INTERVAL - 1)
    assert house.counts == [1]
    house.clock.advance(1)
    assert house.counts == [1, 5]
    house.clock.advance(_INTERVAL)  # nobody came, so nothing is told
    assert house.counts == [1, 5]
    house.come(4)
    assert house.counts == [1, 5, 4]


def test_the_last_are_told_of_at_the_end(house: House) -> None:
    house.come(1)
    house.come(2)
    house.shortage.close()
    assert house.counts == [1, 2]


def test_where_nobody_can_be_refused_it_says_so(house: House) -> None:
    """As where the whole machine is out of descriptors, and the spared one was lost to another."""
    house.shortage.close()
    with no_descriptors():
        assert not house.shortage.refuse(house.listening)
    assert house.counts == [0]


def test_where_nobody_waits_nothing_is_told(house: House) -> None:
    """The kernel asks for a descriptor before it looks who waits."""
    house.come(0)
    assert house.counts == []


def test_a_descriptor_is_spared_again_after_each_refusal(house: House) -> None:
    for _ in range(3):
        house.come(1)
    house.shortage.close()
    assert house.counts == [1, 2]


def test_nothing_stays_open(house: House) -> None:
    before = descriptors()
    house.shortage.prepare()
    assert descriptors() == before
    house.shortage.close()
    assert descriptors() == before - 1


def descriptors() -> int:
    """The number of open ones."""
    return len(list(Path("/dev/fd").iterdir()))
