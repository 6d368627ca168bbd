"""TLS towards the origin, by playbooks: see playbook.py for how to read them."""

import attrs
import pytest

from gateway.session.security import TLSTerms
from tests.unit.session.playbook import SETTING, Playbook

FULL = attrs.evolve(SETTING, tls=TLSTerms(to_origin=True))
IMPLICIT = attrs.evolve(SETTING, tls=TLSTerms(to_origin=True, origin_implicit=True))

GREETED = """\
client connects
    note connect
    arm login
    connect origin
origin connects
origin: 120 Wait
    client: 120 Wait
origin: 220 Ready
    origin: AUTH TLS
"""
SECURED = f"""{GREETED}
origin: 234 Go
    origin: TLS
origin secured
    origin: PBSZ 0
"""


@pytest.fixture
def play() -> Playbook:
    """A session that has not begun."""
    return Playbook(FULL, idle=True)


def test_the_client_is_greeted_once_the_origin_is_secure(play: Playbook) -> None:
    play(SECURED)
    play("""
        client: USER x
        origin: 200 PBSZ=0
            origin: PROT P
        origin: 200 Private
            arm idle
            client: 220 Ready
            origin: USER x
    """)


def test_the_banner_is_shown_then() -> None:
    play = Playbook(attrs.evolve(FULL, banner="hello"))
    play(SECURED)
    play("""
        origin: 200 PBSZ=0
            origin: PROT P
        origin: 200 Private
            client: 220 hello
    """)


def test_implicit() -> None:
    Playbook(IMPLICIT)("""
        client connects
            note connect
            arm login
            connect origin
        origin connects
            origin: TLS
        origin secured
        origin: 220 Ready
            origin: PBSZ 0
        origin: 200 PBSZ=0
            origin: PROT P
        origin: 200 Private
            client: 220 Ready
    """)


@pytest.mark.parametrize(
    ("before", "verb"),
    [
        (GREETED, "AUTH"),
        (SECURED, "PBSZ"),
        (SECURED + "origin: 200 PBSZ=0\n    origin: PROT P\n", "PROT"),
    ],
)
@pytest.mark.parametrize("code", [421, 500, 534])
def test_what_the_origin_refuses_ends_the_session(play: Playbook, before: str, verb: str, code: int) -> None:
    play(before)
    play(f"""
        origin: {code} No
            note tlsError side='origin' reason='{verb} was refused with {code}'
            client: 421 Service not available; closing control connection.
            note disconnect outcome="origin's TLS failed"
            close: origin's TLS failed
    """)


def test_1yz_is_no_answer(play: Playbook) -> None:
    play(GREETED)
    play("""
        origin: 120 Wait
        origin: 234 Go
            origin: TLS
    """)


def test_the_handshake_fails() -> None:
    play = Playbook(IMPLICIT)
    play("""
        client connects
            note connect
            arm login
            connect origin
        origin connects
            origin: TLS
        origin fails in TLS: the certificate is another's
            note tlsError side='origin' reason="the certificate is another's"
            client: 421 Service not available; closing control connection.
            note disconnect outcome="origin's TLS failed"
            close: origin's TLS failed
    """)


def test_bytes_in_the_clear_behind_the_234(play: Playbook) -> None:
    play(GREETED)
    play("""
        origin: 234 Go
            origin: TLS
        injected
            note tlsError side='control' reason='bytes in the clear behind AUTH'
            client: 421 Service not available; closing control connection.
            note disconnect outcome='bytes in the clear behind AUTH'
            close: bytes in the clear behind AUTH
    """)


def test_it_takes_too_long(play: Playbook) -> None:
    play(GREETED)
    play("""
        deadline login
            note tlsError side='origin' reason='not secure in time'
            client: 421 Service not available; closing control connection.
            note disconnect outcome="origin's TLS failed"
            close: origin's TLS failed
    """)


@pytest.mark.parametrize(
    ("event", "outcome", "reply"),
    [
        ("draining", "gateway stopped", "421 Service is shutting down; closing control connection."),
        ("stopped", "gateway stopped", "421 Service is shutting down; closing control connection."),
    ],
)
def test_it_is_cut_short(play: Playbook, event: str, outcome: str, reply: str) -> None:
    play(GREETED)
    play(f"""
        {event}
            client: {reply}
            note disconnect outcome='{outcome}'
            close: {outcome}
    """)
