"""The acceptor: it takes connections from a Twisted port's socket, and is never deaf."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from gateway.addresses import SocketAddress
from gateway.net.acceptor import _AT_ONCE, _PAUSE, Acceptor
from tests.kit.manual_reactor import ManualReactor


@attrs.define(eq=False)
class Port:
    """A bound port of Twisted's, as far as the acceptor uses it; an error takes the place of the next connection."""

    socket: Any
    reading: bool = True
    stopped: bool = False
    errors: list[int] = attrs.field(factory=list)

    def stopReading(self) -> None:
        self.reading = False

    def stopListening(self) -> None:
        self.stopped = True

    def fileno(self) -> int:
        return self.socket.fileno()  # type: ignore[no-any-return]


@attrs.define(eq=False)
class Listener:
    """A listening socket whose next calls may fail."""

    socket: socket.socket
    errors: list[int] = attrs.field(factory=list)

    def accept(self) -> tuple[socket.socket, Any]:
        if self.errors:
            raise OSError(self.errors.pop(0), "")
        return self.socket.accept()

    def fileno(self) -> int:
        return self.socket.fileno()

    def getsockname(self) -> Any:
        return self.socket.getsockname()


@attrs.define(eq=False)
class House:
    """An acceptor, and what it did.

    :param refuses: whether those who wait can be refused.
    """

    listener: Listener
    loop: ManualReactor = attrs.field(factory=ManualReactor)
    came: list[tuple[socket.socket, SocketAddress]] = attrs.field(factory=list)
    refused: int = 0
    refuses: bool = True
    port: Port = attrs.field(init=False)
    acceptor: Acceptor = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.port = Port(self.listener)
        reactor: Any = self.loop
        port: Any = self.port
        self.acceptor = Acceptor(reactor, port, lambda *came: self.came.append(came), self._refuse)

    def _refuse(self, listening: object) -> bool:
        assert listening is self.listener
        self.refused += 1
        return self.refuses

    def connect(self) -> socket.socket:
        return socket.create_connection(self.acceptor.address)


@pytest.fixture
def house() -> Iterator[House]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        house = House(Listener(listening))
        yield house
        for connection, _ in house.came:
            connection.close()


def test_it_accepts_once_it_started(house: House) -> None:
    assert not house.port.reading and not house.loop.readers
    house.acceptor.start()
    assert verifyObject(IReadDescriptor, house.acceptor)
    assert house.acceptor.fileno() == house.listener.fileno() and house.acceptor.logPrefix() == "control port"
    house.acceptor.doWrite()
    with house.connect() as client:
        house.loop.turn()
        [(_, peer)] = house.came
        assert peer == client.getsockname()
    house.acceptor.close()
    assert house.port.stopped and not house.loop.readers


def test_a_crowd_takes_several_turns(house: House) -> None:
    house.acceptor.start()
    clients = [house.connect() for _ in range(_AT_ONCE + 1)]
    house.loop.turn()
    assert len(house.came) == _AT_ONCE
    house.loop.turn()
    assert len(house.came) == _AT_ONCE + 1
    for client in clients:
        client.close()


@pytest.mark.parametrize("error", [errno.ECONNABORTED, errno.EPERM])
def test_a_client_that_is_gone_is_not_the_next_ones_loss(house: House, error: int) -> None:
    house.acceptor.start()
    house.listener.errors = [error]
    with house.connect():
        house.loop.turn()
    assert len(house.came) == 1 and house.refused == 0


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_who_can_be_refused_is_and_the_next_turn_is_as_ever(house: House, error: int) -> None:
    house.acceptor.start()
    house.listener.errors = [error]
    with house.connect():
        house.loop.turn()
        assert (house.refused, house.came) == (1, [])
        assert not house.loop.getDelayedCalls()
        house.loop.turn()
        assert len(house.came) == 1


@pytest.mark.parametrize("closed", [False, True])
def test_who_cannot_be_refused_waits_a_moment(house: House, closed: bool) -> None:
    """The reactor does not ask at every turn."""
    house.refuses = False
    house.acceptor.start()
    house.listener.errors = [errno.EMFILE]
    with house.connect():
        house.loop.turn()
        assert house.loop.readers == set()
        if closed:
            house.acceptor.close()
            assert not house.loop.getDelayedCalls()
            return
        house.loop.advance(_PAUSE)
        house.loop.turn()
        assert len(house.came) == 1


def test_an_exception_does_not_make_it_deaf(house: House) -> None:
    house.acceptor.start()
    house.loop.removeReader(house.acceptor)  # as the reactor does then
    house.acceptor.connectionLost(Failure(ValueError()))
    house.loop.advance(_PAUSE)
    assert house.loop.readers == {house.acceptor}
    house.acceptor.close()
    house.acceptor.connectionLost(Failure(ValueError()))  # at the end of the reactor
    assert not house.loop.getDelayedCalls()
