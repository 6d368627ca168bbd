"""The ends of sessions: each ends once, with its outcome and the right last words, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.data.channel import DataChannel
from gateway.data.flow import Flow
from gateway.guard import logins
from gateway.net.leg import Leg
from gateway.relay import notes, sides
from gateway.relay.relay import Relay
from gateway.relay.sides import Side
from tests.kit import PATIENCE
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import RunningGateway
from tests.kit.programs import until
from tests.kit.reactor import comes_to_rest, descriptors, in_reactor, turn
from tests.kit.scripted import ORIGIN, DataPort, OriginControl, ScriptedOrigin
from tests.kit.sockets import fill, read_all, read_exactly, reset, silent, was_reset
from tests.kit.stage import READY, Stage, before, behind, stage

MIB = 1 << 20
IDLE = b"421 Idle timeout; closing control connection.\r\n"
LOGIN = b"421 Login timeout; closing control connection.\r\n"
STOPPING = b"421 Service is shutting down; closing control connection.\r\n"
UNAVAILABLE = b"421 Service not available; closing control connection.\r\n"


pytestmark = pytest.mark.usefixtures("nothing_is_left")


def ended_once(running: RunningGateway, outcome: str, channels: int = 0) -> None:
    """The gateway's only session ended with that outcome, and told of each of its data channels."""
    assert running.journal.wait("disconnect")["outcome"] == outcome
    if channels:
        running.journal.wait("dataChannel", channels)
    turn()
    assert len(running.journal.all("disconnect")) == 1
    assert len(running.journal.all("dataChannel")) == channels


# Moments of a session; each gives how many data channels it has opened


def idle(on: Stage) -> int:
    return 0


def asking(on: Stage) -> int:
    on.client.send(b"SYST\r\n")
    on.control.expect(b"SYST")
    return 0


def queueing(on: Stage) -> int:
    on.client.send(b"SYST\r\n" * 50)
    on.control.expect(b"SYST")
    return 0


def halfway(on: Stage) -> int:
    on.client.send(b"SYST\r\nSY")
    on.control.expect(b"SYST")
    on.control.send(b"215-UNIX\r\n like")
    return 0


def listening(on: Stage) -> int:
    on.passive()
    return 1


def replaced(on: Stage) -> int:
    for _ in range(3):
        on.passive()
    return 3


def connected(on: Stage) -> int:
    data = on.passive()
    on.dial(data.port)
    on.accept(data)
    return 1


def dialling(on: Stage) -> int:
    on.passive(data=DataPort.deaf(ORIGIN))
    on.client.send(b"RETR a\r\n")
    turn()
    return 1


def awaited(on: Stage) -> int:
    data = on.passive()
    assert on.exchange(b"RETR a", b"150 Come.") == b"150 Come."
    on.accept(data)
    return 1


def retrieving(on: Stage) -> int:
    at_client, at_origin = on.transfer(b"RETR a")
    at_origin.sendall(b"half")
    assert at_client.recv(4) == b"half"
    return 1


def storing(on: Stage) -> int:
    at_client, at_origin = on.transfer(b"STOR a")
    at_client.sendall(b"half")
    assert at_origin.recv(4) == b"half"
    return 1


def blocked(on: Stage) -> int:
    _, at_origin = on.transfer(b"RETR a")
    assert fill(at_origin, 256 * MIB, quiet=0.1) < 256 * MIB
    return 1


def completed(on: Stage) -> int:
    at_client, at_origin = on.transfer(b"RETR a")
    at_origin.close()
    on.control.say(b"226 Done.")
    assert on.client.reply() == b"226 Done."
    assert read_all(at_client) == b""
    return 1


MOMENTS = [
    idle,
    asking,
    queueing,
    halfway,
    listening,
    replaced,
    connected,
    dialling,
    awaited,
    retrieving,
    storing,
    blocked,
    completed,
]


def finish(connection: socket.socket) -> None:
    connection.close()


