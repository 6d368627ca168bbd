"""The judge with TLS, by playbooks: see playbook.py for how to read them."""

import attrs
import pytest

from gateway.session.client_tls import Requirement, TLSTerms
from gateway.session.policy import Policy
from gateway.session.setting import Setting
from tests.unit.session.playbook import SETTING, Playbook

POLICY = Policy(tls=True)
FLEXIBLE = attrs.evolve(SETTING, policy=POLICY, tls=TLSTerms(terminates=True))
IMPLICIT = attrs.evolve(SETTING, policy=POLICY, tls=TLSTerms(terminates=True, implicit=True))
FULL = attrs.evolve(SETTING, policy=POLICY, tls=TLSTerms(terminates=True, to_origin=True))
FULL_IMPLICIT = attrs.evolve(
    SETTING, policy=POLICY, tls=TLSTerms(terminates=True, to_origin=True, origin_implicit=True)
)
PASSTHROUGH = attrs.evolve(SETTING, policy=POLICY, tls=TLSTerms(passthrough=True))

AUTH = """
client: AUTH TLS
    client TLS behind: 234 TLS is next.
client secured
"""
PRIVATE = f"""{AUTH}
client: PBSZ 0
    client: 200 PBSZ=0
client: PROT P
    client: 200 Data connections have TLS.
"""
LISTENING = """
client: EPSV
    origin: EPSV
origin: 229 Extended Passive (|||20000|)
    open data, origin 20000, public 20000
data listens
    client: 229 Extended Passive (|||20000|)
"""
CONNECTED = LISTENING + "data connected\n"


ASKED = """
client connects
    arm login
    connect origin
origin connects
origin: 220 Ready
    origin: AUTH TLS
"""
SECURED = f"""{ASKED}
origin: 234 go
    origin TLS
origin secured
    origin: PBSZ 0
origin: 200 fine
    origin: PROT P
origin: 200 fine
    client: 220 Ready
"""
OPAQUE = """
client: AUTH TLS
    origin: AUTH TLS
origin: 234 go
    disarm login
    opaque behind: 234 go
"""


def opened(setting: Setting) -> Playbook:
    """A session whose greeting is over."""
    if not setting.tls.to_origin:
        return Playbook.opened(setting)
    play = Playbook(setting)
    play(SECURED)
    return play


def opaque(*, idle: bool = False) -> Playbook:
    """A session that the gateway cannot read any more."""
    play = Playbook.opened(PASSTHROUGH)
    play(OPAQUE)
    play.idle = idle
    return play


class TestOff:
    @pytest.mark.parametrize("command", ["AUTH TLS", "AUTH SSL", "PBSZ 0", "PROT P", "CCC"])
    def test_all_of_it_is_refused(self, command: str) -> None:
        Playbook.opened()(f"""
            client: {command}
                note commandRefused verb='{command[:4].strip()}' reply='502 TLS is not available on this server.'
                client: 502 TLS is not available on this server.
        """)

    def test_what_is_behind_auth_goes_on(self) -> None:
        Playbook.opened()("""
            client: NOOP
                origin: NOOP
            client: AUTH TLS
            client: SYST
            origin: 200 fine
                client: 200 fine
                note commandRefused verb='AUTH' reply='502 TLS is not available on this server.'
                client: 502 TLS is not available on this server.
                origin: SYST
        """)


