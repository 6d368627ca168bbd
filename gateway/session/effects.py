"""The effects of final replies: the changes that an origin's answer makes in the session, besides its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.ftp.replies import Reply
from gateway.machine import Name
from gateway.session.exchanges import Exchange


class Effect(Name):
    """A change in the session."""

    NONE = "none"
    LOGGED_IN = "the user is logged in"
    LOGIN_REFUSED = "a login failed"
    REINITIALIZED = "the user is logged out"
    FEATURES = "the origin told its features"
    NO_FEATURES = "the origin knows no FEAT"
    OPAQUE = "TLS begins between client and origin"
    EXTENDED_ONLY = "the origin takes EPSV alone"
    PASSIVE = "the origin listens"
    QUIT = "the origin says good-bye"


_Test = Callable[[Exchange, Reply], bool]


def _code(*codes: int) -> _Test:
    return lambda exchange, reply: reply.code in codes


def _positive(exchange: Exchange, reply: Reply) -> bool:
    return reply.positive


def _all(exchange: Exchange, reply: Reply) -> bool:
    """Whether this is EPSV ALL, which asks for no port (RFC 2428 section 4)."""
    return (exchange.said.argument or b"").strip().upper() == b"ALL"


# The effects by the client's verb. The first test that holds decides.
EFFECTS: Mapping[bytes, tuple[tuple[_Test, Effect], ...]] = {
    b"USER": ((_code(230), Effect.LOGGED_IN),),
    b"PASS": ((_code(230), Effect.LOGGED_IN), (_code(530), Effect.LOGIN_REFUSED)),
    b"ACCT": ((_code(230), Effect.LOGGED_IN),),
    b"REIN": ((_positive, Effect.REINITIALIZED),),
    b"FEAT": ((_positive, Effect.FEATURES), (_code(500, 502), Effect.NO_FEATURES)),
    b"AUTH": ((_code(234), Effect.OPAQUE),),
    b"PASV": ((_code(227, 229), Effect.PASSIVE),),  # one for the other is an error, and no text
    b"EPSV": (
        (lambda exchange, reply: _all(exchange, reply) and reply.positive, Effect.EXTENDED_ONLY),
        (_all, Effect.NONE),
        (_code(227, 229), Effect.PASSIVE),
    ),
    b"QUIT": ((_positive, Effect.QUIT),),
}


def effect_of(exchange: Exchange, reply: Reply) -> Effect:
    """The effect of a final reply."""
    for holds, effect in EFFECTS.get(exchange.said.verb, ()):
        if holds(exchange, reply):
            return effect
    return Effect.NONE
