"""The commands that are refused."""

import pytest

from gateway.ftp.commands import VERBS, Command, Kind
from gateway.session.policy import (
    ACTIVE_REFUSED,
    DENIED,
    HIDING_REFUSED,
    NOT_UNDERSTOOD,
    READ_ONLY,
    TLS_REFUSED,
    Policy,
)

REFUSED = {Kind.ACTIVE: ACTIVE_REFUSED, Kind.HIDING: HIDING_REFUSED, Kind.TLS: TLS_REFUSED}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_known_verbs(verb: bytes) -> None:
    assert Policy().refusal(Command(verb)) == REFUSED.get(VERBS[verb].kind)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_read_only_origin(verb: bytes) -> None:
    row = VERBS[verb]
    assert Policy(read_only=True).refusal(Command(verb)) == REFUSED.get(row.kind, READ_ONLY if row.writes else None)


def test_unknown_verbs() -> None:
    policy = Policy(allow=frozenset({b"XYZZY"}))
    assert policy.refusal(Command(b"XYZZY")) is None
    assert policy.refusal(Command(b"XYZZ")) is NOT_UNDERSTOOD
    assert policy.refusal(Command(b"")) is NOT_UNDERSTOOD


@pytest.mark.parametrize("verb", sorted(verb for verb, row in VERBS.items() if row.kind in REFUSED))
def test_what_is_never_relayed_cannot_be_allowed(verb: bytes) -> None:
    assert Policy(allow=frozenset({verb})).refusal(Command(verb)) is REFUSED[VERBS[verb].kind]


def test_denied_verbs() -> None:
    policy = Policy(allow=frozenset({b"XYZZY"}), deny=frozenset({b"XYZZY", b"STOR", b"PORT"}), read_only=True)
    assert policy.refusal(Command(b"XYZZY")) is DENIED
    assert policy.refusal(Command(b"STOR")) is DENIED
    assert policy.refusal(Command(b"PORT")) is ACTIVE_REFUSED
    assert policy.refusal(Command(b"RETR")) is None


def test_what_features_must_not_offer() -> None:
    never = {*b"PORT EPRT LPRT LPSV MIC CONF ENC ADAT AUTH PBSZ PROT CCC".split()}
    assert Policy().hidden == never
    assert Policy(deny=frozenset({b"MLST", b"XYZZY"})).hidden == never | {b"MLST", b"XYZZY"}
    assert Policy(read_only=True).hidden == never | {verb for verb, row in VERBS.items() if row.writes}