class TestClient:
    def test_the_dialogue_stays_here(self) -> None:
        play = Playbook.opened(FLEXIBLE)
        play(PRIVATE)
        play("""
            client: PROT C
                client: 200 Data connections are in the clear.
            client: PROT E
                client: 536 TLS knows the protection levels C and P alone.
            client: PROT S
                client: 536 TLS knows the protection levels C and P alone.
            client: PROT X
                client: 504 Unknown protection level.
            client: CCC
                client: 534 Denied by policy: the control connection stays protected.
            client: AUTH TLS
                client: 503 The control connection has TLS already.
            client: NOOP
                origin: NOOP
        """)

    def test_the_order_is_kept(self) -> None:
        play = Playbook.opened(FLEXIBLE)
        play("""
            client: PROT P
                client: 503 AUTH TLS comes first.
            client: AUTH GSSAPI
                client: 504 Only AUTH TLS is known here.
        """)
        play(AUTH)
        play("""
            client: PROT P
                client: 503 PBSZ 0 comes first.
        """)

    def test_commands_wait_for_the_handshake(self) -> None:
        Playbook.opened(FLEXIBLE)("""
            client: AUTH TLS
                client TLS behind: 234 TLS is next.
            client: SYST
            client secured
                origin: SYST
        """)

    def test_auth_waits_for_its_turn(self) -> None:
        Playbook.opened(FLEXIBLE)("""
            client: NOOP
                origin: NOOP
            client: AUTH TLS
            origin: 200 fine
                client: 200 fine
                client TLS behind: 234 TLS is next.
        """)

    def test_auth_waits_for_the_end_of_a_transfer(self) -> None:
        play = Playbook.opened(FLEXIBLE)
        play(CONNECTED)
        play("""
            client: RETR file
                begin data to client, clear
                origin: RETR file
            origin: 150 coming
                begin data to client, clear
                client: 150 coming
            client: AUTH TLS
            data delivered to client
            origin: 226 done
                release data
                client: 226 done
                client TLS behind: 234 TLS is next.
        """)

    def test_a_handshake_that_fails_ends_the_session(self) -> None:
        Playbook.opened(FLEXIBLE)("""
            client: AUTH TLS
                client TLS behind: 234 TLS is next.
            client TLS fails: wrong version number
                note tlsError side='client' reason='wrong version number'
                close: client's TLS failed
        """)

    def test_a_handshake_that_takes_too_long(self) -> None:
        Playbook.opened(FLEXIBLE)("""
            client: AUTH TLS
                client TLS behind: 234 TLS is next.
            deadline login
                client: 421 Login timeout; closing control connection.
                close: login timeout
        """)

    def test_implicit(self) -> None:
        Playbook(IMPLICIT)("""
            client connects
                arm login
                client TLS
                connect origin
            origin connects
            origin: 220 Ready
                client: 220 Ready
            client secured
            client: AUTH TLS
                client: 503 The control connection has TLS already.
            client: PBSZ 0
                client: 200 PBSZ=0
        """)

    def test_implicit_without_a_handshake(self) -> None:
        Playbook(IMPLICIT)("""
            client connects
                arm login
                client TLS
                connect origin
            client TLS fails: http request
                note tlsError side='client' reason='http request'
                close: client's TLS failed
        """)

    def test_rein_is_for_the_clear_alone(self) -> None:
        play = Playbook.opened(FLEXIBLE)
        play("""
            client: REIN
                origin: REIN
            origin: 220 again
                client: 220 again
        """)
        play(AUTH)
        play("""
            client: REIN
                note commandRefused verb='REIN' reply='502 REIN is not supported under TLS.'
                client: 502 REIN is not supported under TLS.
        """)

    def test_denied_all_the_same(self) -> None:
        Playbook.opened(attrs.evolve(FLEXIBLE, policy=Policy(tls=True, deny=frozenset({b"AUTH"}))))("""
            client: AUTH TLS
                note commandRefused verb='AUTH' reply='550 Permission denied: command not allowed on this server.'
                client: 550 Permission denied: command not allowed on this server.
        """)


class TestInjection:
    """Law 11."""

    ENDS = """
    note tlsError side='control' reason='bytes in the clear behind AUTH'
    close: bytes in the clear behind AUTH
"""

    @pytest.mark.parametrize("behind", ["client: USER x", "client unclean: NUL"])
    @pytest.mark.parametrize("setting", [FLEXIBLE, FULL, PASSTHROUGH], ids=["flexible", "full", "passthrough"])
    def test_commands_behind_auth_before_its_turn(self, setting: Setting, behind: str) -> None:
        opened(setting)(f"""
client: NOOP
    origin: NOOP
client: AUTH TLS
{behind}
origin: 200 fine
    client: 200 fine
{self.ENDS}""")

    @pytest.mark.parametrize("behind", ["client: USER x", "client: ", "client unclean: TOO_LONG"])
    def test_commands_ahead_of_the_origins_234(self, behind: str) -> None:
        Playbook.opened(PASSTHROUGH)(f"""
client: AUTH TLS
    origin: AUTH TLS
{behind}
{self.ENDS}""")

    def test_bytes_that_the_hands_see(self) -> None:
        Playbook.opened(FLEXIBLE)(f"""
client: AUTH TLS
    client TLS behind: 234 TLS is next.
bytes in the clear
{self.ENDS}""")

    def test_bytes_around_the_origins_234(self) -> None:
        Playbook.opened(PASSTHROUGH)(f"{OPAQUE}bytes in the clear{self.ENDS}")

    def test_bytes_behind_the_234_that_the_gateway_asked_for(self) -> None:
        Playbook(FULL)(f"""{ASKED}
origin: 234 go
    origin TLS
bytes in the clear
    note tlsError side='control' reason='bytes in the clear behind AUTH'
    client: 421 Service not available; closing control connection.
    close: bytes in the clear behind AUTH
""")


