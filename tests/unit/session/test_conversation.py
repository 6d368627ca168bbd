"""Commands and replies of an open session."""

import attrs
import pytest

from gateway.ftp.commands import VERBS, Kind
from gateway.session.conversation import MAX_QUEUED
from gateway.session.policy import Policy
from gateway.session.tolerance import MAX_UNASKED
from tests.unit.session.playbook import NAMED, RUNNING, SETTING, Playbook


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

    @pytest.mark.parametrize("command", ["PWD", "EPSV ALL"])
    def test_227_to_anything_else_is_text(self, play: Playbook, command: str) -> None:
        play(f"""
            client: {command}
                origin: {command}
            origin: 227 Entering Passive Mode (10,0,0,1,78,32)
                client: 227 Entering Passive Mode (10,0,0,1,78,32)
        """)

    @pytest.mark.parametrize("command", ["PWD", "EPSV ALL"])
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

    def test_one_too_many_ends_the_session(self, play: Playbook) -> None:
        for _ in range(MAX_UNASKED):
            play("""
                client: PWD
                    origin: PWD
                origin: 257 /
                    client: 257 /
                origin: 200 Who asked?
                    note originError reason='reply to no command'
            """)
        play("""
            origin: 200 Who asked?
                note originError reason='too many replies to no command'
                client: 421 Service not available; closing control connection.
                close: origin speaks no FTP
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
        Playbook.opened(NAMED, host="origin.internal")("""
            client: HELP
                origin: HELP
            origin: 214 ORIGIN.internal at 198.51.100.1 (198,51,100,1,78,32)
                client: 214 ftp.example.com at public.example (ftp.example.com,78,32)
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
