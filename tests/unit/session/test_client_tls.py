"""The protection of the client's side, and the commands to the origin that protect its side."""

import pytest

from gateway.ftp.commands import VERBS, Command, Kind
from gateway.ftp.replies import Reply
from gateway.session.client_tls import (
    ALREADY,
    AUTH_FIRST,
    BUFFER_SIZE,
    CLEAR_DENIED,
    CONTROL_REQUIRED,
    DATA_REQUIRED,
    NO_SUCH_PROTECTION,
    PBSZ_FIRST,
    POLICY,
    PROTECTION_CLEAR,
    PROTECTION_PRIVATE,
    STARTING,
    UNKNOWN_MECHANISM,
    UNKNOWN_PROTECTION,
    ClientTLS,
    Requirement,
    TLSTerms,
)

LOGIN = [b"USER", b"PASS", b"ACCT"]
TRANSFERS = [verb for verb, row in VERBS.items() if row.kind in (Kind.TO_CLIENT, Kind.TO_ORIGIN)]


def security(require: Requirement = Requirement.NONE) -> ClientTLS:
    return ClientTLS(TLSTerms(terminates=True, require=require))


def secured(require: Requirement = Requirement.NONE, mechanism: bytes = b"TLS") -> ClientTLS:
    """The handshake is over."""
    one = security(require)
    assert answer(one, b"AUTH " + mechanism) == STARTING
    one.secured()
    return one


def answer(one: ClientTLS, line: bytes) -> Reply:
    return one.answer(Command.parse(line))


# The codes are those of RFC 4217 sections 4, 8 and 9, and of RFC 2228 section 5.


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (STARTING, 234),
        (ALREADY, 503),
        (UNKNOWN_MECHANISM, 504),
        (AUTH_FIRST, 503),
        (PBSZ_FIRST, 503),
        (BUFFER_SIZE, 200),
        (PROTECTION_CLEAR, 200),
        (PROTECTION_PRIVATE, 200),
        (UNKNOWN_PROTECTION, 504),
        (NO_SUCH_PROTECTION, 536),
        (POLICY, 534),
        (CLEAR_DENIED, 534),
        (CONTROL_REQUIRED, 530),
        (DATA_REQUIRED, 522),
    ],
)
def test_codes(reply: Reply, code: int) -> None:
    assert reply.code == code


@pytest.mark.parametrize("line", [b"AUTH TLS", b"AUTH tls", b"AUTH TLS-C", b"AUTH SSL", b"AUTH TLS-P", b"AUTH  TLS "])
def test_mechanisms(line: bytes) -> None:
    one = security()
    assert not one.starting
    assert answer(one, line) == STARTING
    assert one.starting and not one.secure and not one.private
    one.secured()
    assert one.secure and not one.starting


@pytest.mark.parametrize("line", [b"AUTH", b"AUTH ", b"AUTH GSSAPI", b"AUTH KERBEROS_V4", b"AUTH TLS SSL"])
def test_mechanisms_that_are_not_known(line: bytes) -> None:
    one = security()
    assert answer(one, line) == UNKNOWN_MECHANISM
    assert not one.starting
    assert answer(one, b"AUTH TLS") == STARTING


@pytest.mark.parametrize(
    ("mechanism", "private"), [(b"TLS", False), (b"TLS-C", False), (b"SSL", True), (b"TLS-P", True)]
)
def test_protection_behind_a_mechanism(mechanism: bytes, private: bool) -> None:
    assert secured(mechanism=mechanism).private is private


def test_implicit_tls_protects_data_at_once() -> None:
    one = ClientTLS(TLSTerms(terminates=True, implicit=True))
    one.implicit()
    assert one.starting and not one.private
    one.secured()
    assert one.secure and one.private
    assert answer(one, b"AUTH TLS") == ALREADY


@pytest.mark.parametrize("line", [b"PBSZ 0", b"PROT P", b"PROT C", b"PROT", b"CCC"])
def test_nothing_comes_before_auth(line: bytes) -> None:
    one = security()
    assert answer(one, line) == AUTH_FIRST
    assert not one.starting and not one.secure
    # nor is it kept for later
    assert answer(one, b"AUTH TLS") == STARTING
    one.secured()
    assert answer(one, b"PROT P") == PBSZ_FIRST


def test_the_dialogue() -> None:
    one = secured()
    assert answer(one, b"AUTH TLS") == ALREADY
    assert answer(one, b"PROT P") == PBSZ_FIRST
    assert not one.private
    assert answer(one, b"PBSZ 0") == BUFFER_SIZE
    assert answer(one, b"PROT P") == PROTECTION_PRIVATE
    assert one.private
    assert answer(one, b"PROT p") == PROTECTION_PRIVATE
    assert answer(one, b"PROT C") == PROTECTION_CLEAR
    assert not one.private and one.secure
    assert answer(one, b"PROT C") == PROTECTION_CLEAR


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"PROT S", NO_SUCH_PROTECTION),
        (b"PROT e", NO_SUCH_PROTECTION),
        (b"PROT X", UNKNOWN_PROTECTION),
        (b"PROT PC", UNKNOWN_PROTECTION),
        (b"PROT", UNKNOWN_PROTECTION),
        (b"CCC", POLICY),
        (b"PBSZ 16384", BUFFER_SIZE),
    ],
)
@pytest.mark.parametrize("private", [False, True])
def test_what_changes_no_protection(line: bytes, reply: Reply, private: bool) -> None:
    one = secured()
    answer(one, b"PBSZ 0")
    answer(one, b"PROT P" if private else b"PROT C")
    assert answer(one, line) == reply
    assert one.secure and one.private is private


# What may not be in the clear


@pytest.mark.parametrize("verb", [*LOGIN, *TRANSFERS, b"NOOP", b"PASV", b"EPSV", b"FEAT", b"QUIT", b"AUTH", b"PBSZ"])
@pytest.mark.parametrize("require", Requirement)
def test_refusals(verb: bytes, require: Requirement) -> None:
    login_refused = CONTROL_REQUIRED if verb in LOGIN and require is not Requirement.NONE else None
    transfer_refused = DATA_REQUIRED if verb in TRANSFERS and require is Requirement.DATA else None
    command = Command(verb, b"x")

    assert security(require).refusal(command) == (login_refused or transfer_refused)
    one = secured(require)
    assert one.refusal(command) == transfer_refused
    answer(one, b"PBSZ 0")
    answer(one, b"PROT P")
    assert one.refusal(command) is None


def test_data_that_must_be_protected_stays_so() -> None:
    one = secured(Requirement.DATA)
    answer(one, b"PBSZ 0")
    answer(one, b"PROT P")
    assert answer(one, b"PROT C") == CLEAR_DENIED
    assert one.private


def test_data_may_be_clear_where_control_alone_must_not() -> None:
    one = secured(Requirement.CONTROL)
    answer(one, b"PBSZ 0")
    assert answer(one, b"PROT C") == PROTECTION_CLEAR
    assert one.refusal(Command(b"RETR", b"x")) is None