class TestOrigin:
    def test_it_is_secure_before_the_client_is_greeted(self) -> None:
        Playbook(attrs.evolve(FULL, banner="ready"), idle=True)(f"""{ASKED}
client: USER x
origin: 120 a moment
origin: 234 go
    origin TLS
origin secured
    origin: PBSZ 0
origin: 200 fine
    origin: PROT P
origin: 200 fine
    arm idle
    client: 220 ready
    origin: USER x
""")

    def test_a_reply_that_nobody_asked_for(self) -> None:
        Playbook(FULL, idle=True)(f"""{ASKED}
origin: 234 go
    origin TLS
origin: 200 fine
    note tlsError side='origin' reason='reply to no command'
    client: 421 Service not available; closing control connection.
    close: origin's TLS failed
""")

    def test_implicit(self) -> None:
        Playbook(FULL_IMPLICIT)("""
            client connects
                arm login
                connect origin
            origin connects
                origin TLS
            origin secured
            origin: 220 Ready
                origin: PBSZ 0
            origin: 200 fine
                origin: PROT P
            origin: 200 fine
                client: 220 Ready
        """)

    def test_implicit_with_the_wrong_certificate(self) -> None:
        Playbook(FULL_IMPLICIT)("""
            client connects
                arm login
                connect origin
            origin connects
                origin TLS
            origin TLS fails: certificate has expired
                note tlsError side='origin' reason='certificate has expired'
                client: 421 Service not available; closing control connection.
                close: origin's TLS failed
        """)

    @pytest.mark.parametrize(
        ("script", "refused"),
        [
            ("origin: 502 no TLS here", "AUTH was refused with 502"),
            (
                "origin: 234 go\n    origin TLS\norigin secured\n    origin: PBSZ 0\norigin: 503 no",
                "PBSZ was refused with 503",
            ),
            (
                "origin: 234 go\n    origin TLS\norigin secured\n    origin: PBSZ 0\n"
                "origin: 200 fine\n    origin: PROT P\norigin: 536 no",
                "PROT was refused with 536",
            ),
            (
                "origin: 234 go\n    origin TLS\norigin TLS fails: certificate is not for x",
                "certificate is not for x",
            ),
            ("origin: 234 go\n    origin TLS\ndeadline login", "not secure in time"),
            ("deadline login", "not secure in time"),
        ],
    )
    def test_there_is_no_way_on_in_the_clear(self, script: str, refused: str) -> None:
        Playbook(FULL)(f"""{ASKED}
{script}
    note tlsError side='origin' reason='{refused}'
    client: 421 Service not available; closing control connection.
    close: origin's TLS failed
""")

    def test_an_origin_that_goes_away_meanwhile(self) -> None:
        Playbook(FULL)(f"""{ASKED}
origin lost
    note tlsError side='origin' reason='connection lost'
    client: 421 Service not available; closing control connection.
    close: origin's TLS failed
""")

    def test_an_origin_that_refuses_the_session(self) -> None:
        Playbook(FULL)("""
            client connects
                arm login
                connect origin
            origin connects
            origin: 530 too many
                client: 530 too many
                close: origin refused the session
        """)

    def test_the_clients_side_is_its_own_matter(self) -> None:
        play = opened(FULL)
        play("""
            client: PROT P
                client: 503 AUTH TLS comes first.
        """)
        play(PRIVATE)


