"""The exchanges: replies find the commands that they answer, beside a transfer as well."""

import attrs
import pytest

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.session.conversation import MAX_QUEUED
from gateway.session.exchanges import MAX_EXCHANGES, By, Exchange, Exchanges
from gateway.session.policy import Policy
from tests.unit.session.playbook import COMPLETING, CONNECTED, LISTENING, RUNNING, SETTING, Playbook


class TestBesideATransfer:
    def test_stat_and_noop_are_answered_before_it(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: STAT
                origin: STAT
            client: NOOP
                origin: NOOP
            client: STAT path
                origin: STAT path
            origin: 211-Status\\r\\n 226 in here\\r\\n211 End
                client: 211-Status\\r\\n 226 in here\\r\\n211 End
            origin: 200 Yes
                client: 200 Yes
            origin: 213 -rw-
                client: 213 -rw-
            data delivered to client
            origin: 226 Transfer complete
                release data
                client: 226 Transfer complete
        """)

    def test_or_after_it(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: STAT
                origin: STAT
            client: NOOP
                origin: NOOP
            client: PWD
            origin: 226 Transfer complete
            origin: 211 Idle
            data delivered to client
                release data
                client: 226 Transfer complete
                client: 211 Idle
            origin: 200 Yes
                client: 200 Yes
                origin: PWD
        """)

    @pytest.mark.parametrize(
        ("command", "reply"),
        [
            ("STAT nothing", "550 No such file"),
            ("STAT nothing", "450 Not now"),
            ("STAT", "502 Not here"),
            ("NOOP", "500 What?"),
            ("NOOP", "530 Not now"),
            ("ABOR", "502 Not here"),
        ],
    )
    def test_refused_while_it_runs(self, play: Playbook, command: str, reply: str) -> None:
        play(RUNNING)
        play(f"""
            client: {command}
                origin: {command}
            origin: {reply}
                client: {reply}
            origin: 226 Transfer complete
            data delivered to client
                release data
                client: 226 Transfer complete
        """)

    @pytest.mark.parametrize("beside", ["STAT", "NOOP", "ABOR"])
    def test_it_fails_while_they_wait(self, play: Playbook, beside: str) -> None:
        play(RUNNING)
        play("data ended")
        play(f"""
            client: {beside}
                origin: {beside}
        """)
        linger = "            arm grace" if beside == "ABOR" else ""
        play(f"""
            origin: 550 Network name is no longer available
                client: 550 Network name is no longer available
    {linger}
        """)

    def test_before_its_1yz_a_refusal_is_its_own(self, play: Playbook) -> None:
        play(CONNECTED)
        play("""
            client: RETR file
                origin: RETR file
            client: STAT
                origin: STAT
            origin: 550 No such file
                abort data
                client: 550 No such file
            origin: 211 Idle
                client: 211 Idle
        """)

    def test_everything_else_waits(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: PORT 1,2,3,4,5,6
            client: STAT
            client: QUIT
            data delivered to client
            origin: 226 Transfer complete
                release data
                client: 226 Transfer complete
                note commandRefused verb='PORT' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
                origin: STAT
            origin: 211 Idle
                client: 211 Idle
                origin: QUIT
            origin: 221 Bye
                client: 221 Bye
                close: quit
        """)

    @pytest.mark.parametrize("before", [RUNNING, COMPLETING])
    def test_what_is_denied_waits(self, before: str) -> None:
        play = Playbook.opened(attrs.evolve(SETTING, policy=Policy(deny=frozenset({b"ABOR"}))))
        play(before)
        play(
            """
            client: ABOR
            data ended
        """
            if before is RUNNING
            else """
            client: ABOR
            data ended
                client: 426 Data connection closed; transfer aborted.
                note commandRefused verb='ABOR' reply='550 Permission denied: command not allowed on this server.'
                client: 550 Permission denied: command not allowed on this server.
        """
        )

    def test_only_so_many_stand_there(self, play: Playbook) -> None:
        play(RUNNING)
        for _ in range(MAX_QUEUED - 1):
            play("""
                client: NOOP
                    origin: NOOP
            """)
        for _ in range(MAX_QUEUED):
            assert play.session.hungry
            play("client: NOOP")
        assert not play.session.hungry
        play("""
            origin: 200 Yes
                client: 200 Yes
                origin: NOOP
        """)
        assert play.session.hungry


class TestAbort:
    def test_426_and_226(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: ABOR
                origin: ABOR
            client: PWD
            origin: 426 Aborted
                abort data
                client: 426 Aborted
                arm grace
            origin: 226 Abort successful
                disarm grace
                client: 226 Abort successful
                origin: PWD
        """)

    def test_226_and_225(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: ABOR
                origin: ABOR
            client: PORT 1,2,3,4,5,6
            data delivered to client
            origin: 226 Transfer complete
                release data
                client: 226 Transfer complete
                arm grace
            origin: 225 Nothing to abort
                disarm grace
                client: 225 Nothing to abort
                note commandRefused verb='PORT' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
        """)

    @pytest.mark.parametrize("reply", ["226 Aborted", "225 Aborted", "426 Aborted"])
    def test_one_answer_to_both(self, play: Playbook, reply: str) -> None:
        play(RUNNING)
        play(f"""
            client: ABOR
                origin: ABOR
            client: PWD
            origin: {reply}
                abort data
                client: {reply}
                arm grace
            deadline grace
                origin: PWD
            origin: 257 /
                client: 257 /
        """)

    def test_its_own_answer_first(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: ABOR
                origin: ABOR
            client: PWD
            origin: 226 Abort successful
                abort data
                client: 226 Abort successful
                arm grace
            origin: 426 Aborted
                disarm grace
                client: 426 Aborted
                origin: PWD
        """)

    def test_more_than_one(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: ABOR
                origin: ABOR
            client: ABOR
                origin: ABOR
            client: STAT
                origin: STAT
            client: PWD
            origin: 426 Aborted
                abort data
                client: 426 Aborted
                arm grace
            origin: 226 Abort successful
                client: 226 Abort successful
            origin: 211 Idle
                client: 211 Idle
            deadline grace
                origin: PWD
        """)

    def test_behind_stat(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: STAT
                origin: STAT
            client: ABOR
                origin: ABOR
            origin: 426 Aborted
                abort data
                client: 426 Aborted
                arm grace
            origin: 226 Abort successful
                disarm grace
                client: 226 Abort successful
            client: PWD
            origin: 211 Idle
                client: 211 Idle
                origin: PWD
        """)

    def test_what_stands_behind_it_is_answered_for_certain(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client: ABOR
                origin: ABOR
            client: NOOP
                origin: NOOP
            client: PWD
            origin: 226 Aborted
                abort data
                client: 226 Aborted
                arm grace
            origin: 500 What?
                client: 500 What?
            deadline grace
                origin: PWD
        """)

    def test_of_a_transfer_whose_reply_is_held(self, play: Playbook) -> None:
        play(COMPLETING)
        play("""
            client: ABOR
                abort data
                client: 426 Data connection closed; transfer aborted.
                origin: ABOR
            client: PWD
            origin: 225 Nothing to abort
                client: 225 Nothing to abort
                origin: PWD
        """)

    def test_of_the_last_transfer_of_a_gateway_that_stops(self, play: Playbook) -> None:
        play(COMPLETING)
        play("""
            draining
            client: ABOR
                abort data
                client: 426 Data connection closed; transfer aborted.
                client: 421 Service is shutting down; closing control connection.
                close: gateway stopped
        """)

    def test_of_nothing(self, play: Playbook) -> None:
        play("""
            client: ABOR
                origin: ABOR
            client: PORT 1,2,3,4,5,6
            client: USER x
            origin: 530 Log in first
                client: 530 Log in first
                note commandRefused verb='PORT' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
                origin: USER x
            origin: 331 Password?
                client: 331 Password?
        """)

    def test_while_the_dial_is_on(self, play: Playbook) -> None:
        play(LISTENING)
        play("""
            client: RETR file
                dial data
            client: ABOR
            data connected
                origin: RETR file
                origin: ABOR
            origin: 150 Here it comes
                client: 150 Here it comes
            origin: 426 Aborted
                abort data
                client: 426 Aborted
                arm grace
        """)


REPLY = Reply.of(200, "x")


def exchange(line: bytes, by: By = By.CLIENT) -> Exchange:
    command = Command.parse(line)
    return Exchange(command, command, by)


class TestExchanges:
    def test_two_of_the_same_command_are_two(self) -> None:
        exchanges, one, other = Exchanges(), exchange(b"NOOP"), exchange(b"NOOP")
        assert exchanges.none
        exchanges.add(one)
        exchanges.add(other)
        exchanges.remove(other)
        assert exchanges.answered(REPLY) is one
        exchanges.remove(one)
        assert exchanges.none
        assert exchanges.answered(REPLY) is None

    def test_the_gateways_own_are_not_the_clients(self) -> None:
        exchanges = Exchanges()
        exchanges.add(exchange(b"AUTH TLS", By.GATEWAY))
        assert not exchanges.has(b"AUTH")
        exchanges.add(exchange(b"AUTH TLS"))
        assert exchanges.has(b"AUTH")

    def test_it_is_full_at_a_number(self) -> None:
        exchanges = Exchanges()
        for _ in range(MAX_EXCHANGES):
            assert not exchanges.full
            exchanges.add(exchange(b"NOOP"))
        assert exchanges.full
        exchanges.forget(b"NOOP")
        assert exchanges.none and not exchanges.full
