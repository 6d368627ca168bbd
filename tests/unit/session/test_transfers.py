"""Transfers, from a 227 or 229 to the completion, by playbooks: see playbook.py for how to read them."""

import attrs
import pytest

from gateway.ftp.commands import VERBS, Kind
from gateway.session.policy import Policy
from tests.unit.session.playbook import (
    COMPLETING,
    CONNECTED,
    LISTENING,
    MAPPED,
    NAMED,
    OVER_IPV6,
    RUNNING,
    SETTING,
    Playbook,
)


class TestReservation:
    """A data port is counted for the client before the origin is asked for it, until the origin awaits it no more."""

    def test_the_origin_is_not_asked_before(self, play: Playbook) -> None:
        play.guarded = True
        play("""
            client: EPSV
                reserve data
            client: NOOP
            data reserved
                origin: EPSV
            origin: 229 Extended Passive (|||20000|)
                open data, origin 20000, public 20000
            data listens
                client: 229 Extended Passive (|||20000|)
                origin: NOOP
        """)

    def test_a_client_that_has_enough(self, play: Playbook) -> None:
        play.guarded = True
        play("""
            client: PASV
                reserve data
            client: NOOP
            data denied, limit 3
                note tooManyDataPorts limit=3
                client: 425 Too many data ports for your address; complete a transfer and try again.
                origin: NOOP
        """)

    def test_epsv_all_asks_for_none(self, play: Playbook) -> None:
        play.guarded = True
        play("""
            client: EPSV ALL
                origin: EPSV ALL
        """)

    @pytest.mark.parametrize("verb", ["PASV", "EPSV", "EPSV 1"])
    def test_an_origin_that_opens_none(self, play: Playbook, verb: str) -> None:
        play.guarded = True
        play(f"""
            client: {verb}
                reserve data
            data reserved
                origin: {verb}
            origin: 425 Not now
                free data
                client: 425 Not now
        """)

    def test_a_transfer_that_begins_frees_it(self, play: Playbook) -> None:
        play(CONNECTED)
        play.guarded = True
        play("""
            client: RETR file
                origin: RETR file
            origin: 150 Here it comes
                free data
                client: 150 Here it comes
        """)

    def test_a_transfer_that_is_refused_does_not(self, play: Playbook) -> None:
        play(CONNECTED)
        play.guarded = True
        play("""
            client: RETR file
                origin: RETR file
            origin: 550 No such file
                abort data
                client: 550 No such file
        """)

    def test_nor_does_a_second_port_that_the_origin_does_not_open(self, play: Playbook) -> None:
        play(LISTENING)
        play.guarded = True
        play("""
            client: EPSV 9
                reserve data
            data reserved
                origin: EPSV 9
            origin: 522 Bad network protocol
                client: 522 Bad network protocol
        """)

    def test_a_preliminary_reply_frees_it_where_the_verb_is_not_known(self) -> None:
        play = Playbook.opened(attrs.evolve(SETTING, policy=Policy(allow=frozenset({b"XYZ"}))))
        play(LISTENING)
        play.guarded = True
        play("""
            client: XYZ file
                origin: XYZ file
            origin: 150 Here it comes
                free data
                client: 150 Here it comes
        """)


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

    @pytest.mark.parametrize("state", [LISTENING, CONNECTED])
    def test_no_transfer_command_came_in_time(self, play: Playbook, state: str) -> None:
        play(state)
        play("""
            data ended, no transfer command
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

    def test_a_channel_that_ended_before_a_download(self, play: Playbook) -> None:
        play(CONNECTED)
        play("""
            data ended
            client: RETR file
                client: 425 Cannot open a data connection.
            client: RETR file
                origin: RETR file
            origin: 226 Done, whatever that was
                client: 226 Done, whatever that was
        """)

    def test_a_channel_that_ended_before_an_upload_may_have_carried_it(self, play: Playbook) -> None:
        play(CONNECTED)
        play("""
            data delivered to origin
            data ended
            client: STOR file
                origin: STOR file
            origin: 226 Done
                client: 226 Done
        """)

    def test_or_it_has_not(self, play: Playbook) -> None:
        play(CONNECTED)
        play("""
            data ended
            client: STOR file
                origin: STOR file
            origin: 226 Done
                client: 426 Data connection closed; transfer aborted.
        """)


class TestRestart:
    """REST is for the next transfer alone. If the origin does not see that one, its REST is taken back."""

    REST = """\
client: REST 5
    origin: REST 5
origin: 350 Restarting
    client: 350 Restarting
"""
    TAKEN_BACK = """\
    client: 425 Cannot open a data connection.
    origin: REST 0
"""

    def test_a_transfer_that_the_origin_sees(self, play: Playbook) -> None:
        play(CONNECTED + self.REST)
        play("""
            client: RETR file
                origin: RETR file
            origin: 550 No such file
                abort data
                client: 550 No such file
        """)

    @pytest.mark.parametrize("reply", ["350 At 0", "500 What?", "120 Wait\\r\\n350 At 0"])
    def test_an_origin_that_does_not_accept(self, play: Playbook, reply: str) -> None:
        play(LISTENING + self.REST)
        play(f"client: RETR file\n    dial data\nclient: NOOP\ndata ended\n{self.TAKEN_BACK}")
        *before, last = reply.split("\\r\\n")
        for one in before:
            play(f"origin: {one}\n")
        play(f"origin: {last}\n    origin: NOOP\n")

    def test_a_client_that_left(self, play: Playbook) -> None:
        play(CONNECTED + self.REST + "data ended\nclient: RETR file\n" + self.TAKEN_BACK)
        play("origin: 350 At 0\nclient: NOOP\n    origin: NOOP\n")

    def test_a_transfer_that_the_gateway_refuses(self) -> None:
        play = Playbook.opened(attrs.evolve(SETTING, policy=Policy(read_only=True)))
        play(self.REST)
        play("""
            client: STOR file
                note commandRefused verb='STOR' reply='550 Permission denied: this server is read-only.'
                client: 550 Permission denied: this server is read-only.
                origin: REST 0
            origin: 350 At 0
            client: STOR file
                note commandRefused verb='STOR' reply='550 Permission denied: this server is read-only.'
                client: 550 Permission denied: this server is read-only.
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


class TestPassive:
    def test_pasv_names_the_public_address_once_it_listens(self, play: Playbook) -> None:
        play("""
            client: PASV
                origin: PASV
            client: PWD
            origin: 227 Entering Passive Mode (198,51,100,1,78,33).
                open data, origin 20001, public 20001
            data listens, public address 192.0.2.1
                client: 227 Entering Passive Mode (192,0,2,1,78,33).
                origin: PWD
        """)

    @pytest.mark.parametrize("host", ["0,0,0,0", "10,0,0,1", "127,0,0,1"])
    def test_the_host_in_a_227_is_not_looked_at(self, play: Playbook, host: str) -> None:
        play(f"""
            client: PASV
                origin: PASV
            origin: 227 Passive ={host},78,33
                open data, origin 20001, public 20001
            data listens, public address 192.0.2.1
                client: 227 Entering Passive Mode (192,0,2,1,78,33).
        """)

    def test_behind_a_public_name(self) -> None:
        Playbook.opened(NAMED, host="origin.internal")("""
            client: PASV
                origin: PASV
            origin: 227 Entering Passive Mode (198,51,100,1,78,33).
                open data, origin 20001, public 20001
            data listens, public address 192.0.2.99
                client: 227 Entering Passive Mode (192,0,2,99,78,33).
        """)

    def test_epsv_passes_byte_for_byte(self, play: Playbook) -> None:
        play("""
            client: epsv
                origin: EPSV
            origin: 229  Entering for 198.51.100.1 \\xff (!!!20020!)
                open data, origin 20020, public 20020
            data listens, public address 192.0.2.1
                client: 229  Entering for 192.0.2.1 \\xff (!!!20020!)
        """)

    def test_mapped_ports(self) -> None:
        Playbook.opened(ports=MAPPED)("""
            client: EPSV
                origin: EPSV
            origin: 229 Entering (|||20020|)
                open data, origin 20020, public 30020
            data listens
                client: 229 Entering Extended Passive Mode (|||30020|)
            client: PASV
                origin: PASV
            origin: 227 Passive (198,51,100,1,78,32)
                open data, origin 20000, public 30000
            data listens, public address 192.0.2.1
                client: 227 Entering Passive Mode (192,0,2,1,117,48).
        """)

    @pytest.mark.parametrize(
        ("command", "reply", "note"),
        [
            ("PASV", "227 (198,51,100,1,78,53)", "dataPortOutOfRange port=20021 range='20000-20020'"),
            ("EPSV", "229 (|||19999|)", "dataPortOutOfRange port=19999 range='20000-20020'"),
            ("PASV", "227 Passive", "originError reason='malformed 227 reply'"),
            ("EPSV", "229 (||20000|)", "originError reason='malformed 229 reply'"),
            ("PASV", "227-(198,51,100,1,78,32)\\r\\n227 End", "originError reason='malformed 227 reply'"),
            ("EPSV", "227 (10,0,0,1,78,32)", "originError reason='227 in answer to EPSV'"),
            ("EPSV 1", "227 (198,51,100,1,78,32)", "originError reason='227 in answer to EPSV'"),
            ("PASV", "229 (|||20000|)", "originError reason='229 in answer to PASV'"),
            ("PASV", "229 (|1|10.0.0.1|20000|)", "originError reason='229 in answer to PASV'"),
        ],
    )
    def test_no_port_to_open(self, play: Playbook, command: str, reply: str, note: str) -> None:
        play(f"""
            client: {command}
                origin: {command}
            origin: {reply}
                note {note}
                client: 425 Cannot open a data port now.
        """)

    def test_no_port_to_open_gives_the_last_one_up(self, play: Playbook) -> None:
        play(LISTENING)
        play("""
            client: EPSV
                origin: EPSV
            origin: 229 (|||1|)
                note dataPortOutOfRange port=1 range='20000-20020'
                abort data
                client: 425 Cannot open a data port now.
            client: RETR file
                origin: RETR file
        """)

    def test_the_port_cannot_be_opened(self, play: Playbook) -> None:
        play("""
            client: EPSV
                origin: EPSV
            client: PWD
            origin: 229 (|||20000|)
                open data, origin 20000, public 20000
            data ended
                client: 425 Cannot open a data port now.
                origin: PWD
        """)

    def test_no_public_address_known(self, play: Playbook) -> None:
        play("""
            client: PASV
                origin: PASV
            origin: 227 (198,51,100,1,78,32)
                open data, origin 20000, public 20000
            data listens
                abort data
                client: 425 No address for PASV is known now; use EPSV.
        """)

    def test_one_after_another(self, play: Playbook) -> None:
        for script in (LISTENING, CONNECTED, LISTENING, "data ended", LISTENING):
            play(script)

    def test_refused_by_the_origin(self, play: Playbook) -> None:
        play("""
            client: EPSV 2
                origin: EPSV 2
            origin: 522 Use (1)
                client: 522 Use (1)
        """)

    @pytest.mark.parametrize(("argument", "passed"), [(" 1", ""), (" 2", ""), (" 2 ", ""), ("", ""), (" 3", " 3")])
    def test_between_families_the_protocol_is_dropped(self, argument: str, passed: str) -> None:
        Playbook.opened(OVER_IPV6)(f"""
            client: EPSV{argument}
                origin: EPSV{passed}
        """)

    def test_within_a_family_the_protocol_stays(self) -> None:
        Playbook.opened(OVER_IPV6, origin="2001:db8::51")("""
            client: EPSV 2
                origin: EPSV 2
        """)

    def test_over_ipv6_there_is_no_pasv(self) -> None:
        Playbook.opened(OVER_IPV6)("""
            client: PASV
                note commandRefused verb='PASV' reply='425 PASV cannot name an IPv6 address; use EPSV.'
                client: 425 PASV cannot name an IPv6 address; use EPSV.
        """)

    def test_after_epsv_all_there_is_no_pasv(self, play: Playbook) -> None:
        play("""
            client: epsv all
                origin: EPSV all
            client: PASV
            origin: 200 All
                client: 200 All
                note commandRefused verb='PASV' reply='503 PASV is not allowed after EPSV ALL.'
                client: 503 PASV is not allowed after EPSV ALL.
            client: EPSV ALL
                origin: EPSV ALL
            origin: 500 What?
                client: 500 What?
            client: PASV
                note commandRefused verb='PASV' reply='503 PASV is not allowed after EPSV ALL.'
                client: 503 PASV is not allowed after EPSV ALL.
        """)

    def test_epsv_all_that_is_refused_changes_nothing(self, play: Playbook) -> None:
        play("""
            client: EPSV ALL
                origin: EPSV ALL
            origin: 500 What?
                client: 500 What?
            client: PASV
                origin: PASV
        """)
