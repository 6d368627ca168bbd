"""The judge, by playbooks: see playbook.py for how to read them."""

from ipaddress import ip_address
from typing import cast

import attrs
import pytest

from gateway.addresses import PortMap
from gateway.ftp.commands import VERBS, Command, Kind
from gateway.session import events as on
from gateway.session.events import Deadline, Event
from gateway.session.judge import MAX_QUEUED, Judge
from gateway.session.policy import Policy
from tests.unit.session.playbook import COMPLETING, CONNECTED, LISTENING, RUNNING, SETTING, Playbook

MAPPED = attrs.evolve(SETTING, ports=PortMap(range(20000, 20021), range(30000, 30021)))
NAMED = attrs.evolve(SETTING, origin_host="origin.internal", public="public.example")
OVER_IPV6 = attrs.evolve(SETTING, client=ip_address("2001:db8::7"), public="2001:db8::1")


@pytest.fixture
def play() -> Playbook:
    """A session whose greeting is over."""
    return Playbook.opened()


class TestGreeting:
    def test_the_origins_own(self) -> None:
        Playbook(idle=True)("""
            client connects
                arm login
                connect origin
            origin connects
            origin: 220-Welcome\\r\\n to 198.51.100.1\\r\\n220 Ready
                arm idle
                client: 220-Welcome\\r\\n to 192.0.2.1\\r\\n220 Ready
        """)

    def test_a_banner_in_its_place(self) -> None:
        Playbook(attrs.evolve(SETTING, banner="ready"))("""
            client connects
                arm login
                connect origin
            origin connects
            origin: 220-ProFTPD 1.3.8\\r\\n220 Ready
                client: 220 ready
        """)

    def test_120_before_220(self) -> None:
        Playbook(idle=True)("""
            client connects
                arm login
                connect origin
            origin connects
            origin: 120 Ready in 1 minute
                client: 120 Ready in 1 minute
            client: USER x
            origin: 220 Ready
                arm idle
                client: 220 Ready
                origin: USER x
        """)

    def test_commands_wait_for_it(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            client: USER x
            client: PORT 1,2,3,4,5,6
            origin connects
            origin: 220 Ready
                client: 220 Ready
                origin: USER x
            origin: 331 Password?
                client: 331 Password?
                note commandRefused verb='PORT' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
        """)

    @pytest.mark.parametrize("code", [421, 530, 331])
    def test_refused_by_the_origin(self, code: int) -> None:
        Playbook()(f"""
            client connects
                arm login
                connect origin
            origin connects
            origin: {code} Not you at 198.51.100.1
                client: {code} Not you at 192.0.2.1
                close: origin refused the session
        """)

    def test_no_origin(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            origin fails: Connection refused by 198.51.100.1
                note originError reason='Connection refused by 198.51.100.1'
                client: 421 Service not available; closing control connection.
                close: origin unreachable
        """)

    def test_no_greeting(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            origin connects
            deadline login
                note originError reason='no greeting in time'
                client: 421 Service not available; closing control connection.
                close: origin sent no greeting
        """)

    def test_the_origin_goes_before_it(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            origin connects
            origin lost
                note originError reason='control connection lost'
                client: 421 Service not available; closing control connection.
                close: origin lost
        """)

    def test_the_client_goes_before_it(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            client lost
                close: client lost
            origin connects
        """)


class TestCommands:
    def test_one_at_a_time_and_answered_in_order(self, play: Playbook) -> None:
        play("""
            client: USER x
                origin: USER x
            client: eprt |1|203.0.113.7|4000|
            client: XYZZY
            client: PASS p
            origin: 331 Password?
                client: 331 Password?
                note commandRefused verb='EPRT' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
                note commandRefused verb='?' reply='500 Command not understood.'
                client: 500 Command not understood.
                origin: PASS p
            origin: 230 In
                disarm login
                client: 230 In
        """)

    @pytest.mark.parametrize("verb", sorted(verb for verb, row in VERBS.items() if row.kind is Kind.ACTIVE))
    def test_active_mode_is_refused(self, play: Playbook, verb: bytes) -> None:
        name = verb.decode()
        play(f"""
            client:  {name.lower()} 203,0,113,7,4,1
                note commandRefused verb='{name}' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
        """)

    @pytest.mark.parametrize("verb", sorted(verb for verb, row in VERBS.items() if row.kind is Kind.HIDING))
    def test_what_could_hide_an_address_is_refused(self, play: Playbook, verb: bytes) -> None:
        play(f"""
            client: {verb.decode()}
                note commandRefused verb='{verb.decode()}' reply='502 Command not supported.'
                client: 502 Command not supported.
        """)

    @pytest.mark.parametrize("line", ["AUTH TLS", "PBSZ 0", "PROT P", "CCC"])
    def test_tls_is_refused(self, play: Playbook, line: str) -> None:
        play(f"""
            client: {line}
                note commandRefused verb='{line.split()[0]}' reply='502 TLS is not available on this server.'
                client: 502 TLS is not available on this server.
        """)

    @pytest.mark.parametrize(
        ("line", "name"),
        [
            ("", "?"),
            ("XYZZY", "?"),
            ("hunter", "?"),
            ("hunter2", "?"),
            ("correcthorse", "?"),
            ("\\xe4\\xf6", "?"),
            ("x-y", "?"),
        ],
    )
    def test_unknown_verbs_are_refused_and_hardly_told(self, play: Playbook, line: str, name: str) -> None:
        play(f"""
            client: {line}
                note commandRefused verb='{name}' reply='500 Command not understood.'
                client: 500 Command not understood.
        """)

    def test_paths_are_8_bit_clean_and_keep_their_spaces(self, play: Playbook) -> None:
        play("""
            client: cwd   \\xe4\\xff\\x80 dir\\t
                origin: CWD   \\xe4\\xff\\x80 dir\\t
            origin: 250 \\xe4\\xff\\x80
                client: 250 \\xe4\\xff\\x80
        """)

    def test_policy_is_asked(self) -> None:
        policy = Policy(frozenset({b"SITEX"}), frozenset({b"DELE"}), read_only=True)
        Playbook.opened(attrs.evolve(SETTING, policy=policy))("""
            client: DELE file
                note commandRefused verb='DELE' reply='550 Permission denied: command not allowed on this server.'
                client: 550 Permission denied: command not allowed on this server.
            client: STOR file
                note commandRefused verb='STOR' reply='550 Permission denied: this server is read-only.'
                client: 550 Permission denied: this server is read-only.
            client: SITEX 1
                origin: SITEX 1
            origin: 200 Done
                client: 200 Done
        """)

    def test_partners_follow_at_once(self, play: Playbook) -> None:
        play("""
            client: REST 100
                origin: REST 100
            client: PORT 1,2,3,4,5,6
            client: RETR file
            origin: 350 Restarting
                client: 350 Restarting
                note commandRefused verb='PORT' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
                origin: RETR file
            origin: 425 No data connection
                client: 425 No data connection
            client: RNFR a
                origin: RNFR a
            client: RNTO b
            origin: 350 Ready
                client: 350 Ready
                origin: RNTO b
        """)

    def test_features(self, play: Playbook) -> None:
        play("""
            client: FEAT
                origin: FEAT
            origin: 211-Features:\\r\\n AUTH TLS\\r\\n EPRT\\r\\n EPSV\\r\\n PBSZ\\r\\n PROT\\r\\n UTF8\\r\\n211 End
                client: 211-Features:\\r\\n EPSV\\r\\n UTF8\\r\\n211 End
            client: FEAT
                origin: FEAT
            origin: 502 EPRT what?
                client: 502 EPRT what?
        """)

    def test_more_than_it_takes_is_not_read(self, play: Playbook) -> None:
        play("""
            client: PWD
                origin: PWD
        """)
        for _ in range(MAX_QUEUED):
            assert play.session.hungry
            play("client: PWD")
        assert not play.session.hungry
        play("""
            origin: 257 /
                client: 257 /
                origin: PWD
        """)
        assert play.session.hungry


class TestLinesThatAreNotClean:
    def test_three_are_too_many(self, play: Playbook) -> None:
        play("""
            client unclean: NUL
                note commandRefused verb='?' reply='500 Line too long or not clean.' reason='NUL in a line'
                client: 500 Line too long or not clean.
            client: PWD
                origin: PWD
            client unclean: NUL
            origin: 257 /
                client: 257 /
                note commandRefused verb='?' reply='500 Line too long or not clean.' reason='NUL in a line'
                client: 500 Line too long or not clean.
            client unclean: TOO_LONG
                note commandRefused verb='?' reply='500 Line too long or not clean.' reason='line too long'
                client: 500 Line too long or not clean.
                client: 421 Too many bad lines; closing control connection.
                close: client sent unclean lines
        """)

    def test_they_wait_beside_a_transfer(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client unclean: NUL
            data delivered to client
            origin: 226 Transfer complete
                release data
                client: 226 Transfer complete
                note commandRefused verb='?' reply='500 Line too long or not clean.' reason='NUL in a line'
                client: 500 Line too long or not clean.
        """)


