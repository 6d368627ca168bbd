"""A shared data port: the clients that share it, and the connection that each gets."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import ip_address, ip_network
from typing import Any, cast

import attrs
import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from gateway.addresses import Address, Network
from gateway.data.port import DataPorts, TooManyPorts
from gateway.net import reception
from gateway.net.leg import Leg
from gateway.net.reactor import Reactor
from tests.kit.mistakes import Planted, no_mistakes
from tests.kit.sockets import reset
from tests.unit.net.test_tls_leg import connected

PLACE = ("127.0.0.1", 0)  # the system chooses a port; all who come here share that


class Loop(Clock):
    """A reactor that watches these readers."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self.readers.remove(reader)


@attrs.define(eq=False)
class Guest:
    """Writes down what it is told."""

    peers: Network | None = None
    dialled: bool = False
    lasting: bool = False
    spoke: float = 0.0
    busy: bool = False
    proxies: Network | None = None
    told: list[str] = attrs.field(factory=list)
    connections: list[socket.socket] = attrs.field(factory=list)
    mistakes: int = 0
    on_listening: Callable[[], None] = lambda: None

    def listening(self) -> None:
        self.told.append("listening")
        self.on_listening()

    def accepted(self, connection: socket.socket, address: Address) -> None:
        if self.mistakes:
            self.mistakes -= 1
            raise Planted
        self.told.append(f"accepted {address}")
        self.connections.append(connection)

    def stranger(self, address: Address) -> None:
        self.told.append(f"stranger {address}")

    def is_proxy(self, address: Address) -> bool:
        return self.proxies is not None and address in self.proxies

    def header_refused(self, address: Address, reason: str) -> None:
        self.told.append(f"header refused {address}: {reason}")

    def superseded(self) -> None:
        self.told.append("superseded")


def guest(peers: str | None = "127.0.0.1", **more: Any) -> Guest:
    """Awaits somebody from these addresses."""
    return Guest(None if peers is None else ip_network(peers), **more)


