"""The candidates at a data port: the one of them that is the client's connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import cast

import attrs
import pytest
from OpenSSL import SSL

from gateway.addresses import Address
from gateway.data.candidates import SILENCE, Candidates
from gateway.data.usage import Ending
from gateway.net.leg import Leg
from gateway.net.tls_leg import Handshake
from tests.kit.manual_reactor import ManualReactor
from tests.unit.net.test_tls_leg import Scripted, connected

CLIENT = ip_address("127.0.0.1")
LATE = "no TLS handshake in time"


@attrs.define(eq=False)
class Host:
    """Awaits a client for 10 seconds, and writes down what it is told."""

    is_held: bool
    loop: ManualReactor = attrs.field(factory=ManualReactor)
    told: list[str] = attrs.field(factory=list)
    client: Leg | None = None
    peers: list[socket.socket] = attrs.field(factory=list)
    candidates: Candidates = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.candidates = Candidates(self.loop, self, 10, self.is_held)
        self.candidates.wait()

    def come(self) -> socket.socket:
        """Somebody comes; their end of the connection."""
        theirs, ours = connected()
        self.peers.append(theirs)
        self.candidates.come(Leg(self.loop, ours), CLIENT)
        return theirs

    def client_came(self) -> None:
        self.told.append("came")

    def client_known(self, leg: Leg, address: Address) -> None:
        self.told.append("known")
        self.client = leg

    def client_refused(self, address: Address, reason: str) -> None:
        self.told.append(f"refused: {reason}")

    def client_missing(self, ending: Ending, reason: str = "") -> None:
        self.told.append(f"{ending.value}: {reason}")
        self.candidates.close()

    def failed(self) -> None:
        raise AssertionError


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """Those who come are held, unless the test says otherwise."""
    host = Host(getattr(request, "param", True))
    yield host
    if hasattr(host.candidates, "host"):  # else it is closed
        host.candidates.close()
    if host.client is not None:
        host.client.reset()
    for peer in host.peers:
        peer.close()
    assert host.loop.getDelayedCalls() == [] and not host.loop.readers


def was_reset(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) != b""
    except ConnectionResetError:
        return True


def handshake(*says: object) -> Handshake:
    """One that goes as the test says, for each who comes."""
    scripts = iter(says)

    def wrap(_: socket.socket) -> SSL.Connection:
        tls = Scripted()
        tls.do_handshake_says = [next(scripts)]
        return cast(SSL.Connection, tls)

    return Handshake(wrap, lambda _: None)


def waiting() -> Handshake:
    """One that wants to read on and on, from each who comes."""

    def wrap(_: socket.socket) -> SSL.Connection:
        tls = Scripted()
        tls.do_handshake_says = [SSL.WantReadError() for _ in range(9)]
        return cast(SSL.Connection, tls)

    return Handshake(wrap, lambda _: None)


@pytest.mark.parametrize("host", [False], indirect=True)
def test_the_first_is_the_client_where_none_has_to_show_it(host: Host) -> None:
    host.come()
    assert host.told == ["came", "known"]
    host.loop.advance(11)
    assert host.told == ["came", "known"]


def test_those_who_come_early_are_held(host: Host) -> None:
    first = host.come()
    second = host.come()
    host.loop.advance(9)  # one who came has time until the transfer begins
    assert host.told == ["came", "came"] and host.candidates.held
    host.candidates.begin(None)
    assert host.told == ["came", "came", "known"] and not host.candidates.held
    assert host.client is not None
    first.sendall(b"x")
    assert was_reset(second)


def test_one_who_fails_leaves_the_place_to_the_next(host: Host) -> None:
    failing, waiting = host.come(), host.come()
    host.candidates.begin(handshake(SSL.Error([("", "", "no")]), SSL.WantReadError(), None))
    assert was_reset(failing)
    assert host.told == ["came", "came", "refused: no"]
    host.come()
    assert host.told[-1] == "known"
    assert was_reset(waiting)


def test_all_who_came_fail(host: Host) -> None:
    host.come()
    host.candidates.begin(handshake(SSL.Error([("", "", "no")])))
    assert host.told == ["came", "refused: no", "client's TLS failed: no"]


def test_nobody_comes(host: Host) -> None:
    host.loop.advance(6)
    host.candidates.begin(None)
    host.loop.advance(6)  # the time began anew
    assert host.told == []
    host.loop.advance(6)
    assert host.told == ["client did not come: "]


def test_nobody_asks_for_a_transfer(host: Host) -> None:
    host.loop.advance(6)
    came = host.come()
    host.loop.advance(5)
    assert host.told == ["came", "no transfer command in time: "]
    assert was_reset(came)


@pytest.mark.parametrize("returns", [False, True])
def test_one_who_does_not_speak(host: Host, returns: bool) -> None:
    silent = host.come()
    host.candidates.begin(handshake(SSL.WantReadError(), None))
    host.loop.advance(SILENCE - 0.1)
    assert host.told == ["came"]
    host.loop.advance(0.2)
    assert host.told[1:] == [f"refused: {LATE}"]
    assert was_reset(silent)
    if returns:
        host.come()
        assert host.told[2:] == ["came", "known"]
    else:
        host.loop.advance(10 - SILENCE)
        assert host.told[2:] == [f"client's TLS failed: {LATE}"]


def test_one_who_speaks_on_and_on(host: Host) -> None:
    talking = host.come()
    host.candidates.begin(waiting())
    for _ in range(3):
        host.loop.advance(3)
        talking.sendall(b"x")
        host.loop.turn()
    assert host.told == ["came"]
    host.loop.advance(3)
    assert host.told == ["came", f"refused: {LATE}", f"client's TLS failed: {LATE}"]
    assert was_reset(talking)


def test_of_those_who_are_held_the_second_gives_way(host: Host) -> None:
    crowd = []
    for _ in range(4):
        crowd.append(host.come())
        host.loop.advance(1)
    host.come()
    assert was_reset(crowd[1])
    host.come()
    assert was_reset(crowd[2])
    gave_way = "refused: gave way to a newer connection"
    assert host.told == ["came"] * 4 + [gave_way, "came"] * 2
    host.candidates.begin(None)
    assert host.client is not None
    assert host.client.socket.getpeername() == crowd[0].getsockname()


def test_of_those_who_shake_hands_the_longest_silent_gives_way(host: Host) -> None:
    crowd = [host.come() for _ in range(4)]
    host.candidates.begin(waiting())
    host.loop.advance(1)
    crowd[1].sendall(b"x")
    host.loop.turn()
    host.come()
    assert was_reset(crowd[2])
    assert host.told == ["came"] * 4 + ["refused: gave way to a newer connection", "came"]
