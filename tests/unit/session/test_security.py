"""TLS towards the client: AUTH, PBSZ, PROT and CCC, by playbooks: see playbook.py for how to read them."""

import attrs
import pytest

from gateway.ftp.commands import VERBS
from gateway.session.policy import Policy
from gateway.session.security import Requirement, TLSTerms
from tests.unit.session.playbook import SETTING, Playbook

FLEXIBLE = attrs.evolve(SETTING, policy=Policy(tls=True), tls=TLSTerms(terminates=True))
IMPLICIT = attrs.evolve(FLEXIBLE, tls=TLSTerms(terminates=True, implicit=True))
PASSTHROUGH = attrs.evolve(SETTING, policy=Policy(tls=True), tls=TLSTerms(passthrough=True))

SECURED = """\
client: AUTH TLS
    client: 234 TLS is next. -> TLS
client secured
"""
SIZED = f"""{SECURED}
client: PBSZ 0
    client: 200 PBSZ=0
"""
PRIVATE = f"""{SIZED}
client: PROT P
    client: 200 Data connections have TLS.
"""
LISTENING = """\
client: EPSV
    origin: EPSV
origin: 229 (|||20000|)
    open data, origin 20000, public 20000
data listens
    client: 229 (|||20000|)
"""


def requiring(requirement: Requirement) -> Playbook:
    """A session whose greeting is over, with something that may not be in the clear."""
    return Playbook.opened(attrs.evolve(FLEXIBLE, tls=attrs.evolve(FLEXIBLE.tls, require=requirement)))


@pytest.fixture
def play() -> Playbook:
    """A session whose greeting is over, in the clear, with TLS to be had."""
    return Playbook.opened(FLEXIBLE)


class TestControl:
    @pytest.mark.parametrize("mechanism", ["TLS", "tls", "TLS-C", " TLS "])
    def test_auth(self, play: Playbook, mechanism: str) -> None:
        play(f"""
            client: AUTH {mechanism}
                client: 234 TLS is next. -> TLS
            client secured
            client: USER x
                origin: USER x
        """)

    def test_nothing_happens_in_the_handshake(self, play: Playbook) -> None:
        play("""
            client: AUTH TLS
                client: 234 TLS is next. -> TLS
            client: USER x
            client: PORT 1
            client secured
                origin: USER x
            origin: 331 Password?
                client: 331 Password?
                note commandRefused verb='PORT' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
        """)

    def test_the_handshake_fails(self, play: Playbook) -> None:
        play("""
            client: AUTH TLS
                client: 234 TLS is next. -> TLS
            client fails in TLS: no shared cipher
                note tlsError side='client' reason='no shared cipher'
                note disconnect outcome="client's TLS failed"
                close: client's TLS failed
        """)

    @pytest.mark.parametrize("mechanism", [" GSSAPI", "", " "])
    def test_other_mechanisms_are_unknown(self, play: Playbook, mechanism: str) -> None:
        play(f"""
            client: AUTH{mechanism}
                client: 504 Only AUTH TLS is known here.
        """)

    def test_once_is_enough(self, play: Playbook) -> None:
        play(SECURED)
        play("""
            client: AUTH TLS
                client: 503 The control connection has TLS already.
        """)

    @pytest.mark.parametrize("line", ["PBSZ 0", "PROT P", "CCC"])
    def test_auth_comes_first(self, play: Playbook, line: str) -> None:
        play(f"""
            client: {line}
                client: 503 AUTH TLS comes first.
        """)

    def test_it_stays_protected(self, play: Playbook) -> None:
        play(SECURED)
        play("""
            client: CCC
                client: 534 Denied by policy: the control connection stays protected.
            client: REIN
                note commandRefused verb='REIN' reply='502 REIN is not supported under TLS.'
                client: 502 REIN is not supported under TLS.
        """)

    def test_in_the_clear_there_is_rein(self, play: Playbook) -> None:
        play("""
            client: REIN
                origin: REIN
        """)

    @pytest.mark.parametrize("verb", ["AUTH", "PBSZ", "PROT", "CCC"])
    def test_it_can_be_denied(self, verb: str) -> None:
        play = Playbook.opened(attrs.evolve(FLEXIBLE, policy=Policy(tls=True, deny=frozenset({verb.encode()}))))
        play(f"""
            client: {verb} x
                note commandRefused verb='{verb}' reply='550 Permission denied: command not allowed on this server.'
                client: 550 Permission denied: command not allowed on this server.
        """)

    def test_implicit(self) -> None:
        Playbook(IMPLICIT)("""
            client connects
                note connect
                arm login
                client: TLS
                connect origin
            origin connects
            client: USER x
            origin: 220 Ready
                client: 220 Ready
            client secured
                origin: USER x
            origin: 331 Password?
                client: 331 Password?
            client: AUTH TLS
                client: 503 The control connection has TLS already.
            client: PBSZ 0
                client: 200 PBSZ=0
            client: PROT C
                client: 200 Data connections are in the clear.
        """)