class TestFeatures:
    ACTIVE = " EPRT\\r\\n"
    ORIGINS = f"211-Features:\\r\\n{ACTIVE} AUTH SSL\\r\\n PBSZ\\r\\n PROT\\r\\n CCC\\r\\n SIZE\\r\\n211 End"

    @pytest.mark.parametrize("setting", [FLEXIBLE, FULL], ids=["flexible", "full"])
    def test_the_gateways_take_the_place_of_the_origins(self, setting: Setting) -> None:
        opened(setting)(f"""
            client: FEAT
                origin: FEAT
            origin: {self.ORIGINS}
                client: 211-Features:\\r\\n SIZE\\r\\n AUTH TLS\\r\\n PBSZ\\r\\n PROT\\r\\n211 End
        """)

    @pytest.mark.parametrize("reply", ["211 No features", "500 What?", "502 Not here."])
    def test_an_origin_without_features(self, reply: str) -> None:
        Playbook.opened(FLEXIBLE)(f"""
            client: FEAT
                origin: FEAT
            origin: {reply}
                client: 211-Features:\\r\\n AUTH TLS\\r\\n PBSZ\\r\\n PROT\\r\\n211 End
        """)

    def test_an_origin_that_does_not_say_yet(self) -> None:
        Playbook.opened(FLEXIBLE)("""
            client: FEAT
                origin: FEAT
            origin: 530 Log in first.
                client: 530 Log in first.
        """)

    def test_what_is_denied_is_not_offered(self) -> None:
        policy = Policy(tls=True, deny=frozenset({b"PROT", b"SIZE"}))
        Playbook.opened(attrs.evolve(FLEXIBLE, policy=policy))(f"""
            client: FEAT
                origin: FEAT
            origin: {self.ORIGINS}
                client: 211-Features:\\r\\n AUTH TLS\\r\\n PBSZ\\r\\n211 End
        """)

    def test_the_origins_own_in_passthrough(self) -> None:
        Playbook.opened(PASSTHROUGH)(f"""
            client: FEAT
                origin: FEAT
            origin: {self.ORIGINS}
                client: {self.ORIGINS.replace(self.ACTIVE, "")}
        """)


class TestRequirements:
    @pytest.mark.parametrize("require", [Requirement.CONTROL, Requirement.DATA])
    @pytest.mark.parametrize("command", ["USER x", "PASS x", "ACCT x"])
    def test_no_login_in_the_clear(self, require: Requirement, command: str) -> None:
        terms = TLSTerms(terminates=True, require=require)
        play = Playbook.opened(attrs.evolve(FLEXIBLE, tls=terms))
        play(f"""
            client: {command}
                note commandRefused verb='{command[:4]}' reply='530 TLS is required: send AUTH TLS before you log in.'
                client: 530 TLS is required: send AUTH TLS before you log in.
        """)
        play(AUTH)
        play(f"""
            client: {command}
                origin: {command}
        """)

    @pytest.mark.parametrize("command", ["RETR x", "STOR x", "LIST"])
    def test_no_transfer_in_the_clear(self, command: str) -> None:
        terms = TLSTerms(terminates=True, require=Requirement.DATA)
        play = Playbook.opened(attrs.evolve(FLEXIBLE, tls=terms))
        reply = "522 TLS is required on data connections: send PBSZ 0 and PROT P."
        refused = f"""
            client: {command}
                note commandRefused verb='{command[:4]}' reply='{reply}'
                client: {reply}
        """
        play(refused)
        play(AUTH)
        play(refused)
        play("""
            client: PBSZ 0
                client: 200 PBSZ=0
            client: PROT C
                client: 534 Denied by policy: data connections stay protected.
        """)
        play(refused)
        play("""
            client: PROT P
                client: 200 Data connections have TLS.
        """)
        play(f"""
            client: {command}
                origin: {command}
        """)


