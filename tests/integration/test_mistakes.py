"""Exceptions in the gateway's own code: each costs one connection or channel, is logged once, and leaves nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.data.candidates import Candidates
from gateway.data.flow import Flow
from gateway.data.port import DataPorts, _Port
from gateway.data.pump import CopyPump
from gateway.data.relaying import Relaying
from gateway.ftp.scrub import Scrubber
from gateway.ftp.streams import CommandStream, ReplyStream
from gateway.guard.admission import Guard
from gateway.net import reception
from gateway.net.leg import Leg
from gateway.net.tls_leg import TLSLeg
from gateway.relay import channels
from gateway.relay.channels import Channels
from gateway.relay.control_port import ControlPort
from gateway.relay.deadlines import Deadlines
from gateway.relay.notes import Notes
from gateway.relay.opaque import OpaqueRelay
from gateway.relay.relay import Relay
from gateway.relay.sides import Side
from gateway.relay.terms import SessionTerms
from gateway.session.exchanges import Exchanges
from gateway.session.judge import Judge
from tests.kit.conversation import connect
from tests.kit.gateway import tls_table
from tests.kit.mistakes import mistake
from tests.kit.ports import scripted
from tests.kit.scripted import ORIGIN, DataPort
from tests.kit.sockets import read_all, read_exactly, was_reset
from tests.kit.stage import Stage, behind, stage, tls_stage, usable
from tests.kit.tls import ending

BALANCER = "127.0.0.10"
HEADER = b"PROXY TCP4 203.0.113.9 198.51.100.7 50000 21\r\n"
TRUSTING = f'[application.proxy_protocol]\naccept_from = ["{BALANCER}/32"]'
CUT = b"426 Data connection closed; transfer aborted."

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def closed(connection: socket.socket) -> bool:
    """Whether nothing comes but an end, of either kind."""
    try:
        return read_all(connection) == b""
    except ConnectionResetError:
        return True


def read_until_the_end(connection: socket.socket) -> bytes:
    """All that comes, whether a reset is behind it or not."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(4096):
            found += more
    return found


# At the control port