class TestInjection:
    def test_a_command_behind_auth(self, play: Playbook) -> None:
        play("""
            client: PWD
                origin: PWD
            client: AUTH TLS
            client: PASS x
            origin: 257 /
                client: 257 /
                note tlsError side='control' reason='bytes in the clear behind AUTH'
                note disconnect outcome='bytes in the clear behind AUTH'
                close: bytes in the clear behind AUTH
        """)

    def test_bytes_behind_auth(self, play: Playbook) -> None:
        play("""
            client: AUTH TLS
                client: 234 TLS is next. -> TLS
            injected
                note tlsError side='control' reason='bytes in the clear behind AUTH'
                note disconnect outcome='bytes in the clear behind AUTH'
                close: bytes in the clear behind AUTH
        """)

    def test_commands_behind_auth_under_tls(self, play: Playbook) -> None:
        play(SECURED)
        play("""
            client: PWD
                origin: PWD
            client: AUTH TLS
            client: NOOP
            origin: 257 /
                client: 257 /
                client: 503 The control connection has TLS already.
                origin: NOOP
        """)

    def test_auth_that_is_denied_is_a_command_like_others(self) -> None:
        play = Playbook.opened(attrs.evolve(SETTING, policy=Policy()))
        play("""
            client: PWD
                origin: PWD
            client: AUTH TLS
            client: NOOP
            origin: 257 /
                client: 257 /
                note commandRefused verb='AUTH' reply='502 TLS is not available on this server.'
                client: 502 TLS is not available on this server.
                origin: NOOP
        """)


class TestData:
    def test_it_begins_with_the_transfer_command(self, play: Playbook) -> None:
        for script in (PRIVATE, LISTENING):
            play(script)
        play("""
            client: RETR file
                dial data
            data connected
                begin data with TLS
                origin: RETR file
            origin: 150 Here it comes
                begin data with TLS
                client: 150 Here it comes
            data delivered to client
            origin: 226 Done
                release data
                client: 226 Done
        """)

    def test_in_the_clear(self, play: Playbook) -> None:
        for script in (SIZED, LISTENING):
            play(script)
        play("""
            data connected
            client: RETR file
                begin data
                origin: RETR file
        """)

    def test_as_it_is_protected_then(self, play: Playbook) -> None:
        for script in (PRIVATE, LISTENING):
            play(script)
        play("""
            data connected
            client: PROT P
                client: 200 Data connections have TLS.
            client: PROT C
                client: 200 Data connections are in the clear.
            client: PROT C
                client: 200 Data connections are in the clear.
            client: RETR file
                begin data
                origin: RETR file
        """)

    def test_any_1yz_may_mean_that_bytes_move(self, play: Playbook) -> None:
        for script in (PRIVATE, LISTENING):
            play(script)
        play("""
            client: STAT -l
                origin: STAT -l
            origin: 150 Here it comes
                begin data with TLS
                client: 150 Here it comes
            origin: 213 Done
                client: 213 Done
        """)

    def test_without_a_channel_there_is_nothing_to_begin(self, play: Playbook) -> None:
        play(PRIVATE)
        play("""
            client: RETR file
                origin: RETR file
            origin: 150 Here it comes
                client: 150 Here it comes
        """)

    @pytest.mark.parametrize("mechanism", ["SSL", "TLS-P"])
    def test_old_mechanisms_protect_it_at_once(self, play: Playbook, mechanism: str) -> None:
        play(f"""
            client: AUTH {mechanism}
                client: 234 TLS is next. -> TLS
            client secured
        """)
        play(LISTENING)
        play("""
            data connected
            client: RETR file
                begin data with TLS
                origin: RETR file
        """)

    @pytest.mark.parametrize(
        ("level", "reply"),
        [
            ("S", "536 TLS knows the protection levels C and P alone."),
            ("e", "536 TLS knows the protection levels C and P alone."),
            ("X", "504 Unknown protection level."),
            ("", "504 Unknown protection level."),
        ],
    )
    def test_other_levels(self, play: Playbook, level: str, reply: str) -> None:
        play(SIZED)
        play(f"""
            client: PROT {level}
                client: {reply}
        """)

    def test_pbsz_comes_first(self, play: Playbook) -> None:
        play(SECURED)
        play("""
            client: PROT P
                client: 503 PBSZ 0 comes first.
            client: PBSZ 16384
                client: 200 PBSZ=0
            client: PROT P
                client: 200 Data connections have TLS.
        """)

    @pytest.mark.parametrize("reply", ["226 Done", "426 Cut"])
    def test_its_handshake_fails(self, play: Playbook, reply: str) -> None:
        for script in (PRIVATE, LISTENING):
            play(script)
        play(f"""
            data connected
            client: RETR file
                begin data with TLS
                origin: RETR file
            origin: 150 Here it comes
                begin data with TLS
                client: 150 Here it comes
            data ended, insecure
            origin: {reply}
                client: 522 TLS negotiation failed on the data connection; it has to resume the control's session.
            client: RETR file
                origin: RETR file
            origin: 425 Use PASV first
                client: 425 Use PASV first
        """)

    def test_a_held_completion_when_its_handshake_fails(self, play: Playbook) -> None:
        for script in (PRIVATE, LISTENING):
            play(script)
        play("""
            data connected
            client: RETR file
                begin data with TLS
                origin: RETR file
            origin: 226 Done
            data ended, insecure
                client: 522 TLS negotiation failed on the data connection; it has to resume the control's session.
        """)

    def test_the_next_channel_is_judged_by_its_own_handshake(self, play: Playbook) -> None:
        for script in (PRIVATE, LISTENING):
            play(script)
        play("""
            data connected
            data ended, insecure
        """)
        play(LISTENING)
        play("""
            data connected
            client: RETR file
                begin data with TLS
                origin: RETR file
            data ended
            origin: 226 Done
                client: 426 Data connection closed; transfer aborted.
        """)


