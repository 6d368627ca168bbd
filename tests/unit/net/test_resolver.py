"""The resolver: one look-up for a name at a time, shared by all who ask, and its answer shared for some seconds."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.internet.task import Clock
from zope.interface import implementer

from gateway.net.resolver import FAILURE_SHARED, SHARED, Resolver
from tests.kit import PATIENCE
from tests.kit.threads import no_more_threads

ONE, SIX = "192.0.2.1", "2001:db8::1"


class Turns(Clock):
    """A reactor's clock, and its queue of calls from threads, worked off by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: queue.Queue[tuple[Callable[..., object], tuple[object, ...]]] = queue.Queue()

    def callFromThread(self, call: Callable[..., object], *of: object) -> None:
        self.from_threads.put((call, of))

    def turn(self) -> None:
        """Hears the end of one look-up."""
        call, of = self.from_threads.get(timeout=PATIENCE)
        call(*of)


@implementer(IResolutionReceiver)
@attrs.define(eq=False)
class Receiver:
    """One who asked."""

    resolution: IHostResolution | None = None
    addresses: list[IAddress] = attrs.field(factory=list)
    completed: int = 0
    broken: bool = False
    then: Callable[[], None] = lambda: None

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self.resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        if self.broken:
            raise ValueError
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.completed += 1
        self.then()


@attrs.define(eq=False)
class Names:
    """A resolver, and the system's below it.

    :param answers: the addresses of the names that the system knows.
    :param asked: the look-ups, each with its family.
    :param go_on: whether look-ups may end.
    """

    turns: Turns = attrs.field(factory=Turns)
    answers: dict[str, list[str]] = attrs.field(factory=lambda: {"ftp.example": [ONE]})
    asked: list[tuple[str, int]] = attrs.field(factory=list)
    go_on: threading.Event = attrs.field(factory=threading.Event)
    resolver: Resolver = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        reactor: Any = self.turns
        self.resolver = Resolver(reactor)

    def ask(self, name: str = "ftp.example", *types: type[IAddress], broken: bool = False) -> Receiver:
        receiver = Receiver(broken=broken)
        resolution = self.resolver.resolveHostName(receiver, name, 21, list(types) or None)
        assert receiver.resolution is resolution and resolution.name == name
        return receiver

    def look_up(self, name: str, port: int, family: int, kind: int) -> list[tuple[Any, ...]]:
        assert (port, kind) == (0, socket.SOCK_STREAM)
        assert threading.current_thread().daemon
        self.asked.append((name, family))
        assert self.go_on.wait(PATIENCE)
        if name not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, kind, 6, "", (one, 0, 0, 0)) if ":" in one else (socket.AF_INET, kind, 6, "", (one, 0))
            for one in self.answers[name]
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    found = Names()
    found.go_on.set()
    monkeypatch.setattr(socket, "getaddrinfo", found.look_up)
    yield found
    found.go_on.set()


def test_the_addresses_come_in_their_order_each_once(names: Names) -> None:
    names.answers["ftp.example"] = [SIX, ONE, SIX]
    receiver = names.ask()
    assert receiver.completed == 0
    names.turns.turn()
    assert receiver.addresses == [IPv6Address("TCP", SIX, 21), IPv4Address("TCP", ONE, 21)]
    assert receiver.completed == 1


def test_a_name_without_an_address(names: Names) -> None:
    receiver = names.ask("unknown.example")
    names.turns.turn()
    assert (receiver.addresses, receiver.completed) == ([], 1)


def test_all_who_ask_share_one_look_up(names: Names) -> None:
    names.go_on.clear()
    receivers = [names.ask() for _ in range(200)]
    names.go_on.set()
    names.turns.turn()
    assert [receiver.completed for receiver in receivers] == [1] * 200
    assert len(names.asked) == 1 and names.turns.from_threads.empty()


def test_one_that_hangs_is_the_only_one_of_its_name(names: Names) -> None:
    """However long it takes, and though everybody who asked has gone; another name does not wait for it."""
    names.go_on.clear()
    for _ in range(10):
        gone = names.ask("dead.example").resolution
        assert gone is not None
        gone.cancel()
        names.turns.advance(3600)
    other = names.ask()
    names.go_on.set()
    names.turns.turn()
    names.turns.turn()
    assert sorted(names.asked) == [("dead.example", socket.AF_UNSPEC), ("ftp.example", socket.AF_UNSPEC)]
    assert other.completed == 1


def test_one_who_cancelled_hears_nothing(names: Names) -> None:
    first, second = names.ask(), names.ask()
    assert first.resolution is not None
    first.resolution.cancel()
    names.turns.turn()
    assert (first.completed, second.completed) == (0, 1)
    first.resolution.cancel()  # without effect


def test_one_who_cancels_another_while_they_are_answered(names: Names) -> None:
    first, second = names.ask(), names.ask()
    assert second.resolution is not None
    first.then = second.resolution.cancel
    names.turns.turn()
    assert second.completed == 0


def test_an_exception_of_one_is_not_that_of_the_others(names: Names) -> None:
    receivers = [names.ask(broken=broken) for broken in (False, True, False)]
    names.turns.turn()
    assert [receiver.completed for receiver in receivers] == [1, 0, 1]


@pytest.mark.parametrize(("name", "seconds"), [("ftp.example", SHARED), ("unknown.example", FAILURE_SHARED)])
def test_an_answer_is_shared_for_some_seconds(names: Names, name: str, seconds: float) -> None:
    first = names.ask(name)
    names.turns.turn()
    names.turns.advance(seconds - 0.01)
    second = names.ask(name)  # at once
    assert (second.addresses, second.completed) == (first.addresses, 1)
    names.turns.advance(0.01)
    names.answers[name] = ["192.0.2.2"]
    third = names.ask(name)
    assert third.completed == 0
    names.turns.turn()
    assert third.addresses == [IPv4Address("TCP", "192.0.2.2", 21)]
    assert len(names.asked) == 2


def test_families_are_looked_up_apart(names: Names) -> None:
    for types in ([], [IPv4Address], [IPv6Address], [IPv6Address, IPv4Address]):
        names.ask("ftp.example", *types)
    for _ in range(3):
        names.turns.turn()
    assert sorted(family for _, family in names.asked) == sorted((socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6))
    assert names.turns.from_threads.empty()


def test_old_answers_are_forgotten(names: Names) -> None:
    for number in range(10):
        names.ask(f"{number}.example")
        names.turns.turn()
        names.turns.advance(SHARED)
    assert len(names.resolver._look_ups) == 1


def test_no_thread_is_no_address_for_the_moment(names: Names) -> None:
    with no_more_threads():
        receiver = names.ask()
    assert (receiver.addresses, receiver.completed) == ([], 1)
    names.turns.advance(FAILURE_SHARED)
    receiver = names.ask()
    names.turns.turn()
    assert receiver.addresses == [IPv4Address("TCP", ONE, 21)]
