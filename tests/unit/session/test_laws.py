"""The laws of the architecture, as far as the judge and the language can be held to them, in random worlds."""

from collections.abc import Callable
from itertools import chain

import attrs
from hypothesis import given, note
from hypothesis import strategies as st

from gateway.ftp.commands import Command
from gateway.ftp.lines import Unclean
from gateway.session.policy import Policy
from gateway.session.ports import PassivePorts
from gateway.session.security import Requirement, TLSTerms
from tests.unit.session.playbook import SETTING
from tests.unit.session.world import Choices, World

SETTINGS = [
    attrs.evolve(SETTING, public="public.example"),
    attrs.evolve(SETTING, ports=PassivePorts(range(20000, 20021), range(30000, 30021))),
    attrs.evolve(SETTING, policy=Policy(deny=frozenset({b"ABOR", b"NOOP"}), read_only=True), banner="ready #hello"),
    attrs.evolve(SETTING, policy=Policy(tls=True), tls=TLSTerms(passthrough=True)),
    attrs.evolve(SETTING, policy=Policy(tls=True), tls=TLSTerms(terminates=True)),
    attrs.evolve(SETTING, policy=Policy(tls=True), tls=TLSTerms(terminates=True, require=Requirement.DATA)),
    attrs.evolve(SETTING, policy=Policy(tls=True), tls=TLSTerms(terminates=True, implicit=True, to_origin=True)),
    attrs.evolve(SETTING, tls=TLSTerms(to_origin=True, origin_implicit=True)),
]

# What a client sends together, or one behind the other.
PHRASES = [
    *([line] for line in b"PWD|NOOP|STAT|STAT f|ABOR|PASV|EPSV|REIN|FEAT|USER u|RETR f|STOR f|QUIT".split(b"|")),
    *([line] for line in b"PORT 1,2,3,4,5,6|eprt x|\tLPRT|XYZZY|AUTH TLS|EPSV 1|EPSV ALL|".split(b"|")),
    *([passive, transfer] for passive in (b"PASV", b"EPSV") for transfer in (b"RETR f", b"STOR f", b"LIST")),
    *([b"EPSV", b"RETR f", beside] for beside in (b"ABOR", b"STAT", b"NOOP", b"QUIT", b"PORT 1")),
    [b"PASV", b"RETR f", b"STAT", b"ABOR", b"PORT 1,2,3,4,5,6", b"PWD"],
    [b"EPSV", b"RETR f", b"STAT", b"ABOR", b"ABOR", b"NOOP", b"EPSV", b"RETR f"],
    *([auth, b"PBSZ 0", b"PROT P"] for auth in (b"AUTH TLS", b"AUTH TLS", b"AUTH SSL")),
    *([line] for line in b"PROT C|PROT P|CCC|AUTH GSSAPI".split(b"|")),
    [b"EPSV", b"REST 5", b"EPRT |1|", b"STOR f", b"RNFR a", b"RNTO b"],
]
SCRIPTS = st.lists(
    st.sampled_from([*([Command.parse(line) for line in phrase] for phrase in PHRASES), [Unclean.NUL]]), max_size=8
).map(lambda phrases: list[Command | Unclean](chain.from_iterable(phrases)))
CHOICES = st.binary(min_size=40, max_size=120).map(Choices)


def worlds(hostile: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Whatever a world may be."""
    return given(st.builds(World, st.sampled_from(SETTINGS), SCRIPTS, CHOICES, st.just(hostile)))


def run(world: World) -> None:
    """Runs it; tells what happened in it where it fails."""
    try:
        world.run()
    finally:
        note("\n".join(world.log))


@worlds(hostile=False)
def test_an_orderly_origin(world: World) -> None:
    run(world)


@worlds(hostile=True)
def test_a_hostile_origin(world: World) -> None:
    run(world)