@pytest.mark.parametrize(
    ("place", "name"),
    [(SessionTerms, "is_proxy"), (Guard, "admit"), (SessionTerms, "public_text"), (ControlPort, "_welcome")],
    ids=["on arrival", "at the guard", "in the middle of its start", "anywhere"],
)
@pytest.mark.parametrize("header", [b"", HEADER], ids=["itself", "behind a balancer"])
def test_a_session_that_cannot_begin(place: Any, name: str, header: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    source = BALANCER if header else "127.0.0.1"
    with behind(f"limits = {{ sessions = 1 }}\n{TRUSTING}") as (running, origin):
        with mistake(monkeypatch, place, name), connect(running.address, source) as client:
            with contextlib.suppress(ConnectionResetError):  # it may be closed already
                client.sendall(header)
            assert closed(client)
        with connect(running.address, source) as client:
            client.sendall(header)
            with origin.accept() as control:
                control.say(b"220 Ready.")
                assert read_exactly(client, 12) == b"220 Ready.\r\n"
                client.close()
                assert control.hear() == b""
        running.journal.wait("disconnect", outcome="client lost")


# In the middle of a session


@pytest.mark.parametrize(
    ("place", "name", "after"),
    [
        (Judge, "receive", 0),
        (CommandStream, "feed", 0),
        (CommandStream, "next", 0),
        (Relay, "_perform", 0),
        (Exchanges, "add", 0),
        (Side, "flush", 0),
        (Side, "_writable", 0),
        (Leg, "receive", 0),
        (ReplyStream, "feed", 0),
        (ReplyStream, "next", 0),
        (Exchanges, "answered", 0),
        (Scrubber, "scrub", 0),
        (Notes, "disconnected", 0),
        (Deadlines, "stop", 0),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value),
)
def test_a_mistake_of_the_judge_ends_its_session_alone(
    place: Any, name: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does one in what performs its actions."""
    with behind("limits = { sessions = 2 }") as (running, origin):
        with connect(running.address) as other, origin.accept() as other_control:
            other_control.say(b"220 Ready.")
            assert read_exactly(other, 12) == b"220 Ready.\r\n"
            with connect(running.address) as client, origin.accept() as control:
                control.say(b"220 Ready.")
                assert read_exactly(client, 12) == b"220 Ready.\r\n"
                with mistake(monkeypatch, place, name, after):
                    client.sendall(b"QUIT\r\n")
                    if control.hear() == b"QUIT":
                        control.say(b"221 Bye.")
                    told = read_until_the_end(client)
                    control.close()
                    running.journal.wait("disconnect", session=2)
            said = b"421 Service not available; closing control connection.\r\n"
            if place is not Leg:  # from which nothing more can be had
                assert told == (b"221 Bye.\r\n" if place in (Notes, Deadlines) else said)
            outcome = running.journal.wait("disconnect", session=2)["outcome"]
            assert outcome == "internal error"
            assert len(running.journal.all("disconnect", session=2)) == 1
            other.sendall(b"NOOP\r\n")
            assert other_control.hear() == b"NOOP"
            other_control.say(b"200 Fine.")
            assert read_exactly(other, 11) == b"200 Fine.\r\n"
            with connect(running.address) as third, origin.accept() as third_control:  # its place is free again
                third_control.say(b"220 Ready.")
                assert read_exactly(third, 12) == b"220 Ready.\r\n"


@pytest.fixture
def opaque(nothing_is_left: None) -> Iterator[Stage]:
    """A session that cannot be read."""
    with stage(tls_table("passthrough"), data_ports=scripted()[:3]) as on:
        assert on.exchange(b"AUTH TLS", b"234 Go on.") == b"234 Go on."
        yield on


def test_an_opaque_session_is_told_nothing_in_the_clear(opaque: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with mistake(monkeypatch, OpaqueRelay, "received"):
        opaque.client.send(b"\x16\x03\x01")
        assert read_until_the_end(opaque.client.socket) == b""
    assert opaque.running.journal.wait("disconnect")["outcome"] == "internal error"


def test_an_opaque_session_whose_ports_cannot_be_closed(opaque: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with DataPort.at(ORIGIN, scripted()[0]) as data:
        ends = [opaque.dial(data.port), opaque.own(data.accept())]
    with mistake(monkeypatch, OpaqueRelay, "close"):
        opaque.control.close()
        assert read_until_the_end(opaque.client.socket) == b""
    assert all(map(was_reset, ends))
    assert opaque.running.journal.wait("disconnect")["outcome"] == "internal error"
    assert not opaque.listens(scripted()[0])


def test_a_channel_whose_closing_fails_leaves_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with stage() as on:
        data = on.passive()
        with mistake(monkeypatch, Relaying, "close"):
            on.client.close()
            assert on.running.journal.wait("disconnect")["outcome"] == "internal error"
        assert not on.listens(data.port)


# At a reception


def test_a_header_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with behind(TRUSTING) as (running, origin):
        with mistake(monkeypatch, reception, "read"), connect(running.address, BALANCER) as client:
            client.sendall(HEADER)
            assert closed(client)
        assert running.journal.wait("proxyHeaderRefused")["reason"] == "internal error"
        with connect(running.address, BALANCER) as client:
            client.sendall(HEADER)
            origin.accept().close()
        running.journal.wait("disconnect")


def test_a_header_at_a_data_port_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with stage(TRUSTING, source=BALANCER, header=HEADER) as on:
        data = on.passive()
        with mistake(monkeypatch, reception, "read"):
            refused = on.dial(data.port, BALANCER)
            refused.sendall(HEADER)
            assert closed(refused)
        at_client = on.dial(data.port, BALANCER)
        at_client.sendall(HEADER + b"up")
        assert read_exactly(on.accept(data), 2) == b"up"


# At a data port


@pytest.mark.parametrize(("place", "name"), [(socket.socket, "accept"), (_Port, "_receive"), (_Port, "_lead")])
def test_a_data_port_is_not_deaf(place: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with stage() as on:
        data = on.passive()
        with mistake(monkeypatch, place, name):
            first = on.dial(data.port)
            if name == "accept":  # it is still in line
                at_client = first
            else:
                assert closed(first)
                at_client = on.dial(data.port)
            at_client.sendall(b"up")
            assert read_exactly(on.accept(data), 2) == b"up"
        assert usable(on)


def test_a_client_that_cannot_be_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    with stage() as on:
        data = on.passive()
        with mistake(monkeypatch, Candidates, "_know"):
            assert was_reset(on.dial(data.port))
            assert on.running.journal.wait("dataChannel")["outcome"] == "internal error"
        assert not on.listens(data.port)
        assert usable(on)


def test_one_port_of_many_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = scripted()[:3]
    with stage(tls_table("passthrough"), data_ports=ports) as on:
        assert on.exchange(b"AUTH TLS", b"234 Go on.") == b"234 Go on."
        data = on.own(DataPort.at(ORIGIN, ports[1]))
        for place in (Channels, Candidates):
            with mistake(monkeypatch, place, "_new" if place is Channels else "come"):
                assert closed(on.dial(data.port))
        assert on.running.journal.wait("dataChannel")["outcome"] == "internal error"
        at_client = on.dial(data.port)
        at_client.sendall(b"up")
        assert read_exactly(on.accept(data), 2) == b"up"


# On the way to the origin


@pytest.mark.parametrize(("place", "name"), [(Channels, "data_connected"), (Relaying, "join")])
@pytest.mark.parametrize("early", [True, False], ids=["client first", "command first"])
def test_a_data_connection_to_the_origin_that_cannot_be_taken_in(
    place: Any, name: str, early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage() as on:
        data = on.passive()
        with mistake(monkeypatch, place, name):
            ends: list[socket.socket] = []
            if early:
                with contextlib.suppress(ConnectionResetError):  # it may be reset before it can be looked at
                    ends.append(on.dial(data.port))
                ends.append(on.accept(data))
            else:
                on.client.send(b"RETR a\r\n")
                ends.append(on.accept(data))
                if place is Relaying:
                    on.control.expect(b"RETR a")
                    with contextlib.suppress(ConnectionResetError):  # likewise
                        ends.append(on.dial(data.port))
            for end in ends:
                assert was_reset(end)
        assert on.running.journal.wait("dataChannel")["outcome"] == "internal error"
        if not early and place is Relaying:
            on.control.say(b"426 Cut.")
            assert on.client.reply() == b"426 Cut."
        elif not early:
            assert on.client.reply() == b"425 Cannot open a data connection."
        assert usable(on)


# Between the legs


@pytest.mark.parametrize(
    ("place", "name", "after"),
    [
        (CopyPump, "fill", 0),
        (CopyPump, "drain", 1),
        (Flow, "_drain", 1),
        (Flow, "_finish", 0),
        (Channels, "data_delivered", 0),
    ],
)
@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
def test_a_transfer_that_cannot_go_on(
    place: Any, name: str, after: int, command: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(command)
        source, sink = (at_origin, at_client) if command == b"RETR a" else (at_client, at_origin)
        with mistake(monkeypatch, place, name, after):
            source.sendall(b"first")
            if after or name in ("_finish", "data_delivered"):
                assert read_exactly(sink, 5) == b"first"
                if after:
                    source.sendall(b"second")
                else:
                    source.shutdown(socket.SHUT_WR)
            if name == "data_delivered":  # its end had been handed on
                assert read_all(sink) == b""
            else:
                assert was_reset(sink)
            channel = on.running.journal.wait("dataChannel")
        assert channel["outcome"] == "internal error"
        assert channel["toClient" if command == b"RETR a" else "toOrigin"] == (0 if name == "fill" else 5)
        on.control.say(b"226 Done.")
        assert on.client.reply() == CUT
        assert usable(on)


def test_a_channel_that_cannot_be_closed_is_gone_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        with mistake(monkeypatch, DataPorts, "leave"):  # which it has left already, when its client came
            for end in (at_origin, at_client):
                end.shutdown(socket.SHUT_WR)
            assert on.running.journal.wait("dataChannel")["outcome"] == "complete"
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        assert usable(on)


def test_a_transfer_that_cannot_go_on_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with stage() as on:
        other = on.another()
        theirs, at_their_origin = other.transfer(b"RETR b")
        at_client, at_origin = on.transfer(b"RETR a")
        with mistake(monkeypatch, CopyPump, "fill"):
            at_origin.sendall(b"first")
            assert was_reset(at_client) and was_reset(at_origin)
        at_their_origin.sendall(b"all of it")
        at_their_origin.close()
        assert read_all(theirs) == b"all of it"


# With TLS


@pytest.fixture
def secure(nothing_is_left: None) -> Any:
    """A session whose data connections have TLS."""
    with tls_stage("flexible") as on:
        on.protect()
        yield on


def usable_with_tls(on: Stage) -> bool:
    """Whether the session can still make a transfer."""
    at_client, at_origin = on.transfer(b"RETR after")
    at_origin.sendall(b"whole")
    at_origin.close()
    whole = read_exactly(at_client, 5) == b"whole" and ending(at_client) == "whole"
    on.control.say(b"226 Done.")
    return on.client.reply() == b"226 Done." and whole


def test_a_handshake_that_cannot_be_judged(secure: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    on = secure
    data = on.passive()
    at_client = on.dial(data.port)
    with mistake(monkeypatch, channels, "resumed"):
        at_origin = on.begin(b"RETR a", data)
        with pytest.raises(OSError):
            on.secure(at_client).recv(1)
        assert was_reset(at_origin)
        assert on.running.journal.wait("dataChannel")["outcome"] == "internal error"
    on.control.say(b"226 Done.")
    assert on.client.reply() == CUT
    assert usable_with_tls(on)


@pytest.mark.parametrize(
    ("command", "name"), [(b"RETR a", "send"), (b"STOR a", "doRead"), (b"STOR a", "receive_into")]
)
def test_a_secure_transfer_that_cannot_go_on(
    secure: Stage, command: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = secure
    at_client, at_origin = on.transfer(command)
    source, sink = (at_origin, at_client) if command == b"RETR a" else (at_client, at_origin)
    with mistake(monkeypatch, TLSLeg, name):
        source.sendall(b"first")
        assert ending(sink) == "reset"
        assert on.running.journal.wait("dataChannel")["outcome"] == "internal error"
    on.control.say(b"226 Done.")
    assert on.client.reply() == CUT
    assert usable_with_tls(on)