class TestUnknownCommands:
    REFUSED = """\
client: XYZZY
    note commandRefused verb='?' reply='500 Command not understood.'
    client: 500 Command not understood.
"""
    END = """\
    client: 421 Too many unknown commands; closing control connection.
    close: client sent unknown commands
"""

    def test_ten_in_a_row_are_too_many(self, play: Playbook) -> None:
        play(self.REFUSED * 10 + self.END)

    @pytest.mark.parametrize(
        "known",
        [
            """
            client: NOOP
                origin: NOOP
            origin: 200 Fine
                client: 200 Fine
            """,
            """
            client: ENC
                note commandRefused verb='ENC' reply='502 Command not supported.'
                client: 502 Command not supported.
            """,
        ],
    )
    def test_a_known_one_between_them_begins_anew(self, play: Playbook, known: str) -> None:
        for _ in range(3):
            play(self.REFUSED * 9)
            play(known)


class TestFailedLogins:
    FAILED = """\
client: PASS wrong
    origin: PASS wrong
origin: 530 No at 198.51.100.1
    count failed login
"""

    def test_it_is_counted_before_the_client_is_told(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            failed login counted
                client: 530 No at 192.0.2.1
            client: PASS right
                origin: PASS right
        """)

    def test_the_last_one_ends_the_session(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            failed login counted, the last
                client: 530 No at 192.0.2.1
                client: 421 Too many failed logins; closing control connection.
                close: too many failed logins
        """)

    def test_commands_and_replies_wait_behind_it(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            client: NOOP
            client: ABOR
            client: PORT 1
            origin: 200 What
            failed login counted
                client: 530 No at 192.0.2.1
                note originError reason='reply to no command'
                origin: NOOP
            origin: 200 Fine
                client: 200 Fine
                origin: ABOR
        """)

    def test_an_origin_that_says_more_and_goes(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            origin: 421 Too many at 198.51.100.1
            origin lost
            failed login counted
                client: 530 No at 192.0.2.1
                client: 421 Too many at 192.0.2.1
                close: origin closed the session
        """)

    def test_an_origin_that_goes_without_a_word(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            origin lost
            failed login counted
                client: 530 No at 192.0.2.1
                client: 421 Service not available; closing control connection.
                close: origin lost
        """)

    def test_an_origin_that_goes_on_and_on(self, play: Playbook) -> None:
        play(self.FAILED)
        for _ in range(MAX_QUEUED):
            play("origin: 200 What\n")
        play("""
            origin: 200 What
                note originError reason='replies to no command'
                client: 421 Service not available; closing control connection.
                close: origin speaks no FTP
        """)

    def test_the_end_of_the_session_does_not_wait_for_it(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            deadline login
                client: 421 Login timeout; closing control connection.
                close: login timeout
            failed login counted
        """)


