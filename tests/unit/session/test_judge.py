"""The judge, by playbooks: see playbook.py for how to read them."""

from typing import cast

import pytest

from gateway.ftp.commands import Command
from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.conversation import MAX_QUEUED
from gateway.session.events import Event
from gateway.session.exchanges import Exchange
from gateway.session.judge import Judge, UnexpectedEvent
from tests.unit.session.playbook import COMPLETING, LISTENING, RUNNING, SETTING, Playbook


class TestOtherProtocols:
    @pytest.mark.parametrize("event", ["client: GET / HTTP/1.1", "client: EHLO x", "client is foreign"])
    def test_end_at_once_and_see_nothing_of_what_they_sent(self, play: Playbook, event: str) -> None:
        play(f"""
            {event}
                client: 421 This is an FTP server; closing control connection.
                close: client speaks no FTP
            client: NOOP
        """)

    def test_telnet_commands_without_end(self, play: Playbook) -> None:
        play("""
            client floods with Telnet
                client: 421 Too many Telnet commands; closing control connection.
                close: client sent Telnet commands
        """)

    def test_before_the_greeting(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            client is foreign
                client: 421 This is an FTP server; closing control connection.
                close: client speaks no FTP
        """)


class TestEnd:
    def test_quit(self, play: Playbook) -> None:
        play("""
            client: QUIT
                origin: QUIT
            client: NOOP
            origin: 221 Bye
                client: 221 Bye
                close: quit
            client: NOOP
            client lost
            origin lost
            stopped
        """)

    def test_quit_that_is_refused(self, play: Playbook) -> None:
        play("""
            client: QUIT
                origin: QUIT
            origin: 500 What?
                client: 500 What?
            client: PWD
                origin: PWD
        """)

    def test_quit_without_an_answer(self, play: Playbook) -> None:
        play("""
            client: QUIT
                origin: QUIT
            origin lost
                close: quit
        """)

    def test_the_client_is_lost(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client lost
                close: client lost
            data ended
            origin: 426 Aborted
        """)

    @pytest.mark.parametrize("before", ["", "    client: PWD\n        origin: PWD", RUNNING])
    def test_the_origin_is_lost(self, play: Playbook, before: str) -> None:
        play(before)
        play("""
            origin lost
                note originError reason='control connection lost'
                client: 421 Service not available; closing control connection.
                close: origin lost
        """)

    def test_the_origin_is_lost_while_a_completion_is_held(self, play: Playbook) -> None:
        play(COMPLETING)
        play("""
            client: PWD
            origin lost
            client: ABOR
            data delivered to client
                release data
                client: 226 Transfer complete
                client: 421 Service not available; closing control connection.
                close: origin lost
        """)

    def test_the_origin_said_why_while_a_completion_is_held(self, play: Playbook) -> None:
        play(COMPLETING)
        play("""
            origin: 421 Bye
            origin: 200 More
            origin lost
            data delivered to client
                release data
                client: 226 Transfer complete
                client: 421 Bye
                close: origin closed the session
        """)

    @pytest.mark.parametrize(("text", "most"), [("More", MAX_QUEUED), ("x" * 8000, 9)])
    def test_an_origin_that_talks_on_while_a_completion_is_held(self, play: Playbook, text: str, most: int) -> None:
        play(COMPLETING)
        for _ in range(most):
            assert play.session.listens
            play(f"origin: 200 {text}")
        assert not play.session.listens
        errors = "    note originError reason='reply to no command'\n" * most
        play(f"data delivered to client\n    release data\n    client: 226 Transfer complete\n{errors}")
        assert play.session.listens

    def test_an_abort_does_not_wait_for_the_replies_behind_a_held_completion(self, play: Playbook) -> None:
        play(COMPLETING)
        for _ in range(MAX_QUEUED):
            play("origin: 200 More")
        errors = "    note originError reason='reply to no command'\n" * MAX_QUEUED
        cut = "    abort data\n    client: 426 Data connection closed; transfer aborted.\n"
        play(f"client: ABOR\n{cut}{errors}    origin: ABOR")
        assert play.session.listens
        play("""
            origin: 226 Nothing to abort
                client: 226 Nothing to abort
        """)

    def test_draining_between_transfers(self, play: Playbook) -> None:
        play(LISTENING)
        play("""
            draining
                client: 421 Service is shutting down; closing control connection.
                close: gateway stopped
        """)

    def test_draining_before_the_greeting(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            draining
                client: 421 Service is shutting down; closing control connection.
                close: gateway stopped
        """)

    @pytest.mark.parametrize("answer", ["226 Transfer complete", "426 Cut"])
    def test_draining_lets_a_transfer_end(self, play: Playbook, answer: str) -> None:
        play(RUNNING)
        play(f"""
            draining
            client: RETR another
            data delivered to client
            origin: {answer}
                release data
                client: {answer}
                client: 421 Service is shutting down; closing control connection.
                close: gateway stopped
        """)

    def test_draining_lets_an_aborted_transfer_end(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: ABOR
                origin: ABOR
            draining
            origin: 426 Aborted
                abort data
                client: 426 Aborted
                client: 421 Service is shutting down; closing control connection.
                close: gateway stopped
        """)

    def test_draining_lets_a_transfer_begin_that_waits_for_the_dial(self, play: Playbook) -> None:
        play(LISTENING)
        play("""
            client: RETR file
                dial data
            draining
            data ended
                client: 425 Cannot open a data connection.
                client: 421 Service is shutting down; closing control connection.
                close: gateway stopped
        """)

    @pytest.mark.parametrize("before", ["", RUNNING, COMPLETING])
    def test_stopped(self, play: Playbook, before: str) -> None:
        play(before)
        play("""
            stopped
                client: 421 Service is shutting down; closing control connection.
                close: gateway stopped
        """)