@pytest.mark.parametrize("ending", [finish, reset])
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_client_is_gone(moment: Callable[[Stage], int], ending: Callable[[socket.socket], None]) -> None:
    with stage() as on:
        channels = moment(on)
        ending(on.client.socket)
        with contextlib.suppress(ConnectionResetError):
            while on.control.hear():
                pass
        ended_once(on.running, "client lost", channels)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """What is no longer referred to is freed, but garbage that refers to itself stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_session_that_is_over_is_no_work_for_the_garbage_collector(moment: Callable[[Stage], int]) -> None:
    """A collection goes through everything there is, and every session waits for it."""
    with stage() as on:
        channels = moment(on)
        on.client.close()
        ended_once(on.running, "client lost", channels)
        turn()
    assert left_over() == []


def left_over() -> list[object]:
    """The parts of sessions that are still in memory."""
    return [thing for thing in gc.get_objects() if isinstance(thing, Relay | Side | Leg | DataChannel | Flow)]


@pytest.mark.usefixtures("no_collection")
def test_nor_is_one_whose_login_was_delayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer that has passed still holds its callback."""
    monkeypatch.setattr(logins, "FIRST_DELAY", 0.05)
    with stage() as on:
        for _ in range(2):
            assert on.exchange(b"PASS wrong", b"530 No.") == b"530 No."
        on.client.close()
        ended_once(on.running, "client lost", 0)
        turn()
    assert left_over() == []


@pytest.mark.usefixtures("no_collection")
def test_nor_is_one_whose_client_does_not_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "CLOSE_TIMEOUT", 0.05)
    with stage() as on:
        assert on.exchange(b"QUIT", b"221 Bye.") == b"221 Bye."
        ended_once(on.running, "quit", 0)
        until(lambda: left_over() == [])


@pytest.mark.parametrize("ending", [finish, reset])
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_origin_is_gone(moment: Callable[[Stage], int], ending: Callable[[socket.socket], None]) -> None:
    with stage() as on:
        channels = moment(on)
        ending(on.control.socket)
        assert read_all(on.client.socket) == UNAVAILABLE
        ended_once(on.running, "origin lost", channels)


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment is not dialling])
def test_the_origin_says_421(moment: Callable[[Stage], int]) -> None:
    with stage() as on:
        channels = moment(on)
        if moment is halfway:
            on.control.send(b"\r\n215 End\r\n")
            assert on.client.reply().endswith(b"215 End")
        on.control.say(b"421 Closing.")
        assert read_all(on.client.socket) == b"421 Closing.\r\n"
        ended_once(on.running, "origin closed the session", channels)


@pytest.mark.parametrize("moment", [retrieving, storing, blocked, awaited])
@pytest.mark.parametrize("side", ["client", "control"])
def test_a_transfer_that_its_session_leaves_is_cut(moment: Callable[[Stage], int], side: str) -> None:
    with stage() as on:
        moment(on)
        getattr(on, side).close()
        assert on.connections
        for connection in on.connections:
            assert was_reset(connection)
        event = on.running.journal.wait("dataChannel")
        assert event["outcome"] == "session ended it"
        if moment in (retrieving, storing):
            assert (event["toClient"], event["toOrigin"]) == ((4, 0) if moment is retrieving else (0, 4))


@pytest.mark.parametrize("last", [b"221 Bye.\r\n", b"221-Bye.\r\n221 Bye.\r\n", b""])
def test_quit(last: bytes) -> None:
    with stage() as on:
        on.client.send(b"QUIT\r\n")
        on.control.expect(b"QUIT")
        on.control.send(last)
        if not last:
            on.control.close()
        assert read_all(on.client.socket) == last
        if last:
            assert on.control.hear() == b""
        ended_once(on.running, "quit")


def test_a_quit_that_is_refused_ends_nothing() -> None:
    with stage() as on:
        assert on.exchange(b"QUIT", b"500 Stay.") == b"500 Stay."
        assert on.exchange(b"NOOP", b"200 Fine.") == b"200 Fine."


def test_a_quit_in_the_middle_of_a_transfer_waits_for_its_end() -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        on.client.send(b"QUIT\r\n")
        at_origin.sendall(b"all of it")
        at_origin.close()
        assert silent(on.control.socket)
        assert read_all(at_client) == b"all of it"
        on.control.say(b"226 Done.")
        on.control.expect(b"QUIT")
        on.control.say(b"221 Bye.")
        assert read_all(on.client.socket) == b"226 Done.\r\n221 Bye.\r\n"
        ended_once(on.running, "quit", 1)


# While the session begins


@pytest.mark.parametrize("ending", [finish, reset])
def test_the_client_is_gone_before_the_greeting(ending: Callable[[socket.socket], None]) -> None:
    with stage(greeting=None) as on:
        ending(on.client.socket)
        assert on.control.hear() == b""
        ended_once(on.running, "client lost")


