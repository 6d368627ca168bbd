"""The effects of final replies, by the verb that they answer."""

import pytest

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.session.effects import EFFECTS, Effect, effect_of
from gateway.session.exchanges import Exchange


@pytest.mark.parametrize(
    ("line", "code", "effect"),
    [
        (b"USER a", 230, Effect.LOGGED_IN),
        (b"USER a", 331, Effect.NONE),
        (b"PASS a", 230, Effect.LOGGED_IN),
        (b"PASS a", 530, Effect.LOGIN_REFUSED),
        (b"USER a", 530, Effect.LOGIN_REFUSED),
        (b"USER a", 501, Effect.NONE),
        (b"PASS a", 232, Effect.LOGGED_IN),
        (b"PASS a", 202, Effect.LOGIN_UNTESTED),
        (b"PASS a", 332, Effect.LOGIN_UNTESTED),
        (b"PASS a", 503, Effect.LOGIN_UNTESTED),
        (b"PASS a", 430, Effect.LOGIN_REFUSED),
        (b"PASS a", 550, Effect.LOGIN_REFUSED),
        (b"ACCT a", 230, Effect.LOGGED_IN),
        (b"ACCT a", 530, Effect.LOGIN_REFUSED),
        (b"ACCT a", 502, Effect.LOGIN_UNTESTED),
        (b"REST 5", 350, Effect.RESTARTS),
        (b"REST 5", 501, Effect.NONE),
        (b"REIN", 220, Effect.REINITIALIZED),
        (b"REIN", 502, Effect.NONE),
        (b"FEAT", 211, Effect.FEATURES),
        (b"FEAT", 500, Effect.NO_FEATURES),
        (b"FEAT", 502, Effect.NO_FEATURES),
        (b"FEAT", 530, Effect.NONE),
        (b"AUTH TLS", 234, Effect.OPAQUE),
        (b"AUTH TLS", 334, Effect.NONE),
        (b"PASV", 227, Effect.PASSIVE),
        (b"PASV", 229, Effect.PASSIVE),
        (b"EPSV", 229, Effect.PASSIVE),
        (b"EPSV 2", 229, Effect.PASSIVE),
        (b"PASV", 425, Effect.NOT_PASSIVE),
        (b"EPSV", 522, Effect.NOT_PASSIVE),
        (b"EPSV", 227, Effect.PASSIVE),
        (b"EPSV ALL", 200, Effect.EXTENDED_ONLY),
        (b"EPSV  all ", 229, Effect.EXTENDED_ONLY),
        (b"EPSV ALL", 501, Effect.NONE),
        (b"QUIT", 221, Effect.QUIT),
        (b"QUIT", 500, Effect.NONE),
        (b"NOOP", 230, Effect.NONE),
    ],
)
def test_effects(line: bytes, code: int, effect: Effect) -> None:
    command = Command.parse(line)
    assert effect_of(Exchange(command, command), Reply.of(code, "x")) is effect


def test_it_is_the_verb_that_the_client_said() -> None:
    asked_otherwise = Exchange(Command(b"EPSV", b"1"), Command(b"EPSV"))
    assert effect_of(asked_otherwise, Reply.of(229, "x")) is Effect.PASSIVE


def test_every_effect_is_somebodys() -> None:
    assert {effect for rows in EFFECTS.values() for _, effect in rows} == set(Effect)