def test_what_it_does_not_know_is_a_mistake_of_ours() -> None:
    with pytest.raises(UnexpectedEvent, match="the judge, new, takes no Command"):
        Judge(SETTING).receive(cast(Event, Command(b"NOOP")))


@pytest.mark.parametrize(
    ("script", "event", "message"),
    [
        ("", on.ClientLost(), "the judge, new, takes no ClientLost"),
        ("client connects", on.Started(), "the judge, connecting to the origin, takes no Started"),
        ("client connects", on.DataConnected(), "the judge, connecting to the origin, takes no DataConnected"),
        (
            "client connects\norigin connects",
            on.OriginFailed("x"),
            "awaiting the origin's greeting, takes no OriginF",
        ),
        (
            "client connects\norigin connects\norigin: 220 Ready",
            on.OpaqueMoved(),
            "the judge, open, takes no OpaqueM",
        ),
    ],
)
def test_each_phase_takes_its_own_events(script: str, event: Event, message: str) -> None:
    play = Playbook()
    for line in script.splitlines():
        play.happens(line)
    before = repr(play.session)
    with pytest.raises(UnexpectedEvent, match=message):
        play.session.receive(event)
    assert repr(play.session) == before


def test_nothing_matters_behind_the_end(play: Playbook) -> None:
    play.happens("client lost")
    assert play.session.receive(on.Started()) == []


@pytest.mark.parametrize(
    "shown",
    [
        Command(b"PASS", b"secret"),
        Command.parse(b"PASS secret"),
        Exchange(Command(b"PASS", b"secret"), Command(b"PASS", b"secret")),
        on.CommandReceived(Command(b"PASS", b"secret")),
        do.SendToOrigin(b"PASS secret\r\n"),
    ],
    ids=lambda shown: type(shown).__name__,
)
def test_an_argument_is_in_no_repr(shown: object) -> None:
    assert "secret" not in repr(shown)


def test_passwords_are_in_no_repr() -> None:
    play = Playbook.opened()
    actions = play.session.receive(on.CommandReceived(Command(b"PASS", b"secret")))
    play.session.receive(on.CommandReceived(Command(b"PASS", b"secret")))
    assert "secret" not in repr((actions, play.session))
