"""The effects of final replies: the changes that an origin's answer makes in the session, besides its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.ftp.commands import Command
from gateway.ftp.replies import Reply
from gateway.machine import Name
from gateway.session.exchanges import Exchange


class Effect(Name):
    """A change in the session."""

    NONE = "none"
    LOGGED_IN = "the user is logged in"
    LOGIN_REFUSED = "a login failed"
    LOGIN_UNTESTED = "no password was tested"
    REINITIALIZED = "the user is logged out"
    RESTARTS = "the next transfer begins elsewhere"
    FEATURES = "the origin told its features"
    NO_FEATURES = "the origin knows no FEAT"
    OPAQUE = "TLS begins between client and origin"
    EXTENDED_ONLY = "the origin takes EPSV alone"
    PASSIVE = "the origin listens"
    NOT_PASSIVE = "the origin does not listen"
    QUIT = "the origin says good-bye"


_Test = Callable[[Exchange, Reply], bool]


def _code(*codes: int) -> _Test:
    return lambda exchange, reply: reply.code in codes


def _negative(exchange: Exchange, reply: Reply) -> bool:
    return not reply.positive


def _more(exchange: Exchange, reply: Reply) -> bool:
    return 300 <= reply.code < 400


def _positive(exchange: Exchange, reply: Reply) -> bool:
    return reply.positive


def asks_for_no_port(command: Command) -> bool:
    """Whether a command is EPSV ALL (RFC 2428 section 4)."""
    return command.verb == b"EPSV" and (command.argument or b"").strip().upper() == b"ALL"


def _all(exchange: Exchange, reply: Reply) -> bool:
    return asks_for_no_port(exchange.said)


def _untested(exchange: Exchange, reply: Reply) -> bool:
    """Whether the origin neither accepts nor refuses: 202, another question, or an error in the command itself."""
    return reply.code == 202 or _more(exchange, reply) or 500 <= reply.code <= 504


def _any(exchange: Exchange, reply: Reply) -> bool:
    return True


_LOGIN = ((_untested, Effect.LOGIN_UNTESTED), (_positive, Effect.LOGGED_IN), (_any, Effect.LOGIN_REFUSED))

# The effects by the client's verb. The first test that holds decides.
EFFECTS: Mapping[bytes, tuple[tuple[_Test, Effect], ...]] = {
    b"USER": ((_code(230, 232), Effect.LOGGED_IN), (_code(530), Effect.LOGIN_REFUSED)),
    b"PASS": _LOGIN,
    b"ACCT": _LOGIN,
    b"REST": ((_more, Effect.RESTARTS),),
    b"REIN": ((_positive, Effect.REINITIALIZED),),
    b"FEAT": ((_positive, Effect.FEATURES), (_code(500, 502), Effect.NO_FEATURES)),
    b"AUTH": ((_code(234), Effect.OPAQUE),),
    # A 229 to PASV, or a 227 to EPSV, is no text, but an error.
    b"PASV": ((_code(227, 229), Effect.PASSIVE), (_negative, Effect.NOT_PASSIVE)),
    b"EPSV": (
        (lambda exchange, reply: _all(exchange, reply) and reply.positive, Effect.EXTENDED_ONLY),
        (_all, Effect.NONE),
        (_code(227, 229), Effect.PASSIVE),
        (_negative, Effect.NOT_PASSIVE),
    ),
    b"QUIT": ((_positive, Effect.QUIT),),
}


def effect_of(exchange: Exchange, reply: Reply) -> Effect:
    """The effect of a final reply."""
    for holds, effect in EFFECTS.get(exchange.said.verb, ()):
        if holds(exchange, reply):
            return effect
    return Effect.NONE