class TestRequirements:
    @pytest.mark.parametrize("requirement", [Requirement.CONTROL, Requirement.DATA])
    @pytest.mark.parametrize("verb", ["USER", "PASS", "ACCT"])
    def test_no_login_in_the_clear(self, requirement: Requirement, verb: str) -> None:
        play = requiring(requirement)
        play(f"""
            client: {verb} x
                note commandRefused verb='{verb}' reply='530 TLS is required: send AUTH TLS before you log in.'
                client: 530 TLS is required: send AUTH TLS before you log in.
            client: FEAT
                origin: FEAT
            origin: 500 What?
                client: 211-Features:\\r\\n AUTH TLS\\r\\n PBSZ\\r\\n PROT\\r\\n211 End
        """)
        play(SECURED)
        play(f"""
            client: {verb} x
                origin: {verb} x
        """)

    @pytest.mark.parametrize("verb", sorted(verb.decode() for verb, row in VERBS.items() if row.transfers))
    def test_no_data_in_the_clear(self, verb: str) -> None:
        play = requiring(Requirement.DATA)
        play(SIZED)
        reply = "522 TLS is required on data connections: send PBSZ 0 and PROT P."
        play(f"""
            client: {verb}
                note commandRefused verb='{verb}' reply='{reply}'
                client: {reply}
            client: PROT P
                client: 200 Data connections have TLS.
            client: {verb}
                origin: {verb}
        """)

    def test_data_stay_protected(self) -> None:
        play = requiring(Requirement.DATA)
        play(PRIVATE)
        play("""
            client: PROT C
                client: 534 Denied by policy: data connections stay protected.
        """)

    def test_data_may_be_in_the_clear_where_only_the_control_connection_may_not(self) -> None:
        play = requiring(Requirement.CONTROL)
        play(PRIVATE)
        play("""
            client: PROT C
                client: 200 Data connections are in the clear.
            client: RETR file
                origin: RETR file
        """)

    def test_nothing_is_required(self, play: Playbook) -> None:
        play("""
            client: USER x
                origin: USER x
            origin: 230 In
                disarm login
                client: 230 In
            client: XYZZY
                note commandRefused verb='XYZZY' reply='500 Command not understood.'
                client: 500 Command not understood.
            client: RETR file
                origin: RETR file
        """)