class TestOtherProtocols:
    @pytest.mark.parametrize("event", ["client: GET / HTTP/1.1", "client: EHLO x", "client is foreign"])
    def test_end_at_once_and_see_nothing_of_what_they_sent(self, play: Playbook, event: str) -> None:
        play(f"""
            {event}
                client: 421 This is an FTP server; closing control connection.
                close: client speaks no FTP
            client: NOOP
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


class TestReplies:
    def test_1yz_keeps_the_command_waiting(self, play: Playbook) -> None:
        play("""
            client: PWD
                origin: PWD
            client: PWD
            origin: 120 In a moment
                client: 120 In a moment
            origin: 257 /
                client: 257 /
                origin: PWD
        """)

    def test_inner_lines_are_text(self, play: Playbook) -> None:
        play("""
            client: PASV
                origin: PASV
            client: PWD
            origin: 425-\\r\\n227 (198,51,100,1,78,32)\\r\\n229 (|||20000|)\\r\\n425 No
                client: 425-\\r\\n227 (192,0,2,1,78,32)\\r\\n229 (|||20000|)\\r\\n425 No
                origin: PWD
        """)

    @pytest.mark.parametrize("command", ["PWD", "EPSV", "EPSV ALL"])
    def test_227_to_anything_else_is_text(self, play: Playbook, command: str) -> None:
        play(f"""
            client: {command}
                origin: {command}
            origin: 227 Entering Passive Mode (10,0,0,1,78,32)
                client: 227 Entering Passive Mode (10,0,0,1,78,32)
        """)

    @pytest.mark.parametrize("command", ["PWD", "PASV", "EPSV ALL"])
    def test_229_to_anything_else_is_text(self, play: Playbook, command: str) -> None:
        play(f"""
            client: {command}
                origin: {command}
            origin: 229 Extended Passive (|||20000|)
                client: 229 Extended Passive (|||20000|)
        """)

    def test_one_that_nobody_asked_for_is_dropped(self, play: Playbook) -> None:
        play("""
            origin: 226 Who asked?
                note originError reason='reply to no command'
            client: PWD
                origin: PWD
            origin: 257 /
                client: 257 /
            origin: 150 Who asked?
                note originError reason='reply to no command'
        """)

    @pytest.mark.parametrize("before", ["", "    client: PWD\n        origin: PWD", RUNNING])
    def test_421_answers_anything(self, play: Playbook, before: str) -> None:
        play(before)
        play("""
            origin: 421-Bye\\r\\n198.51.100.1\\r\\n421 Bye
                client: 421-Bye\\r\\n192.0.2.1\\r\\n421 Bye
                close: origin closed the session
        """)

    def test_the_origin_does_not_speak_ftp(self, play: Playbook) -> None:
        play("""
            client: PWD
                origin: PWD
            origin breaks: reply line too long
                note originError reason='reply line too long'
                client: 421 Service not available; closing control connection.
                close: origin speaks no FTP
        """)

    def test_the_origins_address_and_name_are_replaced(self) -> None:
        Playbook.opened(NAMED)("""
            client: HELP
                origin: HELP
            origin: 214 ORIGIN.internal at 198.51.100.1 (198,51,100,1,78,32)
                client: 214 ftp.example.com at public.example (ftp.example.com,78,32)
        """)


class TestLogin:
    @pytest.mark.parametrize("verb", ["USER", "PASS", "ACCT"])
    def test_230_ends_its_deadline(self, play: Playbook, verb: str) -> None:
        play(f"""
            client: {verb} x
                origin: {verb} x
            origin: 230 In
                disarm login
                client: 230 In
        """)

    @pytest.mark.parametrize("reply", ["331 Password?", "332 Account?", "530 No"])
    def test_nothing_else_does(self, play: Playbook, reply: str) -> None:
        play(f"""
            client: USER x
                origin: USER x
            origin: {reply}
                client: {reply}
            client: CWD x
                origin: CWD x
            origin: 230 Not to be taken for it
                client: 230 Not to be taken for it
            deadline login
                client: 421 Login timeout; closing control connection.
                close: login timeout
        """)

    def test_a_new_user_starts_it_again(self, play: Playbook) -> None:
        play("""
            client: USER x
                origin: USER x
            origin: 230 In
                disarm login
                client: 230 In
            client: USER y
                origin: USER y
            origin: 230 In
                client: 230 In
            client: REIN
                origin: REIN
            origin: 120 In a moment
                client: 120 In a moment
            origin: 220 Ready
                arm login
                client: 220 Ready
            client: REIN
                origin: REIN
            origin: 220 Ready
                arm login
                client: 220 Ready
            client: REIN
                origin: REIN
            origin: 502 Not here
                client: 502 Not here
        """)


class TestIdle:
    def test_every_command_starts_it_again(self) -> None:
        Playbook.opened(idle=True)("""
            client: PWD
                arm idle
                origin: PWD
            client: XYZZY
                arm idle
            origin: 257 /
                client: 257 /
                note commandRefused verb='?' reply='500 Command not understood.'
                client: 500 Command not understood.
            deadline idle
                client: 421 Idle timeout; closing control connection.
                close: idle timeout
        """)

    def test_a_transfer_stops_it(self) -> None:
        Playbook.opened(idle=True)("""
            client: EPSV
                arm idle
                origin: EPSV
            origin: 229 (|||20000|)
                open data, origin 20000, public 20000
            data listens
                client: 229 (|||20000|)
            data connected
            client: RETR file
                arm idle
                origin: RETR file
                disarm idle
            origin: 150 Here it comes
                client: 150 Here it comes
            client: NOOP
                origin: NOOP
            origin: 200 Yes
                client: 200 Yes
            data delivered to client
            data ended
                arm idle
            origin: 226 Done
                client: 226 Done
                arm idle
        """)

    def test_a_transfer_that_waits_for_the_dial_stops_it_then(self) -> None:
        Playbook.opened(idle=True)("""
            client: EPSV
                arm idle
                origin: EPSV
            origin: 229 (|||20000|)
                open data, origin 20000, public 20000
            data listens
                client: 229 (|||20000|)
            client: RETR file
                arm idle
                dial data
            data connected
                origin: RETR file
                disarm idle
            origin: 150 Here it comes
                client: 150 Here it comes
            origin: 226 Done
            data delivered to client
                release data
                client: 226 Done
                arm idle
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
        Playbook.opened(NAMED)("""
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
            origin: 229  Entering (for 198.51.100.1) \\xff (!!!20020!)
                open data, origin 20020, public 20020
            data listens, public address 192.0.2.1
                client: 229  Entering (for 192.0.2.1) \\xff (!!!20020!)
        """)

    def test_mapped_ports(self) -> None:
        Playbook.opened(MAPPED)("""
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

    def test_an_origin_that_talks_on_while_a_completion_is_held(self, play: Playbook) -> None:
        play(COMPLETING)
        for _ in range(MAX_QUEUED):
            play("origin: 200 More")
        play("""
            origin: 200 More
                note originError reason='replies to no command'
                client: 421 Service not available; closing control connection.
                close: origin speaks no FTP
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
    with pytest.raises(AssertionError):
        Judge(SETTING).receive(cast(Event, Command(b"NOOP")))
    with pytest.raises(AssertionError):
        Judge(SETTING).receive(on.DeadlinePassed(cast(Deadline, None)))


def test_passwords_are_in_no_repr() -> None:
    play = Playbook.opened()
    actions = play.session.receive(on.CommandReceived(Command(b"PASS", b"secret")))
    play.session.receive(on.CommandReceived(Command(b"PASS", b"secret")))
    assert "secret" not in repr((actions, play.session))
