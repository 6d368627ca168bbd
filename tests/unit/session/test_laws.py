"""The laws of the architecture in random worlds, as far as they concern the judge and the language."""

from collections.abc import Callable
from itertools import chain

import attrs
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.addresses import PortMap
from gateway.ftp.commands import Command
from gateway.ftp.lines import Unclean
from gateway.session import events as on
from gateway.session.client_tls import Requirement, TLSTerms
from gateway.session.policy import Policy
from gateway.session.setting import Setting
from tests.kit.pieces import cut, pieces
from tests.unit.session.dialogue import Dialogue
from tests.unit.session.playbook import MAPPED, MIRRORED, SETTING
from tests.unit.session.world import Choices, Step, World

SETTINGS = [
    attrs.evolve(SETTING, public="public.example"),
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
    [b"USER u", b"PASS x", b"PASS y", b"NOOP", b"QUIT"],
    [b"EPSV", b"REST 5", b"EPRT |1|", b"STOR f", b"RNFR a", b"RNTO b"],
]
SCRIPTS = [*([Command.parse(line) for line in phrase] for phrase in PHRASES), [Unclean.NUL]]
MAX_LINES = 30  # that a client has ready at a time
HOW = st.binary(max_size=4)  # decisions: what of all that is possible, and how


class Session(RuleBasedStateMachine):
    """A session, its client, its origin and its data channel; each rule lets one of them do something.

    :param hostile: whether the origin also says what nobody asked for, and leaves.
    """

    hostile = False
    world: World

    @initialize(
        setting=st.sampled_from(SETTINGS),
        ports=st.sampled_from([MIRRORED, MAPPED]),
        phrases=st.lists(st.sampled_from(SCRIPTS), max_size=8),
    )
    def begin(self, setting: Setting, ports: PortMap, phrases: list[list[Command | Unclean]]) -> None:
        self.world = World(setting, self.hostile, ports)
        self.world.lines += chain.from_iterable(phrases)
        self.world.begin()

    @precondition(lambda self: not self.world.books.closed and len(self.world.lines) < MAX_LINES)
    @rule(phrase=st.sampled_from(SCRIPTS))
    def the_client_has_something_to_say(self, phrase: list[Command | Unclean]) -> None:
        self.world.lines += phrase

    @precondition(lambda self: self.may(self.world.client_steps))
    @rule(how=HOW)
    def the_client_goes_on(self, how: bytes) -> None:
        self.choose(how, self.world.client_steps())

    @precondition(lambda self: self.may(self.world.origin_steps))
    @rule(how=HOW)
    def the_origin_goes_on(self, how: bytes) -> None:
        self.choose(how, self.world.origin_steps())

    @precondition(lambda self: self.may(self.world.channel_steps))
    @rule(how=HOW)
    def the_data_channel_goes_on(self, how: bytes) -> None:
        self.choose(how, self.world.channel_steps())

    @precondition(lambda self: self.may(self.world.orderly))
    @rule(how=st.binary(min_size=12, max_size=60))
    def all_goes_well_for_a_while(self, how: bytes) -> None:
        self.world.choices = choices = Choices(how)
        while choices.left and self.may(self.world.orderly):
            choices.pick(self.world.orderly())()
            self.world.check()

    @precondition(lambda self: not self.world.books.closed and self.world.books.channel is not None)
    @rule(how=HOW)
    def the_data_channel_breaks(self, how: bytes) -> None:
        self.choose(how, [self.world.channel_breaks])

    @precondition(lambda self: not self.world.books.closed and self.world.books.held and self.world.origin_up)
    @rule()
    def the_origin_is_lost_behind_its_completion(self) -> None:
        self.world.origin_lost()

    @precondition(lambda self: not self.world.books.closed and self.world.books.held)
    @rule()
    def the_gateway_drains_behind_a_completion(self) -> None:
        self.world.tell(on.Draining())

    @precondition(lambda self: not self.world.books.closed and self.world.impatient)
    @rule()
    def the_client_speaks_behind_its_auth(self) -> None:
        self.world.client_sends()

    @precondition(lambda self: not self.world.books.closed and self.world.handshakes)
    @rule(how=HOW)
    def a_handshake_fails(self, how: bytes) -> None:
        self.choose(how, [self.world.handshake_fails])

    @precondition(lambda self: not self.world.books.closed and self.world.books.opaque)
    @rule(how=HOW)
    def something_passes_unseen(self, how: bytes) -> None:
        self.choose(how, [lambda: self.world.tell(on.OpaqueMoved()), self.world.opaque_channel])

    @precondition(lambda self: not self.world.books.closed)
    @rule(how=HOW, luck=st.integers(0, 11))
    def a_calamity(self, how: bytes, luck: int) -> None:
        if luck == 11:
            self.choose(how, [self.world.calamity])

    @precondition(lambda self: self.world.books.closed)
    @rule(event=st.sampled_from([on.CommandReceived(Command(b"NOOP")), on.Draining(), on.ClientLost()]))
    def nothing_happens_behind_the_end(self, event: on.Event) -> None:
        assert self.world.session.receive(event) == []

    @invariant()
    def the_books_are_right(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        world = getattr(self, "world", None)
        if world is not None:
            note("\n".join(world.log))
            if world.sound:
                world.finish()

    def may(self, steps: Callable[[], list[Step]]) -> bool:
        """Whether any of them is possible now."""
        return not self.world.books.closed and bool(steps())

    def choose(self, how: bytes, steps: list[Step]) -> None:
        """Takes one of them, and decides in it as these bytes have it."""
        self.world.choices = Choices(how)
        self.world.choices.pick(steps)()


class HostileSession(Session):
    """The same before an origin that does not keep to the protocol."""

    hostile = True

    @precondition(lambda self: not self.world.books.closed and self.world.origin_may_speak)
    @rule(how=HOW)
    def the_origin_speaks_unasked(self, how: bytes) -> None:
        self.choose(how, [self.world.unasked])

    @precondition(lambda self: not self.world.books.closed and self.world.origin_may_speak)
    @rule(how=HOW, luck=st.integers(0, 3))
    def the_origin_leaves(self, how: bytes, luck: int) -> None:
        if luck == 3:
            self.choose(how, [self.world.origin_leaves])


@pytest.mark.hypothesis
def test_an_orderly_origin() -> None:
    run_state_machine_as_test(Session)


@pytest.mark.hypothesis
def test_a_hostile_origin() -> None:
    run_state_machine_as_test(HostileSession)


# What may be in a client's bytes: whole lines, and what makes and breaks them.
BYTES = st.lists(
    st.sampled_from(
        [
            *b"USER u\r\n|EPSV\r\n|PASV\r\n|RETR f\r\n|LIST\r\n|STOR f\r\n|PWD\r\n|NOOP\n|FEAT\r\n|REST 1\r\n".split(
                b"|"
            ),
            *b"PORT 1,2\r\n|\tport\t1\r\n|eprt |LPRT\r\n|PO|RT 1|\r\n|\n|\r| |\t|\0|\xff|\xff\xff|CWD \xe4\r\n".split(
                b"|"
            ),
            *(
                b"PO\xff\xf1RT 1\r\n",
                b"\xff\xfb\x01EPRT x\r\n",
                b"P\xff\xfa\r\n\xff\xf0ORT 1\r\n",
                b"\xff\xf4\xff\xf2ABOR\r\n",
            ),
            b"x" * 4097,
        ]
    ),
    max_size=20,
).map(b"".join)


def origin(line: bytes) -> bytes:
    """An origin that tells its address wherever it can."""
    match Command.parse(line.removesuffix(b"\r\n")).verb:
        case b"PASV":
            return b"227 Passive (198,51,100,1,78,32)\r\n"
        case b"EPSV":
            return b"229 Passive at 198.51.100.1 (|||20000|)\r\n"
        case b"RETR" | b"LIST" | b"STOR":
            return b"150-Data from\r\n 198.51.100.1 and\r\n226 more\r\n150 Go\r\n226 Done by 198.51.100.1\r\n"
        case b"FEAT":
            return b"211-Features of 198.51.100.1\r\n EPRT\r\n EPSV\r\n211 End\r\n"
        case _:
            return b"200-198.51.100.1\r\n227 (198,51,100,1,78,32)\r\n200 198,51,100,1\r\n"


@given(pieces(BYTES), st.integers(1, 9))
def test_pieces_do_not_matter(stream_and_parts: tuple[bytes, list[bytes]], size: int) -> None:
    stream, parts = stream_and_parts
    whole = Dialogue(origin, lambda data: [data]).run([stream])
    singly = Dialogue(origin, lambda data: cut(data, range(len(data)))).run(cut(stream, range(len(stream))))
    random = Dialogue(origin, lambda data: cut(data, range(0, len(data), size))).run(parts)
    assert whole == singly == random
    to_client, to_origin = whole
    assert not any(address in to_client for address in (b"198.51.100.1", b"198,51,100,1")), "law 3"
    for line in to_origin.split(b"\r\n"):
        assert not any(byte in line for byte in b"\r\n\0"), "one reading of a line"
        assert not line.upper().startswith((b"PORT", b"EPRT", b"LPRT", b" ", b"\t")), "law 2"
