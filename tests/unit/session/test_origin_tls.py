"""TLS towards the origin: the gateway's own commands, and their refusals."""

import pytest

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.session import actions as do
from gateway.session.exchanges import By
from gateway.session.origin_tls import Insecure, OriginTLS

FINE = Reply.of(200, "fine")


def asked(origin: OriginTLS) -> Command | None:
    """The next command, which is asked on the gateway's behalf."""
    exchange = origin.next()
    if exchange is None:
        return None
    assert exchange.by is By.GATEWAY
    assert exchange.said is exchange.asked
    return exchange.asked


@pytest.mark.parametrize("implicit", [False, True])
def test_the_commands_in_their_order(implicit: bool) -> None:
    origin = OriginTLS(implicit)
    first = [] if implicit else [Command(b"AUTH", b"TLS")]
    commands = [*first, Command(b"PBSZ", b"0"), Command(b"PROT", b"P"), None]
    assert [asked(origin) for _ in commands] == commands


def test_the_handshake_is_behind_auth_alone() -> None:
    origin = OriginTLS(implicit=False)
    answers = []
    while (exchange := origin.next()) is not None:
        answers.append(origin.answered(exchange, FINE))
    assert answers == [do.StartOriginTLS(), None, None]


@pytest.mark.parametrize("refused", ["AUTH", "PBSZ", "PROT"])
@pytest.mark.parametrize("code", [334, 421, 431, 500, 502, 504, 530, 534])
def test_an_origin_that_refuses(refused: str, code: int) -> None:
    origin = OriginTLS(implicit=False)
    while (exchange := origin.next()) is not None and exchange.asked.verb.decode() != refused:
        origin.answered(exchange, FINE)
    assert exchange is not None
    with pytest.raises(Insecure) as raised:
        origin.answered(exchange, Reply.of(code, "no"))
    assert str(raised.value) == f"{refused} was refused with {code}"
