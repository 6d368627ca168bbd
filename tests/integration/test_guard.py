"""The guard: which clients are let in, how many and how often; failed logins; the number of events about it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.applications import building
from gateway.guard import admission, counts, logins
from gateway.relay import control_port, notes, sides
from origin import Origin
from tests.kit.conversation import Conversation, connect
from tests.kit.gateway import RunningGateway, application, gateway, tls_table
from tests.kit.mistakes import no_mistakes
from tests.kit.ports import scripted, take
from tests.kit.reactor import in_reactor, reactor, turn
from tests.kit.scripted import ORIGIN, DataPort, ScriptedOrigin
from tests.kit.sockets import read_all, reset, silent
from tests.kit.stage import READY, Stage, relays, stage, usable

CLIENT, OTHER = "127.0.0.1", "127.0.0.9"
DENIED = b"421 Access from your address is denied.\r\n"
BANNED = b"421 Too many failed logins from your address; try again later.\r\n"
CONNECTS = b"421 Too many connections from your address in a minute; try again later.\r\n"
CLIENT_SESSIONS = b"421 Too many connections from your address; close one and try again.\r\n"
SESSIONS = b"421 Too many users; try again later.\r\n"


pytestmark = pytest.mark.usefixtures("nothing_is_left")


def deny(*networks: str) -> str:
    return f"access = [{{ action = 'deny', networks = {list(networks)} }}]"


@contextlib.contextmanager
def unreached(more: str, listen: str = "tcp:0:interface=127.0.0.1") -> Iterator[RunningGateway]:
    """A gateway whose origin is never dialled."""
    with ScriptedOrigin.at() as origin, no_mistakes():
        with gateway(application(origin.address, scripted(), more=more, listen=listen)) as running:
            yield running
        assert silent(origin.listener, 0.05), "the origin was dialled"


def greeting(running: RunningGateway, source: str = CLIENT) -> bytes:
    """All that a client gets that is not let in."""
    with connect(running.address, source) as client:
        return read_all(client)


def filtered(running: RunningGateway, **fields: object) -> None:
    """The only event of its kind."""
    wanted = {"event": "clientFiltered", "application": "ftp.example.com", **fields}
    record = running.journal.wait("clientFiltered")
    assert {key: value for key, value in record.items() if key != "time"} == wanted
    assert len(running.journal.all("clientFiltered")) == 1


# Access rules


def test_a_denied_client_is_told_so() -> None:
    with unreached(deny("127.0.0.0/8")) as running:
        assert greeting(running) == DENIED
        filtered(running, client=CLIENT, reason="access", network="127.0.0.0/8")
        assert not running.journal.all("connect")


def test_a_denied_client_may_get_nothing_at_all() -> None:
    with unreached(deny("127.0.0.0/8") + '\naccess_denied = "drop"') as running:
        assert greeting(running) == b""
        filtered(running, client=CLIENT, reason="access", network="127.0.0.0/8")


def test_the_first_rule_decides() -> None:
    rules = (f'{{ action = "allow", networks = ["{CLIENT}"] }}', '{ action = "deny", networks = ["0.0.0.0/0"] }')
    with stage(f"access = [{', '.join(rules)}]") as on:
        assert greeting(on.running, OTHER) == DENIED
        filtered(on.running, client=OTHER, reason="access", network="0.0.0.0/0")


def test_an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() -> None:
    with unreached(deny("127.0.0.0/8"), listen=r"tcp6:0:interface=\:\:") as running:
        _, port = running.address
        with connect(("127.0.0.1", port)) as client:
            assert read_all(client) == DENIED
        filtered(running, client=CLIENT, reason="access", network="127.0.0.0/8")


def test_an_ipv6_client_is_denied() -> None:
    with unreached(deny("::/0"), listen=r"tcp6:0:interface=\:\:1") as running:
        with socket.create_connection(running.address[:2]) as client:
            assert read_all(client) == DENIED
        filtered(running, client="::1", reason="access", network="::/0")


def test_a_client_that_speaks_tls_at_once_is_not_told_in_the_clear() -> None:
    with unreached(deny("127.0.0.0/8") + "\n" + tls_table("flexible", implicit=True)) as running:
        assert greeting(running) == b""
        filtered(running, client=CLIENT, reason="access", network="127.0.0.0/8")


def test_behind_a_load_balancer_it_is_the_clients_address_that_counts() -> None:
    rules = deny("203.0.113.0/24") + '\nproxy_protocol = { accept_from = ["127.0.0.1"] }'
    with unreached(rules) as running, connect(running.address) as client:
        client.sendall(b"PROXY TCP4 203.0.113.9 192.0.2.1 50000 21\r\n")
        assert read_all(client) == DENIED
        filtered(running, client="203.0.113.9", reason="access", network="203.0.113.0/24")
    rules = deny("127.0.0.0/8") + '\nproxy_protocol = { accept_from = ["127.0.0.1"] }'
    with ScriptedOrigin.at() as origin, gateway(application(origin.address, scripted(), more=rules)) as running:
        with connect(running.address) as client:
            client.sendall(b"PROXY TCP4 203.0.113.9 192.0.2.1 50000 21\r\n")
            origin.accept().close()
        assert running.journal.wait("connect")["client"] == "203.0.113.9"


def test_a_denied_client_that_stays_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "CLOSE_TIMEOUT", 0.2)
    with unreached(deny("127.0.0.0/8")) as running, connect(running.address) as client:
        client.sendall(b"USER x\r\n" * 1000)
        assert client.recv(100) == DENIED
        client.settimeout(5)
        with pytest.raises(OSError):
            while True:
                client.sendall(b"USER x\r\n" * 1000)


def test_a_denied_client_that_stays_does_not_hold_up_the_end() -> None:
    with contextlib.ExitStack() as later:
        with unreached(deny("127.0.0.0/8")) as running:
            client = later.enter_context(connect(running.address))
            assert client.recv(100) == DENIED
        turn()
        assert in_reactor(reactor.getDelayedCalls) == []


def test_of_a_crowd_only_some_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_port, "MAX_TURNED_AWAY", 2)
    with unreached(deny("127.0.0.0/8")) as running, contextlib.ExitStack() as crowd:
        held = [crowd.enter_context(connect(running.address)) for _ in range(3)]
        assert [client.recv(100) for client in held] == [DENIED, DENIED, b""]
        held[0].close()
        running.journal.wait("clientFiltered", 3)
        while greeting(running, OTHER) != DENIED:  # once the gateway has seen that one go
            turn()


def test_a_flood_of_denied_clients_does_not_fill_the_disk() -> None:
    with unreached(deny("127.0.0.0/8")) as running:
        for _ in range(30):
            assert greeting(running) == DENIED
        assert greeting(running, OTHER) == DENIED
        running.journal.wait("clientFiltered", client=OTHER)
        assert len(running.journal.all("clientFiltered", client=CLIENT)) == 10


# How many, and how often


@pytest.mark.parametrize(
    ("key", "source", "words", "reason"),
    [
        ("sessions", OTHER, SESSIONS, "sessions"),
        ("sessions_per_client", CLIENT, CLIENT_SESSIONS, "sessions per client"),
    ],
)
def test_sessions_at_the_same_time(key: str, source: str, words: bytes, reason: str) -> None:
    with stage(f"limits = {{ {key} = 1 }}") as on:
        assert greeting(on.running, source) == words
        filtered(on.running, client=source, reason=reason)
        assert on.exchange(b"QUIT", b"221 Bye.") == b"221 Bye."
        leave(on)
        on.another(source)


def leave(on: Stage) -> None:
    """Both ends of the session close, and the gateway has seen it."""
    on.client.close()
    on.control.close()
    while in_reactor(lambda: on.running.service.registry.sessions):
        turn()


@contextlib.contextmanager
def two_applications(more: str, before: str) -> Iterator[tuple[RunningGateway, ScriptedOrigin]]:
    """Of one gateway, before one origin."""
    with ScriptedOrigin.at() as origin, no_mistakes():
        places = zip(("one", "other"), (take(10), take(10)), (2121, 2122), strict=True)
        tables = [
            application(origin.address, ports, name=name, listen=f"tcp:{port}:interface=127.0.0.1", more=more)
            for name, ports, port in places
        ]
        with gateway(before + "\n".join(tables)) as running:
            yield running, origin


def test_each_application_has_sessions_of_its_own() -> None:
    with two_applications("limits = { sessions = 1 }", "") as (running, origin), contextlib.ExitStack() as stack:
        for place in running.places.values():
            stack.enter_context(connect(place))
            stack.enter_context(origin.accept())
        assert greeting(running) == SESSIONS


def test_sessions_of_the_whole_gateway() -> None:
    with two_applications("", "[limits]\nsessions = 1\n") as (running, origin), contextlib.ExitStack() as stack:
        stack.enter_context(connect(running.places["one"]))
        stack.enter_context(origin.accept())
        with connect(running.places["other"], OTHER) as client:
            assert read_all(client) == SESSIONS
        assert running.journal.wait("clientFiltered")["reason"] == "sessions of the gateway"


@pytest.mark.parametrize("end", ["quit", "reset", "origin lost", "origin unreachable", "foreign", "stopped"])
def test_a_session_gives_its_place_back_however_it_ends(end: str) -> None:
    with stage("limits = { sessions = 1 }") as on:
        for _ in range(3):
            match end:
                case "quit":
                    on.exchange(b"QUIT", b"221 Bye.")
                case "reset":
                    reset(on.client.socket)
                case "origin lost":
                    on.control.close()
                case "foreign":
                    on.client.send(b"GET / HTTP/1.1\r\n")
                case "origin unreachable":
                    on.exchange(b"QUIT", b"421 Not now.")
                case "stopped":
                    on.transfer(b"RETR a")
                    on.client.close()
            leave(on)
            on = on.another()
        assert greeting(on.running) == SESSIONS


def test_connects_in_a_minute_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MINUTE", 6000.0)  # a slow machine makes no difference
    with ScriptedOrigin.at() as origin:
        address = origin.address
    with no_mistakes(), gateway(application(address, scripted())) as running:
        told = [greeting(running) for _ in range(620)]
        unavailable = b"421 Service not available; closing control connection.\r\n"
        assert told == [unavailable] * 600 + [CONNECTS] * 20
        assert greeting(running, OTHER) != CONNECTS
        running.journal.wait("connect", client=OTHER)
        assert len(running.journal.all("clientFiltered")) == 10


def test_connects_in_a_minute() -> None:
    with stage("limits = { connects_per_minute_per_client = 3 }") as on:
        on.another()
        on.another()
        assert greeting(on.running) == CONNECTS
        filtered(on.running, client=CLIENT, reason="connects per minute")
        on.another(OTHER)


def test_data_ports_that_listen_at_the_same_time() -> None:
    with ScriptedOrigin.at() as origin, no_mistakes():
        toml = "[limits]\ndata_ports = 1\n" + application(origin.address, scripted())
        with gateway(toml) as running, contextlib.ExitStack() as stack:

            def session() -> Stage:
                client = stack.enter_context(Conversation(connect(running.address)))
                control = stack.enter_context(origin.accept())
                control.say(READY)
                assert client.reply() == READY
                return Stage(running, origin, client, control, stack)

            one, other = session(), session()
            one.passive()
            other.client.send(b"EPSV\r\n")
            other.own(other.control.answer_passive())
            assert other.client.reply() == b"425 Cannot open a data port now."
            assert running.journal.wait("dataChannel")["outcome"] == "too many data ports"
            one.client.close()
            running.journal.wait("dataChannel", outcome="session ended it")
            other.passive()


def ask_for_port(on: Stage) -> bytes:
    """The reply to an EPSV of which the origin hears nothing."""
    on.client.send(b"EPSV\r\n")
    return on.client.reply()


ENOUGH = b"425 Too many data ports for your address; complete a transfer and try again."


def test_data_ports_that_one_client_awaits() -> None:
    with stage("limits = { data_ports_per_client = 1 }") as on:
        second, other = on.another(), on.another(OTHER)
        on.passive()
        on.passive()
        assert ask_for_port(second) == ENOUGH
        assert on.running.journal.wait("tooManyDataPorts")["limit"] == 1
        assert relays(second), "the origin was not asked"
        other.passive()
        at_client, at_origin = on.transfer(b"RETR a")
        second.passive()
        assert ask_for_port(on.another()) == ENOUGH
        for end in (at_client, at_origin):
            end.close()


def test_a_data_port_counts_until_the_origin_no_longer_listens() -> None:
    with stage("limits = { data_ports_per_client = 1 }\ntimeouts = { data_accept = 0.1 }") as on:
        on.passive()
        assert on.running.journal.wait("dataChannel")["outcome"] == "client did not come"
        second = on.another()
        assert ask_for_port(second) == ENOUGH
        on.client.close()
        on.running.journal.wait("disconnect")
        second.passive()


def test_a_refused_port_counts_no_longer() -> None:
    with stage("limits = { data_ports_per_client = 1 }") as on:
        assert on.exchange(b"EPSV", b"425 Not now.") == b"425 Not now."
        on.another().passive()


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"EPSV 9", b"522 Bad network protocol."),  # vsftpd's
        (b"RETR nothing", b"550 Failed to open file."),  # vsftpd's and Pure-FTPd's
        (b"MD5 large", b"150 Please wait."),
    ],
)
def test_a_data_port_counts_while_the_origin_listens_on(command: bytes, reply: bytes) -> None:
    with stage("limits = { data_ports_per_client = 1 }") as on:
        on.passive()
        assert on.exchange(command, reply) == reply
        assert ask_for_port(on.another()) == ENOUGH


@pytest.mark.parametrize(("size", "half"), [(1, 1), (3, 1), (4, 2)])
def test_half_of_the_range_is_for_one_client(size: int, half: int) -> None:
    ports = take(size)
    with stage(data_ports=ports) as on:
        for port in ports[:half]:
            on.another().passive(data=DataPort.at(ORIGIN, port))
        assert ask_for_port(on) == ENOUGH
        assert on.running.journal.wait("tooManyDataPorts")["limit"] == half


# Failed logins

QUICK = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(logins, "FIRST_DELAY", 0.001)


def fail(on: Stage, reply: bytes = b"530 Login incorrect.") -> bytes:
    """A login that the origin refuses; what the client is told."""
    on.exchange(b"USER user", b"331 Password, please.")
    return on.exchange(b"PASS wrong", reply)


def banned(on: Stage, **fields: Any) -> None:
    record = on.running.journal.wait("clientBanned")
    assert {key: record[key] for key in ("client", *fields)} == {"client": CLIENT, **fields}
    assert len(on.running.journal.all("clientBanned")) == 1


def test_a_late_reply_to_abor_is_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_GRACE", 0.05)
    with stage("limits = { login_failures = 1 }") as on:
        on.transfer(b"RETR a")
        on.client.send(b"ABOR\r\n")
        on.control.expect(b"ABOR")
        on.control.say(b"426 Cut.")
        assert on.client.reply() == b"426 Cut."
        on.exchange(b"USER root", b"331 Password, please.")
        assert on.exchange(b"PASS guess", b"226 Aborted.\r\n530 Login incorrect.") == b"530 Login incorrect."
        banned(on, failures=1)
        assert "user" not in on.running.journal.wait("disconnect")


@QUICK
def test_failed_logins_end_in_a_ban() -> None:
    with stage() as on:
        for _ in range(5):
            assert fail(on) == b"530 Login incorrect."
        assert on.client.reply() == b"421 Too many failed logins; closing control connection."
        assert on.client.at_end()
        assert on.control.hear() == b""
        banned(on, failures=5, seconds=600)
        assert on.running.journal.wait("disconnect")["outcome"] == "too many failed logins"
        assert greeting(on.running) == BANNED
        filtered(on.running, client=CLIENT, reason="banned")
        on.another(OTHER)


@QUICK
def test_failed_logins_of_several_sessions_are_counted_together() -> None:
    with stage("limits = { login_failures = 3 }") as on:
        sessions = [on, on.another(), on.another(), on.another()]
        for one in sessions[:3]:
            fail(one)
        banned(on, failures=3)
        assert sessions[2].client.reply().startswith(b"421 ")
        assert sessions[3].client.reply().startswith(b"421 "), "and so does one that only waits"
        banned(on, failures=3)


@QUICK
@pytest.mark.parametrize(
    "reply", [b"230 Come in.", b"202 No need.", b"332 Account?", b"503 USER first.", b"501 What?"]
)
def test_a_reply_that_refuses_no_password_does_not_count(reply: bytes) -> None:
    with stage("limits = { login_failures = 1 }") as on:
        assert fail(on, reply) == reply
        on.another()


@QUICK
@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"PASS wrong", b"530 No."),
        (b"PASS wrong", b"430 No."),
        (b"PASS wrong", b"421 Go."),
        (b"PASS wrong", b"550 No."),
        (b"ACCT wrong", b"530 No."),
        (b"USER root", b"530 Not root."),
    ],
)
def test_refusals_that_count(command: bytes, reply: bytes) -> None:
    with stage("limits = { login_failures = 1 }") as on:
        assert on.exchange(command, reply) == reply
        banned(on, failures=1)
        assert greeting(on.running) == BANNED


@QUICK
def test_a_530_to_anything_else_does_not_count() -> None:
    with stage("limits = { login_failures = 1 }") as on:
        for command in (b"LIST", b"CWD x", b"PASV"):
            assert on.exchange(command, b"530 Not so.") == b"530 Not so."
        on.another()


def guess(on: Stage) -> None:
    """Sends a password, and does not wait for the answer."""
    on.exchange(b"USER user", b"331 Password, please.")
    on.client.send(b"PASS guess\r\n")


def test_a_client_that_hangs_up_before_the_answer_is_counted() -> None:
    with stage("limits = { login_failures = 3 }") as on:
        for session in (on, on.another(), on.another()):
            guess(session)
            session.control.expect(b"PASS guess")
            session.client.close()
        banned(on, failures=3, seconds=600)
        ended = on.running.journal.wait("disconnect", 3)
        assert ended["outcome"] == "client lost"
        assert greeting(on.running) == BANNED
        on.another(OTHER)


def test_the_embedded_origin_that_answers_after_three_seconds(tmp_path: Path) -> None:
    with Origin(tmp_path, listen=(ORIGIN, 0), passive_ports=scripted(), users={"user": "secret"}) as origin:
        with no_mistakes(), gateway(application(origin.address, scripted())) as running:
            for _ in range(5):
                with Conversation.to(running.address) as client:
                    assert client.reply().startswith(b"220")
                    assert client.ask(b"USER user").startswith(b"331")
                    client.send(b"PASS guess\r\n")
            assert running.journal.wait("clientBanned")["failures"] == 5
            assert greeting(running) == BANNED


@QUICK
def test_guesses_in_many_sessions_at_once_are_no_more_than_one_after_the_other() -> None:
    with stage("limits = { login_failures = 3 }") as on:
        sessions = [on, *(on.another() for _ in range(9))]
        for session in sessions:
            guess(session)
        for session in sessions[:3]:
            session.control.expect(b"PASS guess")
        other = on.another(OTHER)
        other.login()
        assert all(silent(session.control.socket, 0) for session in sessions[3:])
        for session in sessions[:3]:
            session.control.say(b"530 Login incorrect.")
        banned(on, failures=3)
        for session in sessions:
            told = session.client.reply()
            assert told in (b"530 Login incorrect.", b"421 Too many failed logins; closing control connection.")
            assert session in sessions[:3] or told.startswith(b"421 ")
        assert all(session.control.hear() == b"" for session in sessions), "the others never reached the origin"
        assert other.exchange(b"NOOP", b"200 Fine.") == b"200 Fine."


def test_a_crowd_that_knows_its_passwords_is_let_in() -> None:
    with stage("limits = { login_failures = 2 }") as on:
        sessions = [on, *(on.another() for _ in range(9))]
        for session in sessions:
            guess(session)
        for session in sessions:
            session.control.expect(b"PASS guess")
            session.control.say(b"230 Come in.")
            assert session.client.reply() == b"230 Come in."
        assert not on.running.journal.all("clientBanned")


@QUICK
def test_a_ban_ends_sessions_without_a_login_and_no_others() -> None:
    with stage("limits = { login_failures = 1 }") as on:
        inside, idle, other, out = on.another(), on.another(), on.another(OTHER), on.another()
        inside.login()
        out.login()
        out.exchange(b"REIN", b"220 Ready.")
        fail(on)
        assert out.client.reply() == b"421 Too many failed logins; closing control connection."
        assert idle.client.reply() == b"421 Too many failed logins; closing control connection."
        assert inside.exchange(b"NOOP", b"200 Fine.") == b"200 Fine."
        assert other.exchange(b"NOOP", b"200 Fine.") == b"200 Fine."
        inside.exchange(b"USER other", b"331 Password, please.")
        assert inside.client.ask(b"PASS guess") == b"421 Too many failed logins; closing control connection."
        assert inside.control.hear() == b"", "a banned client guesses no more"


@QUICK
def test_a_login_that_succeeds_forgets_nothing() -> None:
    with stage("limits = { login_failures = 2 }") as on:
        fail(on)
        on.login()
        fail(on)
        assert on.client.reply().startswith(b"421 ")


def test_a_ban_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "CLOSE_TIMEOUT", 0.2)
    with stage("limits = { login_failures = 1, ban = 0.2 }") as on:
        fail(on)
        banned(on, failures=1, seconds=0.2)
        assert greeting(on.running) == BANNED
        banned_still = True
        while banned_still:  # who is let in hears nothing before the origin says it
            with connect(on.running.address) as client:
                banned_still = not silent(client, 0.1)


def test_nothing_is_counted_where_the_limit_is_none() -> None:
    with stage("limits = { login_failures = 0 }") as on:
        for _ in range(20):  # with delays it would be minutes
            fail(on)
        on.another()


@QUICK
def test_a_ban_outlives_a_reload() -> None:
    with stage("limits = { login_failures = 1 }") as on:
        fail(on)
        banned(on, failures=1)
        in_reactor(on.running.service.reload)
        assert greeting(on.running) == BANNED


def test_the_second_failure_is_told_later_than_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "FIRST_DELAY", 0.3)
    with stage() as on:
        fail(on)
        on.exchange(b"USER user", b"331 Password, please.")
        on.client.send(b"PASS wrong\r\nNOOP\r\nPORT 1\r\n")
        on.control.expect(b"PASS wrong")
        on.control.say(b"530 Login incorrect.")
        assert silent(on.client.socket, 0.2)
        assert silent(on.control.socket, 0), "what comes behind it waits"
        assert on.client.reply() == b"530 Login incorrect."
        on.control.expect(b"NOOP")
        on.control.say(b"200 Fine.")
        assert on.client.reply() == b"200 Fine."
        assert on.client.reply().startswith(b"502 ")


def test_others_are_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "FIRST_DELAY", 30.0)
    with stage() as on:
        fail(on)
        on.client.send(b"PASS wrong\r\n")
        on.control.expect(b"PASS wrong")
        on.control.say(b"530 Login incorrect.")
        other = on.another(OTHER)
        assert fail(other) == b"530 Login incorrect."
        on.client.close()  # and with that its delay is over, too
        assert on.running.journal.wait("disconnect")["outcome"] == "client lost"


def test_an_origin_that_closes_behind_its_530(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "FIRST_DELAY", 0.1)
    with stage() as on:
        fail(on)
        on.client.send(b"PASS wrong\r\n")
        on.control.expect(b"PASS wrong")
        on.control.say(b"530 Login incorrect.\r\n421 That was it.")
        on.control.close()
        assert on.client.reply() == b"530 Login incorrect."
        assert on.client.reply() == b"421 That was it."
        assert on.client.at_end()


# What a session may fill the log with


def test_a_session_has_its_events_written_down_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_EVENTS", 3)
    with stage() as on:
        for _ in range(6):
            assert on.client.ask(b"PORT 1").startswith(b"502 ")
            on.exchange(b"NOOP", b"200 Fine.\r\n200 Fine.")
        on.client.close()
        on.running.journal.wait("disconnect")
        assert len(on.running.journal.all("commandRefused")) == 3
        assert len(on.running.journal.all("originError")) == 3
        assert [record["of"] for record in on.running.journal.all("eventsWithheld")] == [
            "commandRefused",
            "originError",
        ]


def test_all_sessions_of_a_client_have_their_events_written_down_up_to_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "EVENTS_PER_MINUTE", 3)
    with stage() as on:
        sessions = [on, on.another(), on.another(), on.another(OTHER)]
        for session in sessions:
            for _ in range(2):
                assert session.client.ask(b"PORT 1").startswith(b"502 ")
        assert len(on.running.journal.all("commandRefused", client=CLIENT)) == 3
        assert len(on.running.journal.all("eventsWithheld", client=CLIENT)) == 2
        assert len(on.running.journal.all("commandRefused", client=OTHER)) == 2
        assert len(on.running.journal.all("connect")) == 4


def test_data_channels_that_carried_nothing_are_written_down_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_EVENTS", 3)
    with stage() as on:
        for _ in range(6):
            on.passive()
        assert usable(on)
        at_client, at_origin = on.transfer(b"RETR empty")
        at_origin.close()
        on.control.say(b"226 Done.")
        assert on.client.reply() == b"226 Done."
        assert at_client.recv(1) == b""
        on.client.close()
        on.running.journal.wait("disconnect")
        outcomes = [record["outcome"] for record in on.running.journal.all("dataChannel")]
        assert outcomes == ["session ended it"] * 3 + ["complete"] * 2
        assert [record["of"] for record in on.running.journal.all("eventsWithheld")] == ["dataChannel"]


def test_unknown_commands_in_a_row_end_the_session() -> None:
    with stage() as on:
        for _ in range(9):
            assert on.client.ask(b"XYZZY") == b"500 Command not understood."
        assert on.exchange(b"NOOP", b"200 Fine.") == b"200 Fine."
        on.client.send(b"XYZZY\r\n" * 100_000)
        for _ in range(10):
            assert on.client.reply() == b"500 Command not understood."
        assert on.client.reply() == b"421 Too many unknown commands; closing control connection."
        assert on.client.at_end()
        assert on.running.journal.wait("disconnect")["outcome"] == "client sent unknown commands"
        assert len(on.running.journal.all("commandRefused")) == 19
