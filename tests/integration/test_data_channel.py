"""The data channel, from the 227 or 229 to its last byte, with both pumps."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
import time
from unittest.mock import Mock

import pytest

from gateway.applications import building
from gateway.data import pump
from gateway.data.channel import DataChannel, Owner
from gateway.data.port import DataPorts
from tests.kit.conversation import connect
from tests.kit.reactor import comes_to_rest, in_reactor, reactor, reactor_seconds, turn
from tests.kit.scripted import ORIGIN, DataPort
from tests.kit.sockets import fill, in_background, read_all, read_exactly, reset, silent, was_reset
from tests.kit.stage import plain_route, stage, usable

MIB = 1 << 20
SOCKET_HOLDS = 4 * MIB  # on its way to a peer: the most that Linux takes (tcp_wmem)
OTHER = "127.0.0.9"  # another client, of the same /24
FAR = "127.1.0.9"  # another client, of another


@pytest.fixture(
    params=[
        pytest.param("splice", marks=pytest.mark.skipif(sys.platform != "linux", reason="splice is Linux's")),
        "copy",
    ],
)
def pumped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs with each pump."""
    if request.param == "copy":
        monkeypatch.setattr(pump, "SplicePump", pump.CopyPump)


both_pumps = pytest.mark.usefixtures("pumped")


def send(connection: socket.socket, content: bytes) -> None:
    """Sends all of it, and closes."""
    with connection:
        connection.sendall(content)