def test_the_client_is_gone_before_the_origin_answers() -> None:
    with DataPort.deaf(ORIGIN) as deaf, before((deaf.host, deaf.port)) as running:
        with connect(running.address):
            running.journal.wait("connect")
        ended_once(running, "client lost")


def test_a_rush_of_clients_while_the_gateway_is_busy() -> None:
    with ScriptedOrigin.at() as origin, before(origin.address) as running:
        origin.listener.listen(512)
        for client in in_reactor(lambda: [socket.create_connection(running.address, 5) for _ in range(300)]):
            client.close()
        running.journal.wait("disconnect", 300, outcome="client lost")


# When the origin is gone while a completion is held


@pytest.mark.parametrize("ending", [finish, reset])
def test_the_origin_may_go_while_its_completion_waits(ending: Callable[[socket.socket], None]) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        size = fill(at_origin, 256 * MIB, quiet=0.1)
        assert size < 256 * MIB
        on.control.say(b"226 Done.")
        at_origin.shutdown(socket.SHUT_WR)
        on.client.send(b"NOOP\r\n")
        assert silent(on.client.socket)
        ending(on.control.socket)
        assert silent(on.client.socket)
        assert len(read_all(at_client)) == size
        assert read_all(on.client.socket) == b"226 Done.\r\n" + UNAVAILABLE
        ended_once(on.running, "origin lost", 1)


def test_the_origin_may_say_421_behind_a_completion_that_waits() -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(b"RETR a")
        size = fill(at_origin, 256 * MIB, quiet=0.1)
        assert size < 256 * MIB
        on.control.send(b"226 Done.\r\n421 And bye.\r\n")
        at_origin.shutdown(socket.SHUT_WR)
        assert silent(on.client.socket)
        assert len(read_all(at_client)) == size
        assert read_all(on.client.socket) == b"226 Done.\r\n421 And bye.\r\n"
        ended_once(on.running, "origin closed the session", 1)


# Deadlines


@pytest.mark.parametrize("moment", [idle, listening, connected, completed])
def test_a_client_that_does_nothing(moment: Callable[[Stage], int]) -> None:
    with stage("timeouts = { idle = 0.5 }") as on:
        channels = moment(on)
        assert read_all(on.client.socket) == IDLE
        assert on.control.hear() == b""
        ended_once(on.running, "idle timeout", channels)


def test_every_command_begins_the_idle_time_anew() -> None:
    with stage("timeouts = { idle = 1 }") as on:
        for _ in range(5):
            time.sleep(0.3)
            assert on.exchange(b"NOOP", b"200 Fine.") == b"200 Fine."
        assert read_all(on.client.socket) == IDLE
        ended_once(on.running, "idle timeout")


@pytest.mark.parametrize("early", [True, False], ids=["client there first", "client last"])
@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
def test_a_transfer_is_not_idle(early: bool, command: bytes) -> None:
    with stage("timeouts = { idle = 0.6 }") as on:
        data = on.passive()
        if early:
            at_client = on.dial(data.port)
        assert on.exchange(command, b"150 Come.") == b"150 Come."
        if not early:
            at_client = on.dial(data.port)
        at_origin = on.accept(data)
        time.sleep(1.2)
        source, sink = (at_origin, at_client) if command == b"RETR a" else (at_client, at_origin)
        source.sendall(b"late")
        source.close()
        assert read_all(sink) == b"late"
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        sink.close()
        assert read_all(on.client.socket) == IDLE
        ended_once(on.running, "idle timeout", 1)


def test_bytes_that_make_no_line_are_no_activity() -> None:
    with stage("timeouts = { idle = 0.5 }") as on:
        with pytest.raises((ConnectionError, AssertionError)):
            for _ in range(40):
                time.sleep(0.1)
                on.client.send(b"N")
                assert silent(on.client.socket, 0)
        assert on.client.line() + b"\r\n" == IDLE
        ended_once(on.running, "idle timeout")


def test_commands_do_not_put_the_login_off() -> None:
    with stage("timeouts = { login = 0.6 }") as on:
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                on.client.send(b"XYZZY\r\n")
                if on.client.line().startswith(b"421 "):
                    break
                time.sleep(0.1)
        assert on.client.received.endswith(LOGIN)
        ended_once(on.running, "login timeout")


def test_a_client_that_does_not_log_in() -> None:
    with stage("timeouts = { login = 0.6 }") as on:
        assert on.exchange(b"USER user", b"331 Password?") == b"331 Password?"
        assert on.exchange(b"PASS wrong", b"530 No.") == b"530 No."
        assert read_all(on.client.socket) == LOGIN
        ended_once(on.running, "login timeout")