@attrs.define(eq=False)
class House:
    """Data ports, and the reactor that watches them."""

    reactor: Loop = attrs.field(factory=Loop)
    ports: DataPorts = attrs.field(init=False)
    guests: list[Guest] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.ports = DataPorts(cast(Reactor, self.reactor))

    def open(self, *guests: Guest) -> None:
        """They come, one after another."""
        for guest in guests:
            self.guests.append(guest)
            self.ports.open(PLACE, guest)

    def leave(self, *guests: Guest) -> None:
        """They go."""
        for guest in guests:
            self.ports.leave(PLACE, guest)

    def knock(self) -> socket.socket:
        """Somebody connects from 127.0.0.1."""
        listening = self.reactor.readers[0]
        knocking = socket.create_connection(listening.socket.getsockname())
        listening.socket.setblocking(True)  # it is on its way
        listening.doRead()
        return knocking

    def close(self) -> None:
        """Everybody goes; then nothing is left."""
        self.leave(*self.guests)
        for guest in self.guests:
            for connection in guest.connections:
                connection.close()
        assert self.reactor.readers == [] and self.reactor.getDelayedCalls() == []


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """The process may open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def house() -> Iterator[House]:
    """Nobody is in yet."""
    with closing(House()) as house:
        yield house


def test_a_port_listens_only_while_somebody_is_awaited(house: House) -> None:
    one = guest()
    house.open(one)
    assert one.told == ["listening"]
    [listening] = house.reactor.readers
    assert verifyObject(IReadDescriptor, listening)
    assert listening.fileno() == listening.socket.fileno() and listening.logPrefix() == "data port"
    house.leave(one)
    assert house.reactor.readers == [] and listening.socket.fileno() < 0
    house.open(one)
    assert one.told == ["listening"] * 2


def test_a_port_that_is_taken_cannot_be_opened(house: House) -> None:
    with socket.create_server(PLACE) as taken, pytest.raises(OSError):
        house.ports.open(taken.getsockname(), guest())
    assert house.reactor.readers == []


@pytest.mark.parametrize("stays", [True, False])
def test_a_process_out_of_descriptors_does_not_ask_the_port_at_every_turn(house: House, stays: bool) -> None:
    one = guest()
    house.open(one)
    [port] = house.reactor.readers
    with socket.create_connection(port.socket.getsockname()):
        with no_descriptors():
            port.doRead()
            assert house.reactor.readers == [] and one.told == ["listening"]
        if not stays:
            house.leave(one)
            return
        house.reactor.advance(0.1)
        [port] = house.reactor.readers
        port.doRead()
        assert one.told == ["listening", "accepted 127.0.0.1"]


@pytest.mark.parametrize("stays", [True, False])
def test_a_port_that_the_reactor_dropped_behind_an_exception_is_not_deaf(house: House, stays: bool) -> None:
    one = guest()
    house.open(one)
    [port] = house.reactor.readers
    house.reactor.removeReader(port)
    port.connectionLost(Failure(Planted()))
    if not stays:
        house.leave(one)
        return
    house.reactor.advance(0.1)
    with house.knock():
        assert one.told == ["listening", "accepted 127.0.0.1"]


@pytest.mark.parametrize("balanced", [False, True])
def test_an_exception_costs_one_connection(house: House, balanced: bool) -> None:
    one = awaited() if balanced else guest()
    one.mistakes = 1
    house.open(one)
    for expected in (["listening"], ["listening", "accepted 203.0.113.9" if balanced else "accepted 127.0.0.1"]):
        with house.knock() as knocking:
            if balanced:
                knocking.sendall(HEADER)
                told(house).doRead()
            assert one.told == expected
            if len(expected) == 1:
                assert knocking.recv(1) == b""


def test_its_client_is_accepted(house: House) -> None:
    one = guest()
    house.open(one)
    with house.knock():
        assert one.told == ["listening", "accepted 127.0.0.1"]


def test_anybody_is_accepted_where_anybody_may_come(house: House) -> None:
    one = guest(None)
    house.open(one)
    with house.knock():
        assert one.told == ["listening", "accepted 127.0.0.1"]


def test_a_stranger_is_turned_away_and_the_port_goes_on_listening(house: House) -> None:
    one = guest("192.0.2.7")
    house.open(one)
    for _ in range(2):
        with house.knock() as knocking:
            assert knocking.recv(1) == b""
    assert one.told == ["listening", "stranger 127.0.0.1", "stranger 127.0.0.1"]


def test_nobody_came_after_all(house: House) -> None:
    one = guest()
    house.open(one)
    house.reactor.readers[0].doRead()
    assert one.told == ["listening"]


def test_clients_that_cannot_be_confused_share_it(house: House) -> None:
    other, one, sixth = guest("192.0.2.0/24", dialled=True), guest(dialled=True), guest("2001:db8::/64", dialled=True)
    house.open(other, one, sixth)
    assert one.told == other.told == sixth.told == ["listening"]
    with house.knock():
        assert one.told == ["listening", "accepted 127.0.0.1"]
        assert other.told == sixth.told == ["listening"]


@pytest.mark.parametrize(("first", "second"), [("127.0.0.0/8", "127.0.0.1"), ("127.0.0.1", None), (None, None)])
def test_one_that_could_be_confused_waits_until_the_other_left(
    house: House, first: str | None, second: str | None
) -> None:
    one, two = guest(first, dialled=True), guest(second)
    house.open(one, two)
    assert two.told == []
    house.leave(one)
    assert two.told == ["listening"]


def test_they_are_let_in_one_by_one(house: House) -> None:
    one, two, three, other = guest(dialled=True), guest(), guest(), guest("192.0.2.7")
    house.open(one)
    house.open(two)
    two.dialled = True  # its client was told by other means
    house.open(three)
    three.dialled = True
    house.open(other)
    assert other.told == ["listening"]
    house.leave(one)
    assert (two.told, three.told) == (["listening"], [])
    house.leave(two)
    assert three.told == ["listening"]


def test_one_that_waits_may_leave(house: House) -> None:
    one, two, three = guest(dialled=True), guest(dialled=True), guest(dialled=True)
    house.open(one, two, three)
    house.leave(two, one)
    assert (two.told, three.told) == ([], ["listening"])


def test_a_newcomer_supersedes_one_whose_port_at_the_origin_was_not_dialled(house: House) -> None:
    stale, dialled, newcomer = guest("192.0.2.7"), guest("192.0.2.8", dialled=True), guest()
    house.open(dialled, stale, newcomer)
    assert stale.told == ["listening", "superseded"]
    assert dialled.told == newcomer.told == ["listening"]


def test_and_one_that_waits(house: House) -> None:
    one, stale, newcomer = guest(dialled=True), guest(), guest()
    house.open(one, stale, newcomer)
    assert stale.told == ["superseded"]
    house.leave(one)
    assert (stale.told, newcomer.told) == (["superseded"], ["listening"])


def test_one_that_lasts_supersedes_nobody_and_is_not_superseded(house: House) -> None:
    one, lasting, newcomer = guest("192.0.2.7"), guest(lasting=True), guest("192.0.2.8")
    house.open(one, lasting)
    assert one.told == lasting.told == ["listening"]
    house.open(newcomer)
    assert (one.told, lasting.told) == (["listening", "superseded"], ["listening"])


def test_who_awaits_one_client_comes_before_who_awaits_any_number(house: House) -> None:
    lasting, one = guest(lasting=True), guest()
    house.open(lasting, one)
    with house.knock():
        assert (lasting.told, one.told) == (["listening"], ["listening", "accepted 127.0.0.1"])


def test_among_those_that_last_it_is_the_one_that_spoke_last_and_has_none(house: House) -> None:
    busy, silent, talking = (guest(lasting=True, spoke=spoke) for spoke in (3.0, 1.0, 2.0))
    busy.busy = True
    house.open(busy, silent, talking)
    with house.knock():
        assert (busy.told, silent.told, talking.told[1:]) == (["listening"], ["listening"], ["accepted 127.0.0.1"])


def test_one_that_leaves_as_soon_as_it_is_let_in(house: House) -> None:
    one, two, three = guest(dialled=True), guest(dialled=True), guest(dialled=True)
    two.on_listening = lambda: house.leave(two)
    house.open(one, two, three)
    house.leave(one)
    assert two.told == three.told == ["listening"]
    house.leave(three)
    assert house.reactor.readers == []


def test_the_last_one_leaves_as_soon_as_it_is_let_in(house: House) -> None:
    one, two = guest(dialled=True), guest()
    two.on_listening = lambda: house.leave(two)
    house.open(one, two)
    house.leave(one)
    assert two.told == ["listening"]
    assert house.reactor.readers == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_families(host: str) -> None:
    reactor = Loop()
    ports = DataPorts(cast(Reactor, reactor))
    one = guest(host)
    ports.open((host, 0), one)
    assert ip_address(reactor.readers[0].socket.getsockname()[0]) == ip_address(host)
    ports.leave((host, 0), one)
    ports.leave((host, 0), one)
    assert reactor.readers == []


# Behind a load balancer

PROXY = "127.0.0.1/32"
HEADER = b"PROXY TCP4 203.0.113.9 198.51.100.7 50000 21\r\n"


def told(house: House, readers: int = 1) -> Any:
    """The newest of those that await a header."""
    _, *newcomers = house.reactor.readers
    assert len(newcomers) == readers
    return newcomers[-1]


def awaited(**more: Any) -> Guest:
    """Awaits a client behind the balancer at 127.0.0.1."""
    return guest("203.0.113.9", proxies=ip_network(PROXY), **more)


def test_a_header_tells_who_came(house: House) -> None:
    one = awaited()
    house.open(one)
    with house.knock() as knocking:
        newcomer = told(house)
        assert verifyObject(IReadDescriptor, newcomer)
        assert (newcomer.fileno(), newcomer.logPrefix()) == (newcomer.connection.fileno(), "ftp")
        newcomer.doRead()  # in vain
        for piece in (HEADER[:10], HEADER[10:] + b"content"):
            assert one.told == ["listening"]
            knocking.sendall(piece)
            newcomer.doRead()
        assert one.told == ["listening", "accepted 203.0.113.9"]
        assert one.connections[0].recv(100) == b"content"
        assert len(house.reactor.readers) == 1 and house.reactor.getDelayedCalls() == []


def test_what_was_read_of_a_header_is_not_told_of_again(house: House) -> None:
    house.open(awaited())
    with house.knock() as knocking:
        knocking.sendall(HEADER[:10])
        newcomer = told(house)
        newcomer.doRead()
        with pytest.raises(BlockingIOError):
            newcomer.connection.recv(1)


def test_a_header_of_its_own_is_the_balancers(house: House) -> None:
    one = guest(proxies=ip_network(PROXY))
    house.open(one)
    with house.knock() as knocking:
        knocking.sendall(b"PROXY UNKNOWN\r\n")
        told(house).doRead()
        assert one.told == ["listening", "accepted 127.0.0.1"]


@pytest.mark.parametrize(
    ("sent", "happens", "refused"),
    [
        (b"GET", socket.socket.fileno, ["header refused 127.0.0.1: no PROXY header"]),
        (b"PROXY", socket.socket.close, ["header refused 127.0.0.1: closed in the middle of its header"]),
        (b"PROXY", reset, ["header refused 127.0.0.1: closed in the middle of its header"]),
        (b"", socket.socket.close, []),
        (b"", reset, []),
    ],
)
def test_a_newcomer_without_a_header(
    house: House, sent: bytes, happens: Callable[[socket.socket], object], refused: list[str]
) -> None:
    one = awaited()
    house.open(one)
    with house.knock() as knocking:
        newcomer = told(house)
        if sent:
            knocking.sendall(sent)
            newcomer.doRead()
        happens(knocking)
        if not newcomer.connection.fileno() < 0:
            newcomer.doRead()
    assert one.told == ["listening", *refused]
    assert newcomer.connection.fileno() < 0
    assert len(house.reactor.readers) == 1 and house.reactor.getDelayedCalls() == []


def test_a_header_that_does_not_come(house: House) -> None:
    one = awaited()
    house.open(one)
    with house.knock(), house.knock():
        told(house, 2).connectionLost(Failure(ConnectionLost()))
        house.reactor.advance(2.9)
        assert one.told == ["listening"]
        house.reactor.advance(0.2)
        assert one.told[1:] == ["header refused 127.0.0.1: no complete header within 3 seconds"]


def test_too_many_newcomers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "MAX_NEWCOMERS", 2)
    one = awaited()
    house.open(one)
    with house.knock() as first, house.knock(), house.knock():
        assert first.recv(1) == b"", "the one that was silent longest gives way"
        assert one.told == ["listening", "header refused 127.0.0.1: too many connections without one"]
        told(house, 2)


def test_newcomers_go_with_the_port(house: House) -> None:
    one = awaited()
    house.open(one)
    with house.knock() as knocking:
        house.leave(one)
        assert knocking.recv(1) == b""
    assert house.reactor.readers == [] and house.reactor.getDelayedCalls() == []
    assert one.told == ["listening"]


@pytest.mark.parametrize("limit", [1, 2])
def test_so_many_ports_listen_at_once_and_no_more(house: House, limit: int) -> None:
    house.ports.limit = limit
    guests = {(f"127.0.0.{number}", 0): guest() for number in range(1, limit + 1)}
    for place, each in guests.items():
        house.ports.open(place, each)
    house.open(late := guest("127.0.0.2"))  # at a port that listens already
    with pytest.raises(TooManyPorts):
        house.ports.open(("127.0.0.9", 0), guest())
    house.leave(late)
    for place, each in guests.items():
        house.ports.leave(place, each)
    assert house.reactor.readers == []


class Event:
    """A reader that does something once it is told, on a real reactor."""

    def __init__(self, source: socket.socket, work: Callable[[], None]) -> None:
        self.source, self.work = source, work

    def fileno(self) -> int:
        return self.source.fileno()

    def logPrefix(self) -> str:
        return "test"

    def doRead(self) -> None:
        self.source.recv(1)
        self.work()

    def connectionLost(self, reason: Failure) -> None:
        raise AssertionError


def test_a_port_that_got_the_descriptor_of_a_socket_that_was_about_to_be_told() -> None:
    """Both are ready in one turn; the first closes the second, whose descriptor a port takes over."""
    reactor = EPollReactor()
    ports, awaiting = DataPorts(cast(Reactor, reactor)), guest()
    far, near = connected()
    other, source = socket.socketpair()
    writer = Leg(reactor, near)
    number = near.fileno()

    def take_over() -> None:
        writer.close()
        ports.open(PLACE, awaiting)

    other.send(b"x")
    reactor.addReader(Event(source, take_over))
    writer.watch_writes(True)
    with no_mistakes():
        reactor.doPoll(0)
        (port,) = ports._ports.values()
        assert port.fileno() == number, "or this test shows nothing"
    with socket.create_connection(port.socket.getsockname()):
        reactor.doPoll(1)
    assert awaiting.told == ["listening", "accepted 127.0.0.1"]
    ports.leave(PLACE, awaiting)
    for end in (far, other, source, *awaiting.connections):
        end.close()