class TestFeatures:
    def test_the_origins_are_replaced_by_ours(self, play: Playbook) -> None:
        play("""
            client: FEAT
                origin: FEAT
            origin: 211-Features:\\r\\n AUTH GSSAPI\\r\\n EPRT\\r\\n PBSZ\\r\\n CCC\\r\\n UTF8\\r\\n211 End
                client: 211-Features:\\r\\n UTF8\\r\\n AUTH TLS\\r\\n PBSZ\\r\\n PROT\\r\\n211 End
        """)

    @pytest.mark.parametrize("reply", ["211 No features", "500 What?", "502 Not here"])
    def test_ours_are_there_without_the_origins(self, play: Playbook, reply: str) -> None:
        play(f"""
            client: FEAT
                origin: FEAT
            origin: {reply}
                client: 211-Features:\\r\\n AUTH TLS\\r\\n PBSZ\\r\\n PROT\\r\\n211 End
        """)

    def test_not_before_the_login_where_the_origin_wants_that(self, play: Playbook) -> None:
        play("""
            client: FEAT
                origin: FEAT
            origin: 530 Log in first
                client: 530 Log in first
        """)

    def test_not_what_is_denied(self) -> None:
        play = Playbook.opened(attrs.evolve(FLEXIBLE, policy=Policy(tls=True, deny=frozenset({b"PROT", b"UTF8"}))))
        play("""
            client: FEAT
                origin: FEAT
            origin: 211-Features:\\r\\n UTF8\\r\\n MLST\\r\\n211 End
                client: 211-Features:\\r\\n MLST\\r\\n AUTH TLS\\r\\n PBSZ\\r\\n211 End
        """)


class TestPassthrough:
    def test_auth_is_the_origins_to_answer(self) -> None:
        play = Playbook.opened(PASSTHROUGH, idle=True)
        play("""
            client: AUTH TLS
                arm idle
                origin: AUTH TLS
            origin: 234 At 198.51.100.1
                disarm login
                client: 234 At 192.0.2.1 -> opaque
            opaque bytes
                arm idle
            opaque data channels: 1
                disarm idle
            opaque data channels: 2
            opaque bytes
            opaque data channels: 0
                arm idle
            origin lost
                note disconnect outcome='origin closed the session'
                close: origin closed the session
        """)

    @pytest.mark.parametrize(
        ("event", "outcome"),
        [
            ("client lost", "client lost"),
            ("deadline idle", "idle timeout"),
            ("stopped", "gateway stopped"),
            ("draining", "gateway stopped"),
            ("origin lost", "origin closed the session"),
        ],
    )
    def test_nothing_is_said_in_the_clear_any_more(self, event: str, outcome: str) -> None:
        play = Playbook.opened(PASSTHROUGH)
        play(f"""
            client: AUTH TLS
                origin: AUTH TLS
            origin: 234 Go
                disarm login
                client: 234 Go -> opaque
            {event}
                note disconnect outcome='{outcome}'
                close: {outcome}
        """)

    def test_draining_waits_for_the_data_channels(self) -> None:
        play = Playbook.opened(PASSTHROUGH)
        play("""
            client: AUTH TLS
                origin: AUTH TLS
            origin: 234 Go
                disarm login
                client: 234 Go -> opaque
            opaque data channels: 1
            draining
            opaque data channels: 0
                note disconnect outcome='gateway stopped'
                close: gateway stopped
        """)

    @pytest.mark.parametrize("event", ["client: USER x", "client unclean: NUL"])
    def test_what_comes_behind_auth_ends_it(self, event: str) -> None:
        play = Playbook.opened(PASSTHROUGH)
        play(f"""
            client: AUTH TLS
                origin: AUTH TLS
            {event}
                note tlsError side='control' reason='bytes in the clear behind AUTH'
                note disconnect outcome='bytes in the clear behind AUTH'
                close: bytes in the clear behind AUTH
        """)

    def test_bytes_behind_the_234_end_it(self) -> None:
        play = Playbook.opened(PASSTHROUGH)
        play("""
            client: AUTH TLS
                origin: AUTH TLS
            origin: 234 Go
                disarm login
                client: 234 Go -> opaque
            injected
                note tlsError side='control' reason='bytes in the clear behind AUTH'
                note disconnect outcome='bytes in the clear behind AUTH'
                close: bytes in the clear behind AUTH
        """)

    def test_auth_that_is_refused(self) -> None:
        play = Playbook.opened(PASSTHROUGH)
        play("""
            client: AUTH TLS
                origin: AUTH TLS
            origin: 534 No
                client: 534 No
            client: PBSZ 0
                origin: PBSZ 0
            origin: 503 AUTH first
                client: 503 AUTH first
            client: FEAT
                origin: FEAT
            origin: 211-Features:\\r\\n AUTH TLS\\r\\n EPRT\\r\\n211 End
                client: 211-Features:\\r\\n AUTH TLS\\r\\n211 End
        """)
