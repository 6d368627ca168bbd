"""The dialling by name: its time limit, and its attempts one after the other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostResolution, IResolutionReceiver
from zope.interface import implementer

from gateway.net import names
from gateway.net.leg import Leg
from gateway.net.names import dial
from tests.kit.manual_reactor import ManualReactor

TIMEOUT = 10.0


@implementer(IHostResolution)
@attrs.define(eq=False)
class Loop(ManualReactor):
    """A reactor, its resolver, and the one resolution of a test."""

    name = "ftp.example"

    def __init__(self) -> None:
        super().__init__()
        self.nameResolver = self
        self.cancelled = False
        self.receiver: Any = None
        self.told: list[tuple[Leg | str, str]] = []

    def resolveHostName(self, receiver: IResolutionReceiver, name: str, port: int) -> None:
        self.receiver, self.port = receiver, port
        receiver.resolutionBegan(self)

    def cancel(self) -> None:
        self.cancelled = True

    def answer(self, *addresses: str) -> None:
        """Ends the look-up."""
        for address in addresses:
            self.receiver.addressResolved(IPv4Address("TCP", address, self.port))
        self.receiver.resolutionComplete()

    def dial(self, port: int) -> Any:
        reactor: Any = self
        return dial(reactor, self.name, port, True, TIMEOUT, lambda answer, host: self.told.append((answer, host)))


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    for answer, _ in loop.told:
        if isinstance(answer, Leg):
            answer.close()
    assert loop.getDelayedCalls() == [] and not loop.readers | loop.writers


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.4", 0)) as listening:
        listening.setblocking(False)
        yield listening


def test_the_first_address_that_accepts(loop: Loop, server: socket.socket) -> None:
    loop.dial(server.getsockname()[1])
    loop.answer("127.0.0.5", "127.0.0.4", "127.0.0.6")
    loop.until(lambda: loop.told)
    [(leg, address)] = loop.told
    assert isinstance(leg, Leg) and address == "127.0.0.4"
    assert leg.socket.getpeername() == server.getsockname()


def test_none_accepts(loop: Loop, server: socket.socket) -> None:
    loop.dial(server.getsockname()[1])
    loop.answer("127.0.0.5", "127.0.0.6")
    loop.until(lambda: loop.told)
    assert loop.told == [("Connection refused", "ftp.example")]


def test_a_name_without_an_address(loop: Loop) -> None:
    loop.dial(21)
    loop.answer()
    assert loop.told == [("the name ftp.example has no address, or cannot be looked up", "ftp.example")]


def test_the_next_is_tried_while_the_first_does_not_answer(
    loop: Loop, server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = {"127.0.0.5", "127.0.0.6"}
    dialled = watch(monkeypatch, deaf)
    loop.dial(server.getsockname()[1])
    loop.answer("127.0.0.5", "127.0.0.6", "127.0.0.4")
    assert dialled == ["127.0.0.5"]
    loop.advance(names._STAGGER)
    assert dialled == ["127.0.0.5", "127.0.0.6"]
    loop.advance(names._STAGGER)
    loop.until(lambda: loop.told)
    assert dialled == ["127.0.0.5", "127.0.0.6", "127.0.0.4"]
    assert loop.told[0][1] == "127.0.0.4"


def watch(monkeypatch: pytest.MonkeyPatch, deaf: set[str]) -> list[str]:
    """The addresses that are dialled from now on; those that are deaf do not answer."""
    dialled: list[str] = []

    class Dial(names.Dial):
        def start(self) -> None:
            dialled.append(self.place[0])
            if self.place[0] not in deaf:
                super().start()

    monkeypatch.setattr(names, "Dial", Dial)
    return dialled


def test_the_look_up_counts_to_the_time(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One limit for both: the attempts have the seconds that the look-up left."""
    watch(monkeypatch, {"127.0.0.5"})
    loop.dial(21)
    loop.advance(TIMEOUT - 1)
    loop.answer("127.0.0.5")
    loop.advance(0.9)
    assert loop.told == []
    loop.advance(0.1)
    assert loop.told == [("connect timeout", "ftp.example")]
    assert not loop.cancelled  # it was over


def test_a_look_up_that_hangs(loop: Loop) -> None:
    loop.dial(21)
    loop.advance(TIMEOUT)
    assert loop.told == [("the look-up of the name took too long", "ftp.example")]
    assert loop.cancelled


def test_giving_up_during_the_look_up(loop: Loop) -> None:
    attempt = loop.dial(21)
    attempt.cancel()
    assert loop.cancelled
    assert loop.told == []


def test_giving_up_during_the_attempts(loop: Loop, server: socket.socket) -> None:
    attempt = loop.dial(server.getsockname()[1])
    loop.answer("127.0.0.4", "127.0.0.5")
    attempt.cancel()
    attempt.cancel()  # without effect
    loop.advance(TIMEOUT)
    assert loop.told == []
