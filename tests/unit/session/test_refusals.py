"""Refusals that depend on the session's state."""

from ipaddress import ip_address

import attrs
import pytest

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.session.client_tls import CONTROL_REQUIRED, ClientTLS, Requirement, TLSTerms
from gateway.session.policy import ACTIVE_REFUSED, Policy
from gateway.session.refusals import PASV_AFTER_ALL, PASV_OVER_IPV6, REIN_UNDER_TLS, refusal
from tests.unit.session.playbook import OVER_IPV6, SETTING

TERMS = TLSTerms(terminates=True, require=Requirement.CONTROL)
SECURE = attrs.evolve(SETTING, policy=Policy(tls=True), tls=TERMS)


def secured() -> ClientTLS:
    client_tls = ClientTLS(TERMS)
    client_tls.implicit()
    client_tls.secured()
    return client_tls


@pytest.mark.parametrize(
    ("verb", "extended_only", "reply"),
    [
        (b"PASV", False, None),
        (b"PASV", True, PASV_AFTER_ALL),
        (b"EPSV", True, None),
        (b"REIN", True, None),
        (b"PORT", False, ACTIVE_REFUSED),
    ],
)
def test_in_the_clear(verb: bytes, extended_only: bool, reply: Reply | None) -> None:
    assert refusal(Command(verb), SETTING, ClientTLS(TLSTerms()), extended_only) == reply


def test_pasv_over_ipv6() -> None:
    assert refusal(Command(b"PASV"), OVER_IPV6, ClientTLS(TLSTerms()), False) == PASV_OVER_IPV6
    assert refusal(Command(b"PASV"), OVER_IPV6, ClientTLS(TLSTerms()), True) == PASV_AFTER_ALL
    mapped = attrs.evolve(SETTING, client=ip_address("203.0.113.9"))
    assert refusal(Command(b"PASV"), mapped, ClientTLS(TLSTerms()), False) is None


def test_under_tls() -> None:
    assert refusal(Command(b"REIN"), SECURE, secured(), False) == REIN_UNDER_TLS
    assert refusal(Command(b"USER"), SECURE, secured(), False) is None
    assert refusal(Command(b"USER"), SECURE, ClientTLS(TERMS), False) == CONTROL_REQUIRED
