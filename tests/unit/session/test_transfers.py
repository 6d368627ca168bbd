"""From a 227 or 229 to the completion of the transfer, by playbooks: see playbook.py for how to read them."""

import pytest

from gateway.ftp.commands import VERBS, Kind
from tests.unit.session.playbook import COMPLETING, CONNECTED, LISTENING, RUNNING, Playbook


@pytest.fixture
def play() -> Playbook:
    """A session whose greeting is over."""
    return Playbook.opened()


class TestSetUp:
    def test_the_transfer_command_waits_until_the_origins_port_accepted(self, play: Playbook) -> None:
        play(LISTENING)
        play("""
            client: RETR file
                dial data
            client: NOOP
            client: QUIT
            data connected
                origin: RETR file
                origin: NOOP
        """)

    def test_the_client_came_before_the_command(self, play: Playbook) -> None:
        play(CONNECTED)
        play("""
            client: RETR file
                origin: RETR file
        """)

    def test_the_origins_port_does_not_accept(self, play: Playbook) -> None:
        play(LISTENING)
        play("""
            client: RETR file
                dial data
            client: PWD
            data ended
                client: 425 Cannot open a data connection.
                origin: PWD
        """)

    def test_nor_did_it_before_the_command(self, play: Playbook) -> None:
        play(LISTENING)
        play("""
            data ended
            client: RETR file
                client: 425 Cannot open a data connection.
            client: RETR file
                origin: RETR file
            origin: 425 Use PASV first
                client: 425 Use PASV first
        """)

    def test_commands_may_come_between(self, play: Playbook) -> None:
        play(LISTENING)
        play("""
            client: REST 5
                origin: REST 5
            data connected
            origin: 350 Restarting
                client: 350 Restarting
            client: RETR file
                origin: RETR file
        """)

    def test_a_transfer_without_a_port_is_for_the_origin_to_refuse(self, play: Playbook) -> None:
        play("""
            client: LIST
                origin: LIST
            origin: 425 Use PASV first
                client: 425 Use PASV first
        """)

    def test_a_channel_that_ended_before_the_command_carried_nothing(self, play: Playbook) -> None:
        play(CONNECTED)
        play("""
            data ended
            client: RETR file
                origin: RETR file
            origin: 226 Done
                client: 426 Data connection closed; transfer aborted.
            client: RETR file
                origin: RETR file
            origin: 226 Done, whatever that was
                client: 226 Done, whatever that was
        """)


class TestCompletion:
    @pytest.mark.parametrize("verb", sorted(verb for verb, row in VERBS.items() if row.kind is Kind.TO_CLIENT))
    def test_of_a_download_waits_for_the_last_byte_to_the_client(self, play: Playbook, verb: bytes) -> None:
        play(CONNECTED)
        play(f"""
            client: {verb.decode()}
                origin: {verb.decode()}
            origin: 125 Go
                client: 125 Go
            data delivered to origin
            origin: 250-All\\r\\n250 Done
            client: PWD
            data delivered to client
                release data
                client: 250-All\\r\\n250 Done
                origin: PWD
        """)

    @pytest.mark.parametrize("verb", sorted(verb for verb, row in VERBS.items() if row.kind is Kind.TO_ORIGIN))
    def test_of_an_upload_waits_for_the_last_byte_to_the_origin(self, play: Playbook, verb: bytes) -> None:
        play(CONNECTED)
        play(f"""
            client: {verb.decode()} file
                origin: {verb.decode()} file
            origin: 150 Go
                client: 150 Go
            origin: 226 Done
            data delivered to client
            client: PWD
            data delivered to origin
                release data
                client: 226 Done
                origin: PWD
        """)

    def test_behind_the_data(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            data delivered to client
            origin: 226 Done
                release data
                client: 226 Done
        """)

    def test_behind_the_end_of_the_channel(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            data delivered to client
            data delivered to origin
            data ended
            origin: 226 Done
                client: 226 Done
        """)

    def test_without_1yz(self, play: Playbook) -> None:
        play(CONNECTED)
        play("""
            client: NLST
                origin: NLST
            origin: 226 Done
            data delivered to client
                release data
                client: 226 Done
        """)

    def test_with_more_than_one_1yz(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            origin: 110 MARK 1 = 2
                client: 110 MARK 1 = 2
            data delivered to client
            origin: 226 Done
                release data
                client: 226 Done
        """)

    def test_the_next_transfer_is_judged_by_its_own_bytes(self, play: Playbook) -> None:
        play(COMPLETING)
        play("""
            data delivered to client
                release data
                client: 226 Transfer complete
        """)
        play(COMPLETING)
        play("""
            data delivered to client
                release data
                client: 226 Transfer complete
        """)


class TestCut:
    @pytest.mark.parametrize("before", ["data delivered to origin\n", ""])
    def test_a_completion_that_was_held_becomes_426(self, play: Playbook, before: str) -> None:
        play(COMPLETING + before)
        play("""
            data ended
                client: 426 Data connection closed; transfer aborted.
        """)

    def test_one_that_comes_afterwards_becomes_426(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            data ended
            origin: 226 Done
                client: 426 Data connection closed; transfer aborted.
        """)

    @pytest.mark.parametrize("code", [425, 426, 451, 550])
    def test_what_the_origin_says_of_a_cut_stays(self, play: Playbook, code: int) -> None:
        play(RUNNING)
        play(f"""
            data ended
            origin: {code} Cut
                client: {code} Cut
        """)

    def test_the_origin_fails_and_its_data_arrives(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            origin: 451 Disk error
                arm grace
            data delivered to client
                release data
                disarm grace
                client: 451 Disk error
        """)

    def test_the_origin_fails_and_its_channel_ends(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            origin: 451 Disk error
                arm grace
            data ended
                disarm grace
                client: 451 Disk error
        """)

    def test_the_origin_fails_and_its_channel_lingers(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            origin: 426 Aborted
                arm grace
            client: PWD
            deadline grace
                abort data
                client: 426 Aborted
                origin: PWD
        """)

    def test_a_transfer_that_is_refused_waits_for_no_data(self, play: Playbook) -> None:
        play(CONNECTED)
        play("""
            client: RETR nothing
                origin: RETR nothing
            client: PWD
            origin: 550 No such file
                abort data
                client: 550 No such file
                origin: PWD
        """)