class TestData:
    def private(self) -> Playbook:
        play = Playbook.opened(FLEXIBLE)
        play(PRIVATE + CONNECTED)
        return play

    def test_a_transfer_begins_with_its_command(self) -> None:
        self.private()("""
            client: STOR file
                begin data to origin, secure
                origin: STOR file
            origin: 150 go on
                begin data to origin, secure
                client: 150 go on
            data delivered to origin
            origin: 226 done
                release data
                client: 226 done
        """)

    def test_a_transfer_that_waits_for_the_dial_begins_behind_it(self) -> None:
        play = Playbook.opened(FLEXIBLE)
        play(AUTH + LISTENING)
        play("""
            client: RETR file
                dial data
            data connected
                begin data to client, clear
                origin: RETR file
        """)

    def test_what_moves_bytes_without_being_known_to_begins_with_its_1yz(self) -> None:
        self.private()("""
            client: SITE LIST
                origin: SITE LIST
            origin: 150 here
                begin data, secure
                client: 150 here
            origin: 226 done
                client: 226 done
        """)

    def test_nothing_begins_without_a_channel(self) -> None:
        play = Playbook.opened(FLEXIBLE)
        play(PRIVATE)
        play("""
            client: RETR file
                origin: RETR file
            origin: 425 No port.
                client: 425 No port.
        """)

    @pytest.mark.parametrize("reply", ["426 cut", "226 done", "425 nobody", "550 no"])
    def test_a_handshake_that_fails_is_told_as_522(self, reply: str) -> None:
        play = self.private()
        play(f"""
client: RETR file
    begin data to client, secure
    origin: RETR file
origin: 150 coming
    begin data to client, secure
    client: 150 coming
data ended, insecure
origin: {reply}
    client: 522 TLS negotiation failed on the data connection; it has to resume the control's session.
""")

    def test_a_handshake_that_fails_behind_the_completion(self) -> None:
        play = self.private()
        play("""
            client: RETR file
                begin data to client, secure
                origin: RETR file
            origin: 150 coming
                begin data to client, secure
                client: 150 coming
            origin: 226 done
            data ended, insecure
                client: 522 TLS negotiation failed on the data connection; it has to resume the control's session.
        """)
        # and the next one is judged by itself
        play(CONNECTED)
        play("""
            client: RETR file
                begin data to client, secure
                origin: RETR file
            data delivered to client
            origin: 226 done
                release data
                client: 226 done
        """)

    def test_a_handshake_that_fails_under_an_abort(self) -> None:
        self.private()("""
            client: RETR file
                begin data to client, secure
                origin: RETR file
            origin: 150 coming
                begin data to client, secure
                client: 150 coming
            client: ABOR
                origin: ABOR
            data ended, insecure
            origin: 426 aborted
                client: 426 aborted
                arm grace
            origin: 226 aborted
                disarm grace
                client: 226 aborted
        """)

    def test_a_channel_that_is_cut_is_no_matter_of_tls(self) -> None:
        self.private()("""
            client: RETR file
                begin data to client, secure
                origin: RETR file
            data ended
            origin: 226 done
                client: 426 Data connection closed; transfer aborted.
        """)


class TestPassthrough:
    def test_what_the_origin_refuses(self) -> None:
        Playbook.opened(PASSTHROUGH)("""
            client: AUTH TLS
                origin: AUTH TLS
            origin: 504 unknown
                client: 504 unknown
            client: PBSZ 0
                origin: PBSZ 0
            origin: 503 AUTH first
                client: 503 AUTH first
            client: USER x
                origin: USER x
        """)

    def test_an_answer_that_needs_more(self) -> None:
        Playbook.opened(PASSTHROUGH)("""
            client: AUTH GSSAPI
                origin: AUTH GSSAPI
            origin: 334 go on
                client: 334 go on
            client: ADAT x
                note commandRefused verb='ADAT' reply='502 Command not supported.'
                client: 502 Command not supported.
        """)

    def test_a_session_in_the_clear_is_protected_as_ever(self) -> None:
        play = Playbook.opened(PASSTHROUGH)
        play("""
            client: PORT 127,0,0,1,4,1
                note commandRefused verb='PORT' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
        """)
        play(CONNECTED)
        play("""
            client: RETR file
                origin: RETR file
            origin: 150 coming
                client: 150 coming
            data delivered to client
            origin: 226 done
                release data
                client: 226 done
        """)

    def test_a_channel_from_before_goes_its_own_way(self) -> None:
        play = Playbook.opened(PASSTHROUGH)
        play(LISTENING)
        play(OPAQUE)
        play("data ended")

    def test_bytes_and_channels_keep_it_from_being_idle(self) -> None:
        opaque(idle=True)("""
            opaque bytes
                arm idle
            opaque channels: 2
                disarm idle
            opaque bytes
            opaque channels: 1
            opaque channels: 0
                arm idle
            deadline idle
                close: idle timeout
        """)

    @pytest.mark.parametrize(
        ("event", "outcome"),
        [
            ("client lost", "client lost"),
            ("origin lost", "origin closed the session"),
            ("stopped", "gateway stopped"),
            ("draining", "gateway stopped"),
        ],
    )
    def test_it_ends_without_a_word_of_the_gateways(self, event: str, outcome: str) -> None:
        opaque()(f"""
            {event}
                close: {outcome}
        """)

    def test_channels_may_end_when_the_gateway_is_to_stop(self) -> None:
        opaque()("""
            opaque channels: 1
            draining
            opaque bytes
            opaque channels: 0
                close: gateway stopped
        """)