def small(connection: socket.socket) -> socket.socket:
    """Lets it take little more than nothing that is not read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return connection


# Bytes, and their end


@both_pumps
@pytest.mark.parametrize("size", [0, 1, 65536, 3 * MIB + 7])
def test_a_download_ends_behind_its_last_byte(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        sender = in_background(send, at_origin, content)
        assert read_all(at_client) == content
        sender.join()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        at_client.close()
        channel = on.running.journal.wait("dataChannel")
        assert (channel["toClient"], channel["toOrigin"], channel["outcome"]) == (size, 0, "complete")
        assert usable(on)


@both_pumps
@pytest.mark.parametrize("command", [b"STOR a", b"APPE a", b"STOU"])
@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 7])
def test_an_upload_ends_behind_its_last_byte(command: bytes, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with stage() as on:
        at_client, at_origin = on.transfer(command)
        sender = in_background(send, at_client, content)
        assert read_all(at_origin) == content
        sender.join()
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        channel = on.running.journal.wait("dataChannel")
        assert (channel["toClient"], channel["toOrigin"], channel["outcome"]) == (0, size, "complete")
        assert usable(on)


@both_pumps
def test_an_upload_may_be_over_before_its_command() -> None:
    with stage() as on:
        data = on.passive()
        with on.dial(data.port) as at_client:
            at_client.sendall(b"early")
        at_origin = on.accept(data)
        assert read_all(at_origin) == b"early"
        assert on.exchange(b"STOR a", b"150 Come.") == b"150 Come."
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."


@both_pumps
@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
def test_either_end_may_be_closed_while_bytes_come_from_the_other(command: bytes) -> None:
    with stage() as on:
        for first in (0, 1):
            ends = on.transfer(command)
            one, other = ends[first], ends[1 - first]
            one.sendall(b"last words")
            one.shutdown(socket.SHUT_WR)
            assert read_all(other) == b"last words"
            other.sendall(b"and still")
            assert one.recv(100) == b"and still"
            other.sendall(b" some more")
            other.close()
            assert read_all(one) == b" some more"
            one.close()
            on.control.say(b"226 Done.")
            assert on.client.reply() == b"226 Done."
            assert on.running.journal.wait("dataChannel", 1 + first)["outcome"] == "complete"


@both_pumps
def test_both_ways_at_once() -> None:
    content = bytes(range(256)) * (64 * MIB // 256)
    digest = hashlib.sha256(content).hexdigest()
    received: dict[socket.socket, str] = {}

    def send(connection: socket.socket) -> None:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)

    def receive(connection: socket.socket) -> None:
        reader, buffer = hashlib.sha256(), bytearray(MIB)
        while count := connection.recv_into(buffer):
            reader.update(memoryview(buffer)[:count])
        received[connection] = reader.hexdigest()

    with stage() as on:
        ends = on.transfer(b"RETR a")
        workers = [in_background(work, end) for end in ends for work in (send, receive)]
        for worker in workers:
            worker.join()
        assert list(received.values()) == [digest, digest]
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        channel = on.running.journal.wait("dataChannel")
        assert (channel["toClient"], channel["toOrigin"]) == (len(content), len(content))


@both_pumps
def test_what_was_handed_on_arrives_though_the_session_ends() -> None:
    content = bytes(range(256)) * 2048
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        at_origin.sendall(content)
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        assert on.exchange(b"QUIT", b"221 Bye.") == b"221 Bye."
        assert on.client.at_end()
        assert on.running.journal.wait("dataChannel")["outcome"] == "complete"
        assert read_all(at_client) == content


@both_pumps
def test_what_was_handed_on_arrives_though_another_channel_is_asked_for() -> None:
    content = bytes(range(256)) * 2048
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        at_origin.sendall(content)
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        assert usable(on)
        assert read_all(at_client) == content


@both_pumps
@pytest.mark.parametrize("closing", [0, 1], ids=["client", "origin"])
def test_nothing_spins_while_one_way_is_closed(closing: int) -> None:
    with stage() as on:
        ends = on.transfer(b"RETR a")
        ends[closing].shutdown(socket.SHUT_WR)
        assert read_all(ends[1 - closing]) == b""
        assert comes_to_rest()


@both_pumps
@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
def test_an_urgent_byte_neither_stops_nor_cuts_a_transfer(command: bytes) -> None:
    """In front of it splice(2) reports an end of file where the FIN has come, and nothing where it has not."""
    with stage() as on:
        at_client, at_origin = on.transfer(command)
        source, sink = (at_origin, at_client) if command == b"RETR a" else (at_client, at_origin)
        content = bytes(range(256)) * (MIB // 256)
        source.sendall(content)
        assert read_exactly(sink, MIB) == content
        source.sendall(b"!", socket.MSG_OOB)
        source.sendall(content)
        assert read_exactly(sink, MIB) == content
        held, going_on = threading.Event(), threading.Event()
        reactor.callFromThread(lambda: (held.set(), going_on.wait()))
        held.wait()
        source.sendall(b"!", socket.MSG_OOB)
        source.sendall(b"the end")
        source.close()
        going_on.set()
        assert read_all(sink) == b"the end"
        sink.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."


@both_pumps
def test_a_transfer_without_a_preliminary_reply() -> None:
    with stage() as on:
        data = on.passive()
        on.client.send(b"LIST\r\n")
        on.control.expect(b"LIST")
        with on.accept(data) as at_origin:
            at_origin.sendall(b"listing")
        on.control.say(b"226 Done.")
        assert read_all(on.dial(data.port)) == b"listing"
        assert on.client.reply() == b"226 Done."
        assert usable(on)


@both_pumps
def test_transfers_asked_for_in_one_packet() -> None:
    with stage() as on:
        on.client.send(b"EPSV\r\nRETR a\r\nEPSV\r\nRETR b\r\nQUIT\r\n")
        for content in (b"a", b"b"):
            data = on.own(on.control.answer_passive())
            on.control.expect(b"RETR " + content)
            assert on.client.reply().startswith(b"229 ")
            with on.accept(data) as at_origin:
                on.control.say(b"150 Come.")
                at_origin.sendall(content)
            on.control.say(b"226 Done.")
            assert on.client.reply() == b"150 Come."
            assert read_all(on.dial(data.port)) == content
            assert on.client.reply() == b"226 Done."
        on.control.expect(b"QUIT")


# Cuts


@both_pumps
@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
@pytest.mark.parametrize("sent", [0, 1, MIB])
@pytest.mark.parametrize("closing", ["client", "origin"])
def test_a_reset_is_passed_on_as_a_reset(command: bytes, sent: int, closing: str) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(command)
        one, other = (at_client, at_origin) if closing == "client" else (at_origin, at_client)
        in_background(one.sendall, bytes(sent)).join()
        reset(one)
        assert was_reset(other)
        assert on.running.journal.wait("dataChannel")["outcome"] == f"{closing} reset"
        on.control.say(b"226 Transfer complete, or so it seems.")
        assert on.client.reply().startswith(b"426 ")
        assert usable(on)


@both_pumps
@pytest.mark.parametrize("closing", ["client", "origin"])
def test_a_reset_reaches_the_other_side_past_a_full_channel(closing: str) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        one, other = (at_client, at_origin) if closing == "client" else (at_origin, at_client)
        assert fill(at_origin, 256 * MIB) < 256 * MIB
        reset(one)
        assert was_reset(other)
        assert on.running.journal.wait("dataChannel")["outcome"] == f"{closing} reset"
        on.control.say(b"426 Cut.")
        assert on.client.reply() == b"426 Cut."
        assert usable(on)


@both_pumps
def test_a_failed_transfer_is_told_as_the_origin_tells_it() -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        at_origin.sendall(b"half")
        at_origin.close()
        on.control.say(b"451 Disk trouble.")
        assert read_all(at_client) == b"half"
        assert on.client.reply() == b"451 Disk trouble."
        assert usable(on)


@both_pumps
def test_a_failed_transfer_does_not_wait_for_its_data_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_GRACE", 0.3)
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        at_origin.sendall(b"half")
        on.control.say(b"451 Disk trouble.")
        assert on.client.reply() == b"451 Disk trouble."
        assert was_reset(at_client)
        assert was_reset(at_origin)
        assert usable(on)


@both_pumps
@pytest.mark.parametrize("come", [True, False], ids=["client there", "client on its way"])
def test_a_transfer_that_the_origin_refuses(come: bool) -> None:
    with stage() as on:
        data = on.passive()
        if come:
            at_client = on.dial(data.port)
        assert on.exchange(b"RETR a", b"550 No such file.") == b"550 No such file."
        if come:
            with pytest.raises(ConnectionResetError):
                at_client.recv(1)
        else:
            assert not on.listens(data.port)
        assert on.running.journal.wait("dataChannel")["outcome"] == "session ended it"
        assert usable(on)


# Who may come, and when


def test_a_port_takes_one_client() -> None:
    with stage() as on:
        data = on.passive()
        at_client = on.dial(data.port)
        at_origin = on.accept(data)
        at_client.sendall(b"a")
        assert at_origin.recv(1) == b"a"
        assert not on.listens(data.port)


def test_of_two_clients_at_once_one_is_served() -> None:
    with stage() as on:
        data = on.passive()
        held, going_on = threading.Event(), threading.Event()
        reactor.callFromThread(lambda: (held.set(), going_on.wait()))
        held.wait()
        first, second = on.dial(data.port), on.dial(data.port)
        going_on.set()
        at_origin = on.accept(data)
        at_origin.sendall(b"a")
        assert first.recv(1) == b"a"
        with pytest.raises(ConnectionResetError):
            second.recv(1)
        assert data.accept_now() is None


@pytest.mark.parametrize(
    ("peer", "welcome", "strange"),
    [
        ("address", ["127.0.0.1"], [OTHER, FAR, "127.0.0.2"]),
        ("network", ["127.0.0.1", OTHER, "127.0.0.254"], [FAR, "127.0.1.1"]),
        ("any", ["127.0.0.1", OTHER, FAR], []),
    ],
)
def test_who_may_take_a_data_channel(peer: str, welcome: list[str], strange: list[str]) -> None:
    with stage(f'data_peer = "{peer}"') as on:
        for source in welcome:
            data = on.passive()
            for stranger in strange:
                with on.dial(data.port, stranger) as knocking:
                    assert read_all(knocking) == b""
                event = on.running.journal.wait("strangerRefused", stranger=stranger, port=data.port)
                assert event["client"] == "127.0.0.1"
            at_client = on.dial(data.port, source)
            at_origin = on.accept(data)
            at_client.sendall(b"a")
            assert at_origin.recv(2) == b"a"
            on.passive()
            assert on.running.journal.wait("dataChannel", port=data.port)["dataClient"] == source
        turn()
        assert len(on.running.journal.all("strangerRefused")) == len(welcome) * len(strange)


def test_a_port_is_closed_when_its_time_is_over() -> None:
    with stage("timeouts = { data_accept = 0.3 }") as on:
        data = on.passive()
        assert on.running.journal.wait("dataChannel")["outcome"] == "client did not come"
        assert not on.listens(data.port)
        assert on.client.ask(b"RETR a").startswith(b"425 ")
        assert data.accept_now() is None
        assert on.exchange(b"RETR a", b"425 Use EPSV first.") == b"425 Use EPSV first."
        assert usable(on)


@pytest.mark.parametrize("reply", [b"226 Done.", b"426 Where were you?", b"425 Where were you?"])
def test_a_client_that_never_comes_for_its_transfer(reply: bytes) -> None:
    with stage("timeouts = { data_accept = 0.3 }") as on:
        data = on.passive()
        assert on.exchange(b"LIST", b"150 Here it comes.") == b"150 Here it comes."
        at_origin = on.accept(data)
        assert was_reset(at_origin)
        assert on.running.journal.wait("dataChannel")["outcome"] == "client did not come"
        on.control.say(reply)
        expected = reply if reply[:1] == b"4" else b"426 Data connection closed; transfer aborted."
        assert on.client.reply() == expected
        assert usable(on)


def test_a_client_may_come_after_the_origin_has_said_all() -> None:
    with stage() as on:
        data = on.passive()
        assert on.exchange(b"LIST", b"150 Here it comes.") == b"150 Here it comes."
        with data.accept() as at_origin:
            at_origin.sendall(b"listing")
        on.control.say(b"226 Done.")
        assert silent(on.client.socket)
        assert read_all(on.dial(data.port)) == b"listing"
        assert on.client.reply() == b"226 Done."


@pytest.mark.parametrize("command", [b"EPSV", b"PASV"])
@pytest.mark.parametrize("same_port", [True, False])
def test_a_second_port_takes_the_place_of_the_first(command: bytes, same_port: bool) -> None:
    with stage() as on:
        first = on.passive(command)
        second = on.passive(command, first if same_port else None)
        assert on.running.journal.wait("dataChannel", port=first.port)["outcome"] == "session ended it"
        if not same_port:
            assert not on.listens(first.port)
        at_client = on.dial(second.port)
        at_origin = on.accept(second)
        at_origin.sendall(b"a")
        assert at_client.recv(1) == b"a"
        third = on.passive(command)
        with pytest.raises(ConnectionResetError):
            at_client.recv(1)
        assert was_reset(at_origin)
        on.dial(third.port)


def test_a_port_that_is_taken_is_no_reason_to_end_the_session() -> None:
    with stage() as on:
        data = on.own(DataPort.at(ORIGIN))
        taken = DataPort.at("127.0.0.1", data.port)
        reply = on.exchange(b"EPSV", b"229 Come (|||%d|)" % data.port)
        assert reply.startswith(b"425 ")
        channel = on.running.journal.wait("dataChannel")
        assert (channel["outcome"], channel["reason"]) == ("port unavailable", "Address already in use")
        taken.close()
        assert usable(on)


# The origin's data port


@pytest.mark.parametrize("early", [True, False], ids=["client there", "client on its way"])
def test_the_dial_precedes_the_command(early: bool) -> None:
    with stage() as on:
        data = on.passive()
        if early:
            at_client = on.dial(data.port)
        on.client.send(b"RETR a\r\n")
        on.control.expect(b"RETR a")
        at_origin = data.accept_now()
        assert at_origin is not None
        on.own(at_origin).sendall(b"a")
        assert data.accept_now() is None
        if not early:
            at_client = on.dial(data.port)
        assert at_client.recv(1) == b"a"


@pytest.mark.parametrize("early", [True, False], ids=["client there", "client on its way"])
def test_a_data_port_that_refuses(early: bool) -> None:
    with stage() as on:
        data = on.passive()
        port = data.port
        data.close()
        if early:
            with pytest.raises(ConnectionResetError):
                on.dial(port).recv(1)
        on.client.send(b"RETR a\r\nNOOP\r\n")
        assert on.client.reply() == b"425 Cannot open a data connection."
        on.control.expect(b"NOOP")
        on.control.say(b"200 Fine.")
        assert on.client.reply() == b"200 Fine."
        channel = on.running.journal.wait("dataChannel")
        assert (channel["outcome"], channel["reason"]) == ("origin unreachable", "Connection refused")
        assert usable(on)


def test_a_data_port_that_does_not_answer() -> None:
    with stage("timeouts = { origin_connect = 0.3 }") as on:
        on.passive(data=DataPort.deaf(ORIGIN))
        on.client.send(b"RETR a\r\nNOOP\r\n")
        assert on.client.reply() == b"425 Cannot open a data connection."
        on.control.expect(b"NOOP")
        on.control.say(b"200 Fine.")
        assert on.client.reply() == b"200 Fine."
        channel = on.running.journal.wait("dataChannel")
        assert (channel["outcome"], channel["reason"]) == ("origin unreachable", "connect timeout")
        assert usable(on)


def test_a_client_that_leaves_its_port_before_its_command() -> None:
    with stage() as on:
        data = on.passive()
        reset(on.dial(data.port))
        assert was_reset(on.accept(data))
        assert on.running.journal.wait("dataChannel")["outcome"] == "client reset"
        assert on.exchange(b"STOR a", b"150 Come.") == b"150 Come."
        on.control.say(b"226 Done.")
        assert on.client.reply().startswith(b"426 ")
        assert usable(on)


def test_data_ports_are_bound_where_the_operator_says() -> None:
    with stage('data_interface = "127.0.0.4"\npublic_address = "127.0.0.4"') as on:
        data = on.passive(b"PASV")
        assert not on.listens(data.port)
        at_client = on.own(connect(("127.0.0.4", data.port)))
        at_client.sendall(b"a")
        assert on.accept(data).recv(1) == b"a"


def test_the_origins_port_is_dialled_from_the_given_address() -> None:
    with DataPort.at(ORIGIN) as data:
        route = plain_route(("127.0.0.1", data.port), (data.host, data.port), source="127.0.0.5", peers=None)
        channel = DataChannel(reactor, DataPorts(reactor), route, Mock(spec=Owner))
        in_reactor(channel.open)
        in_reactor(channel.dial)
        with data.accept() as at_origin:
            assert at_origin.getpeername()[0] == "127.0.0.5"
        in_reactor(channel.close)


def test_the_origin_sees_data_come_from_where_the_control_connection_does() -> None:
    with stage() as on:
        data = on.passive()
        on.dial(data.port)
        at_origin = on.accept(data)
        assert at_origin.getpeername()[0] == on.control.socket.getpeername()[0]


def test_a_transfer_without_a_port_is_the_origins_to_refuse() -> None:
    with stage() as on:
        assert on.exchange(b"RETR a", b"425 Use EPSV first.") == b"425 Use EPSV first."
        assert usable(on)


# Completion


@both_pumps
def test_the_completion_does_not_overtake_the_data() -> None:
    with stage() as on:
        data = on.passive()
        at_client = small(on.own(socket.socket()))
        at_client.settimeout(20)
        at_client.connect(("127.0.0.1", data.port))
        assert on.exchange(b"RETR a", b"150 Here it comes.") == b"150 Here it comes."
        at_origin = on.accept(data)
        size = fill(at_origin, 256 * MIB)
        assert SOCKET_HOLDS + MIB < size < 256 * MIB
        on.control.say(b"226 Done.")
        at_origin.shutdown(socket.SHUT_WR)
        assert silent(on.client.socket)
        left = size
        while left > SOCKET_HOLDS:  # the rest may be under way already
            assert silent(on.client.socket, 0)
            left -= len(at_client.recv(min(1 << 16, left - SOCKET_HOLDS)))
        turn()
        assert silent(on.client.socket)
        assert len(read_all(at_client)) == left
        assert on.client.reply() == b"226 Done."


@both_pumps
def test_the_completion_of_an_upload_waits_for_the_clients_last_byte() -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"STOR a")
        at_client.sendall(b"half")
        assert at_origin.recv(4) == b"half"
        on.control.say(b"226 Enough.")
        assert silent(on.client.socket)
        at_client.sendall(b" rest")
        at_client.close()
        assert read_all(at_origin) == b" rest"
        assert on.client.reply() == b"226 Enough."
        at_origin.close()
        assert usable(on)


@both_pumps
@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
def test_an_early_completion_of_a_cut_transfer_becomes_a_426(command: bytes) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(command)
        on.control.say(b"226 Done.")
        assert silent(on.client.socket)
        reset(at_origin if command == b"RETR a" else at_client)
        assert on.client.reply() == b"426 Data connection closed; transfer aborted."
        assert was_reset(at_client if command == b"RETR a" else at_origin)
        assert usable(on)


# Slowness


@both_pumps
@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
def test_a_slow_reader_stops_the_sender_and_nothing_spins(command: bytes) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(command)
        source, sink = (at_origin, at_client) if command == b"RETR a" else (at_client, at_origin)
        size = fill(source, 256 * MIB)
        assert size < 256 * MIB
        before = reactor_seconds()
        time.sleep(0.5)
        assert reactor_seconds() - before < 0.1
        for _ in range(size // MIB):
            assert len(read_exactly(sink, MIB)) == MIB
        assert len(read_exactly(sink, size % MIB)) == size % MIB
        assert comes_to_rest()
        source.close()
        assert read_all(sink) == b""
        sink.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."


@both_pumps
@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
@pytest.mark.parametrize("full", [True, False], ids=["full", "empty"])
def test_a_transfer_that_moves_nothing_is_cut(command: bytes, full: bool) -> None:
    with stage("timeouts = { data_stall = 0.6 }") as on:
        at_client, at_origin = on.transfer(command)
        source, sink = (at_origin, at_client) if command == b"RETR a" else (at_client, at_origin)
        if full:
            with pytest.raises(ConnectionResetError):
                source.sendall(bytes(256 * MIB))
        else:
            assert was_reset(source)
        assert was_reset(sink)
        assert on.running.journal.wait("dataChannel")["outcome"] == "stalled"
        on.control.say(b"226 Done.")
        assert on.client.reply().startswith(b"426 ")
        assert usable(on)


@both_pumps
def test_a_transfer_that_trickles_is_not_cut() -> None:
    with stage("timeouts = { data_stall = 1, idle = 1 }") as on:
        at_client, at_origin = on.transfer(b"RETR a")
        for _ in range(5):
            time.sleep(0.3)
            at_origin.sendall(b"a")
            assert at_client.recv(1) == b"a"
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."


# Commands beside a transfer


def test_what_may_stand_beside_a_transfer() -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        assert on.exchange(b"STAT", b"213-Half\r\n226 not yet\r\n213 way") == b"213-Half\r\n226 not yet\r\n213 way"
        assert on.exchange(b"NOOP", b"200 Patience.") == b"200 Patience."
        on.client.send(b"STAT\r\n")
        on.control.expect(b"STAT")
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        on.control.say(b"211 Idle.")
        assert on.client.reply() == b"211 Idle."
        assert read_all(at_client) == b""


@pytest.mark.parametrize("command", [b"QUIT", b"PWD", b"EPSV", b"PORT 1,2,3,4,5,6", b"XYZZY", b"RETR b", b"CWD \0"])
def test_what_has_to_wait_for_a_transfer(command: bytes) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        on.client.send(command + b"\r\n")
        assert silent(on.client.socket)
        assert silent(on.control.socket, 0)
        at_origin.sendall(b"a")
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        assert read_all(at_client) == b"a"
        if command in (b"PORT 1,2,3,4,5,6", b"XYZZY", b"CWD \0"):
            assert on.client.reply()[:2] == b"50"
        else:
            on.control.expect(command)


def test_rest_is_followed_at_once_by_its_transfer() -> None:
    with stage() as on:
        data = on.passive()
        on.client.send(b"REST 5\r\nRETR a\r\n")
        on.control.expect(b"REST 5")
        on.control.say(b"350 Go on.")
        on.control.expect(b"RETR a")
        assert on.client.reply() == b"350 Go on."
        assert on.accept(data)


# ABOR


@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
@pytest.mark.parametrize("urgent", [True, False])
@pytest.mark.parametrize(
    "replies",
    [
        [b"426 Aborted.", b"226 Abort done."],
        [b"426 Aborted.", b"225 Abort done."],
        [b"226 Transfer done.", b"225 Nothing to abort."],
        [b"226 Transfer done.", b"226 Nothing to abort."],
        [b"451 Aborted.", b"226 Abort done."],
    ],
)
def test_an_abort_goes_on_at_once(command: bytes, urgent: bool, replies: list[bytes]) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(command)
        at_origin.sendall(b"half")
        assert at_client.recv(4) == b"half"
        if urgent:  # RFC 959 section 4.1.3
            on.client.send(b"\xff\xf4")
            on.client.socket.send(b"\xff", socket.MSG_OOB)
            on.client.send(b"\xf2ABOR\r\n")
        else:
            on.client.send(b"ABOR\r\n")
        on.control.expect(b"ABOR")
        at_origin.close()
        for reply in replies:
            on.control.say(reply)
            assert on.client.reply() == reply
        at_client.close()
        assert on.exchange(b"PWD", b'257 "/"') == b'257 "/"'
        assert usable(on)


@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
def test_an_abort_may_have_its_only_answer_in_that_of_the_transfer(
    command: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_GRACE", 0.3)
    with stage() as on:
        at_client, at_origin = on.transfer(command)
        on.client.send(b"ABOR\r\nPORT 1,2,3,4,5,6\r\nPWD\r\n")
        on.control.expect(b"ABOR")
        at_origin.close()
        on.control.say(b"226 Abort done.")
        assert on.client.reply() == b"226 Abort done."
        at_client.close()
        assert on.client.reply().startswith(b"502 ")
        on.control.expect(b"PWD")
        on.control.say(b'257 "/"')
        assert on.client.reply() == b'257 "/"'
        assert usable(on)


def test_an_abort_cuts_the_data_that_the_origin_goes_on_sending() -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        assert fill(at_origin, 256 * MIB) < 256 * MIB
        on.client.send(b"ABOR\r\n")
        on.control.expect(b"ABOR")
        on.control.send(b"426 Aborted.\r\n226 Abort done.\r\n")
        assert on.client.reply() == b"426 Aborted."
        assert on.client.reply() == b"226 Abort done."
        assert was_reset(at_client)
        assert was_reset(at_origin)
        assert usable(on)


def test_an_abort_of_a_transfer_whose_completion_is_held() -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        assert fill(at_origin, 256 * MIB) < 256 * MIB
        on.control.say(b"226 Done.")
        at_origin.shutdown(socket.SHUT_WR)
        assert silent(on.client.socket)
        on.client.send(b"ABOR\r\n")
        on.control.expect(b"ABOR")
        assert on.client.reply() == b"426 Data connection closed; transfer aborted."
        on.control.say(b"225 Nothing to abort.")
        assert on.client.reply() == b"225 Nothing to abort."
        assert was_reset(at_client)
        assert usable(on)


def test_an_abort_while_the_origins_port_is_dialled() -> None:
    with stage("timeouts = { origin_connect = 0.3 }") as on:
        on.passive(data=DataPort.deaf(ORIGIN))
        on.client.send(b"RETR a\r\nABOR\r\n")
        assert on.client.reply() == b"425 Cannot open a data connection."
        on.control.expect(b"ABOR")
        on.control.say(b"225 Nothing to abort.")
        assert on.client.reply() == b"225 Nothing to abort."
        assert usable(on)


def test_an_abort_without_a_transfer() -> None:
    with stage() as on:
        on.client.send(b"ABOR\r\nPORT 1,2,3,4,5,6\r\nPWD\r\n")
        on.control.expect(b"ABOR")
        on.control.say(b"225 Nothing to abort.")
        assert on.client.reply() == b"225 Nothing to abort."
        assert on.client.reply().startswith(b"502 ")
        on.control.expect(b"PWD")
        on.control.say(b'257 "/"')
        assert on.client.reply() == b'257 "/"'
        assert usable(on)


def test_answers_behind_an_abort_keep_their_order() -> None:
    with stage() as on:
        _, at_origin = on.transfer(b"RETR a")
        on.client.send(b"ABOR\r\nPORT 1,2,3,4,5,6\r\nPWD\r\n")
        on.control.expect(b"ABOR")
        at_origin.close()
        on.control.say(b"426 Aborted.")
        assert on.client.reply() == b"426 Aborted."
        assert silent(on.client.socket)
        on.control.say(b"226 Abort done.")
        assert on.client.reply() == b"226 Abort done."
        assert on.client.reply().startswith(b"502 ")
        on.control.expect(b"PWD")


# One port of the origin's for two sessions


def test_a_port_that_the_origin_gives_away_is_lost() -> None:
    with stage() as on:
        data = on.passive()
        newcomer = on.another()
        newcomer.passive(data=data)
        assert on.running.journal.wait("dataChannel")["outcome"] == "origin gave the port to another session"
        assert on.client.ask(b"RETR a") == b"425 Cannot open a data connection."
        at_client = newcomer.dial(data.port)
        at_origin = on.accept(data)
        at_origin.sendall(b"a")
        assert at_client.recv(1) == b"a"
        at_client.close()
        at_origin.close()
        assert usable(on)


@pytest.mark.parametrize("turn", [0, 1])
def test_clients_that_cannot_be_confused_share_a_port(turn: int) -> None:
    with stage() as on:
        data = on.passive()
        assert on.exchange(b"RETR a", b"150 Here it comes.") == b"150 Here it comes."
        first = on.accept(data)
        newcomer = on.another(OTHER)
        newcomer.passive(data=data)
        assert newcomer.exchange(b"RETR b", b"150 Here it comes.") == b"150 Here it comes."
        second = on.accept(data)
        first.sendall(b"a")
        second.sendall(b"b")
        clients = [("127.0.0.1", b"a"), (OTHER, b"b")]
        for source, content in (clients[turn], clients[1 - turn]):
            assert on.dial(data.port, source).recv(2) == content
        assert not on.listens(data.port)


@pytest.mark.parametrize("comes", [True, False])
def test_a_client_that_could_be_confused_waits_for_its_port(comes: bool) -> None:
    with stage(f"timeouts = {{ data_accept = {30 if comes else 1} }}") as on:
        data = on.passive()
        assert on.exchange(b"RETR a", b"150 Here it comes.") == b"150 Here it comes."
        first = on.accept(data)
        newcomer = on.another()
        newcomer.client.send(b"EPSV\r\n")
        newcomer.control.answer_passive(data)
        if comes:
            assert silent(newcomer.client.socket)
            first.sendall(b"a")
            assert on.dial(data.port).recv(2) == b"a"
        else:
            assert on.running.journal.wait("dataChannel")["outcome"] == "client did not come"
        assert newcomer.client.reply().startswith(b"229 ")
        assert newcomer.exchange(b"RETR b", b"150 Here it comes.") == b"150 Here it comes."
        if not comes:
            time.sleep(0.3)  # its time began with its 229
        on.accept(data).sendall(b"b")
        assert on.dial(data.port).recv(2) == b"b"


def test_a_session_that_ends_leaves_its_place_at_a_port() -> None:
    with stage() as on:
        data = on.passive()
        assert on.exchange(b"RETR a", b"150 Here it comes.") == b"150 Here it comes."
        on.accept(data)
        newcomer = on.another()
        newcomer.client.send(b"EPSV\r\n")
        newcomer.control.answer_passive(data)
        on.client.close()
        assert newcomer.client.reply().startswith(b"229 ")
        assert newcomer.exchange(b"RETR b", b"150 Here it comes.") == b"150 Here it comes."
        on.accept(data).sendall(b"b")
        assert on.dial(data.port).recv(2) == b"b"


def test_a_stranger_at_a_shared_port_is_told_to_both() -> None:
    with stage() as on:
        data = on.passive()
        assert on.exchange(b"RETR a", b"150 Here it comes.") == b"150 Here it comes."
        on.accept(data)
        newcomer = on.another(OTHER)
        newcomer.passive(data=data)
        assert read_all(on.dial(data.port, FAR)) == b""
        assert on.running.journal.wait("strangerRefused")["stranger"] == FAR
        on.dial(data.port)
        on.dial(data.port, OTHER)
        on.accept(data)


def test_a_download_for_which_nobody_is_there_any_more_leaves_no_trace() -> None:
    """The origin is not asked for it, and the next file begins where it begins."""
    with stage() as on:
        data = on.passive()
        assert on.exchange(b"REST 5", b"350 Restarting.") == b"350 Restarting."
        at_client, at_origin = on.dial(data.port), on.accept(data)
        at_client.close()
        at_origin.close()
        on.running.journal.wait("dataChannel")
        assert on.client.ask(b"RETR file") == b"425 Cannot open a data connection."
        on.control.expect(b"REST 0")
        on.control.say(b"350 Restarting at 0.")
        assert usable(on)