@pytest.mark.parametrize("welcome", [b"USER user", b"PASS secret", b"ACCT account"])
def test_a_client_that_logged_in_and_out_again(welcome: bytes) -> None:
    with stage("timeouts = { login = 0.6 }") as on:
        for command, more in (
            (b"USER user", b"331 Password?"),
            (b"PASS secret", b"332 Account?"),
            (b"ACCT account", b""),
        ):
            reply = b"230-Come\r\n230 in." if command == welcome else more
            assert on.exchange(command, reply) == reply
            if command == welcome:
                break
        assert silent(on.client.socket, 1)
        assert on.exchange(b"REIN", b"220 Anew.") == b"220 Anew."
        assert read_all(on.client.socket) == LOGIN
        ended_once(on.running, "login timeout")


def test_a_client_cannot_stretch_the_time_to_log_in() -> None:
    def origin(control: OriginControl) -> None:
        control.say(READY)
        while control.hear():
            control.say(b"220 Anew.")

    with behind("timeouts = { login = 0.6 }") as (running, scripted):
        scripted.play(origin)
        with Conversation(connect(running.address)) as client:
            assert client.reply() == READY
            begun = time.monotonic()
            while (reply := client.ask(b"REIN")) == b"220 Anew.":
                assert time.monotonic() < begun + PATIENCE
            assert reply + b"\r\n" == LOGIN
        ended_once(running, "login timeout")


# Peers that do not follow


@pytest.fixture
def brief_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer has little time to read its last reply."""
    monkeypatch.setattr(sides, "CLOSE_TIMEOUT", 0.3)


@pytest.mark.usefixtures("brief_close")
def test_peers_that_do_not_close() -> None:
    with stage() as on:
        assert on.exchange(b"QUIT", b"221 Bye.") == b"221 Bye."
        assert on.client.at_end()
        assert on.control.hear() == b""
        ended_once(on.running, "quit")
        in_reactor(on.running.service.stopService)


@pytest.mark.usefixtures("brief_close")
def test_a_client_that_goes_on_talking() -> None:
    with stage() as on:
        on.client.send(b"GET / HTTP/1.1\r\n")
        assert on.client.reply().startswith(b"421 ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                on.client.send(b"Cookie: " + b"a" * 65536 + b"\r\n")
        ended_once(on.running, "client speaks no FTP")


def deaf_client(address: tuple[str, int]) -> Conversation:
    """A client whose system keeps little of what it does not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    # The sender's system keeps some segments' worth, and those of the loopback are large.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
    connection.settimeout(20)
    connection.connect(address)
    return Conversation(connection)


def flood(client: Conversation, line: bytes) -> int:
    """Sends the line without reading, until nothing more is taken; how many whole lines were."""
    client.socket.settimeout(0.3)
    block = line * 4096
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 256 * MIB:
            sent += client.socket.send(block[sent % len(line) :])
    client.socket.settimeout(20)
    return sent // len(line)


HELP = b"214-" + b"help " * 1000 + b"\r\n214 End"


def answer_all(control: OriginControl) -> None:
    control.say(b"220 Ready.")
    while command := control.hear():
        control.say({b"NOOP": b"200 Fine.", b"HELP": HELP}[command])


@pytest.mark.parametrize(
    ("line", "answer", "read"),
    [(b"HELP\r\n", HELP + b"\r\n", 800), (b"ENC\n", b"502 Command not supported.\r\n", 12_000)],
)
def test_a_client_that_asks_and_does_not_listen(
    line: bytes, answer: bytes, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "MAX_EVENTS", sys.maxsize)
    with ScriptedOrigin.at() as origin, before(origin.address) as running:
        origin.play(answer_all)
        with deaf_client(running.address) as client:
            asked = flood(client, line)
            assert asked * len(line) < 32 * MIB
            assert comes_to_rest()
            assert len(running.journal.all("commandRefused")) * len(answer) < MIB // 4
            assert read < asked
            expected = b"220 Ready.\r\n" + answer * read
            assert read_exactly(client.socket, len(expected)) == expected
        assert running.journal.wait("disconnect")["outcome"] == "client lost"


@pytest.mark.usefixtures("brief_close")
def test_a_client_that_does_not_listen_is_idle_in_the_end() -> None:
    with ScriptedOrigin.at() as origin, before(origin.address, "timeouts = { idle = 0.5 }") as running:
        origin.play(answer_all)
        with deaf_client(running.address) as client:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                flood(client, b"HELP\r\n")
            ended_once(running, "idle timeout")
            in_reactor(running.service.stopService)  # what it never reads is not waited for


def test_an_origin_that_floods_a_client_that_does_not_listen() -> None:
    with stage() as on:
        on.client.send(b"STAT\r\n")
        on.control.expect(b"STAT")
        on.control.socket.settimeout(0.3)
        patience = b"150-Wait\r\n" + (b"still " * 1000 + b"\r\n") * 10 + b"150 more.\r\n"
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 256 * MIB:
                sent += on.control.socket.send(patience)
        assert comes_to_rest()


# Data ports


def test_a_hundred_transfers_one_after_the_other() -> None:
    with stage() as on:
        first = 0
        for number in range(100):
            at_client, at_origin = on.transfer(b"RETR a" if number % 2 else b"STOR a")
            source, sink = (at_origin, at_client) if number % 2 else (at_client, at_origin)
            source.sendall(b"%d" % number)
            source.close()
            assert read_all(sink) == b"%d" % number
            sink.close()
            on.control.say(b"226 Done.")
            assert on.client.reply() == b"226 Done."
            on.running.journal.wait("dataChannel", number + 1, outcome="complete")
            first = first or descriptors()
        # Where the origin listened each time is still open.
        assert descriptors() == first + 99


# The gateway stops


@contextlib.contextmanager
def stopping(on: Stage) -> Iterator[None]:
    """Lets the gateway begin to stop, and at the end, when client and origin are gone, waits until it has."""
    [stopped] = in_reactor(lambda: [on.running.service.stopService()])
    turn()
    yield
    on.client.close()
    on.control.close()
    in_reactor(lambda: stopped)


@pytest.mark.parametrize("moment", [m for m in MOMENTS if m not in (dialling, awaited, retrieving, storing, blocked)])
def test_stopping_ends_idle_sessions(moment: Callable[[Stage], int]) -> None:
    with stage() as on:
        channels = moment(on)
        with stopping(on):
            assert read_all(on.client.socket) == STOPPING
            with contextlib.suppress(ConnectionResetError):
                while on.control.hear():
                    pass
            ended_once(on.running, "gateway stopped", channels)
            with pytest.raises(ConnectionRefusedError):
                connect(on.running.address)


def test_stopping_ends_sessions_that_have_only_begun() -> None:
    with stage(greeting=None) as on, stopping(on):
        assert read_all(on.client.socket) == STOPPING
        assert on.control.hear() == b""
        ended_once(on.running, "gateway stopped")


@pytest.mark.parametrize("command", [b"RETR a", b"STOR a"])
def test_stopping_lets_transfers_end(command: bytes) -> None:
    with stage() as on:
        at_client, at_origin = on.transfer(command)
        on.client.send(b"NOOP\r\nEPSV\r\n")  # the first may stand beside it, the second is not begun
        on.control.expect(b"NOOP")
        on.control.say(b"200 Fine.")
        assert on.client.reply() == b"200 Fine."
        with stopping(on):
            with pytest.raises(ConnectionRefusedError):
                connect(on.running.address)
            source, sink = (at_origin, at_client) if command == b"RETR a" else (at_client, at_origin)
            source.sendall(bytes(MIB // 4))
            source.close()
            assert len(read_all(sink)) == MIB // 4
            assert silent(on.client.socket)
            on.control.say(b"226 Done.")
            assert read_all(on.client.socket) == b"226 Done.\r\n" + STOPPING
            assert on.control.hear() == b""
            ended_once(on.running, "gateway stopped", 1)


@pytest.mark.parametrize("moment", [dialling, awaited, retrieving, storing, blocked])
def test_stopping_does_not_wait_for_ever(moment: Callable[[Stage], int]) -> None:
    with stage("timeouts = { drain = 0.8 }") as on:
        channels = moment(on)
        with stopping(on):
            assert silent(on.client.socket, 0.2)
            assert read_all(on.client.socket) == STOPPING
            assert on.control.hear() == b""
            ended_once(on.running, "gateway stopped", channels)
            assert on.running.journal.wait("dataChannel")["outcome"] == "session ended it"


@pytest.mark.usefixtures("brief_close")
def test_stopping_does_not_wait_for_clients_that_do_not_read() -> None:
    with stage() as on, on.another().client:
        in_reactor(on.running.service.stopService)
        assert on.running.journal.wait("disconnect", 2, outcome="gateway stopped")
