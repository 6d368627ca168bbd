"""A small world around a session: a client with a script, an origin with habits, a data channel with its fate.

What happens next is chosen by a string of bytes, so that a property test can try many worlds, and shrink one. The
world keeps its own books of what it did, and holds the session to the laws at every step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_address
from typing import TypeVar

import attrs

from gateway.ftp.addresses import parse_227, parse_229, render_227, render_229
from gateway.ftp.commands import VERBS, Command, Kind
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import Reply, ReplyAssembler
from gateway.session import actions as do
from gateway.session import control, transfers
from gateway.session import events as on
from gateway.session.control import MAX_QUEUED, ControlSession, Setting
from gateway.session.events import Deadline, Towards
from tests.unit.session.playbook import ORIGIN

T = TypeVar("T")
BESIDE = (b"STAT", b"NOOP", b"ABOR")
PUBLIC_HOST = IPv4Address("192.0.2.99")
FORBIDDEN = (ORIGIN.encode(), ORIGIN.replace(".", ",").encode())


def direction(command: Command) -> Towards | None:
    """Which way the bytes of a transfer command go; None where it is none."""
    row = VERBS.get(command.verb)
    if row is None or not row.transfers:
        return None
    return Towards.CLIENT if row.kind is Kind.TO_CLIENT else Towards.ORIGIN


@attrs.define
class Choices:
    """A finite source of decisions."""

    _bytes: Iterator[int] = attrs.field(converter=iter)
    over: bool = False

    def pick(self, options: list[T]) -> T:
        """One of them; the first, once the bytes are used up."""
        byte = next(self._bytes, None)
        if byte is None:
            self.over = True
            return options[0]
        return options[byte % len(options)]


@attrs.define(eq=False)
class Line:
    """What the client sent, and what has become of it."""

    number: int
    sent: Command | Unclean
    forwarded: bool = False
    answered: bool = False

    @property
    def verb(self) -> bytes:
        """Its verb, b'' where it was not clean."""
        return self.sent.verb if isinstance(self.sent, Command) else b""


@attrs.define(eq=False)
class Job:
    """A command before the origin, and what it is still going to say to it."""

    line: Line
    replies: list[str]
    spoken: bool = False


@attrs.define(eq=False)
class Channel:
    """A data channel."""

    port: int
    listening: bool = False
    dialling: bool = False
    client_here: bool = False
    dialled: bool = False
    alive: bool = True
    delivered: set[Towards] = attrs.field(factory=set)


# What an origin says to a transfer command, to PASV, to EPSV, to anything else.
TRANSFER = ["150 226", "226", "550", "150 426", "125 110 250", "150 552", "425", "500", "150 451", "120 150 226"]
PASSIVE = {
    b"PASV": [
        "227 (198,51,100,1,78,33)",
        "227 =10,0,0,1,78,34",
        "227 (198,51,100,1,1,1)",
        "227 nowhere",
        "425",
        "229 (|||20001|)",
    ],
    b"EPSV": ["229 (|||20001|)", "229 (|||20002|)", "229 (|||1|)", "229 nowhere", "522", "227 (198,51,100,1,78,33)"],
}
OTHER = [
    "200",
    "230",
    "250",
    "331",
    "350",
    "500",
    "530",
    "550",
    "120 200",
    "211-",
    "257 at 198.51.100.1",
    "229 (|||20003|)",
]
# What a hostile one says of itself.
UNASKED = ["150", "200", "225", "226", "227 (198,51,100,1,78,32)", "229 (|||20000|)", "331", "426", "500", "550"]


@attrs.define(eq=False)
class World:
    """Everything around one session.

    :param lines: what the client sends.
    :param hostile: whether the origin also says what nobody asked for, and leaves.
    """

    setting: Setting
    lines: list[Command | Unclean]
    choices: Choices
    hostile: bool = False
    judge: ControlSession = attrs.field(init=False)
    sent: list[Line] = attrs.field(factory=list, init=False)
    jobs: list[Job] = attrs.field(factory=list, init=False)
    log: list[str] = attrs.field(factory=list, init=False)
    armed: set[Deadline] = attrs.field(factory=set, init=False)
    channel: Channel | None = attrs.field(default=None, init=False)
    carrier: Channel | None = attrs.field(default=None, init=False)  # the channel of the last 227 or 229
    under_way: Line | None = attrs.field(default=None, init=False)  # the transfer command before the origin
    origin_up: bool = attrs.field(default=False, init=False)
    greeted: bool = attrs.field(default=False, init=False)
    epsv_all: bool = attrs.field(default=False, init=False)
    aborted: bool = attrs.field(default=False, init=False)
    closed: bool = attrs.field(default=False, init=False)
    disconnects: int = attrs.field(default=0, init=False)
    event: on.Event = attrs.field(factory=on.Started, init=False)

    def __attrs_post_init__(self) -> None:
        self.judge = ControlSession(self.setting)

    def run(self) -> None:
        """Lets things happen until the choices are used up, then until nothing is left to happen."""
        self.tell(on.Started())
        while not self.choices.over and not self.closed:
            self.choices.pick(self.steps())()
        while not self.closed and (orderly := self.orderly()):
            orderly[0]()
        self.check_end()

    # What can happen

    def steps(self) -> list[Callable[[], None]]:
        """Everything that can happen now; the first few most often."""
        steps = self.orderly() * 6
        if self.channel is not None:
            steps.append(self.channel_breaks)
        if self.hostile and self.origin_up:
            steps += [self.unasked, self.unasked, self.origin_leaves]
        steps += [lambda: None, self.calamity]
        return steps

    def orderly(self) -> list[Callable[[], None]]:
        """What happens when all goes well, in the long run."""
        steps: list[Callable[[], None]] = []
        if not self.origin_up:
            steps.append(self.origin_connects)
        elif not self.greeted:
            steps.append(self.greet)
        if self.lines and self.judge.hungry:
            steps.append(self.client_sends)
        steps += [lambda job=job: self.speak(job) for job in self.speakers()]
        if self.channel is not None:
            steps += self.channel_steps(self.channel)
        if not steps and Deadline.LINGER in self.armed:
            steps.append(lambda: self.pass_deadline(Deadline.LINGER))
        return steps

    def channel_steps(self, channel: Channel) -> list[Callable[[], None]]:
        """What a data channel can do next."""
        if not channel.listening:
            return [lambda: self.listens(channel)]
        steps: list[Callable[[], None]] = []
        if channel.dialling and not channel.dialled:
            steps.append(lambda: self.dialled(channel))
        if not channel.client_here:
            steps.append(lambda: self.client_comes(channel))
        if channel.client_here and channel.dialled:
            steps += [
                lambda towards=towards: self.delivers(channel, towards)
                for towards in Towards
                if towards not in channel.delivered
            ]
        return steps

    # The client

    def client_sends(self) -> None:
        sent = self.lines.pop(0)
        self.sent.append(Line(len(self.sent), sent))
        self.tell(on.CommandReceived(sent) if isinstance(sent, Command) else on.UncleanReceived(sent))

    # The origin

    def origin_connects(self) -> None:
        self.origin_up = True
        self.tell(on.OriginConnected(ip_address(ORIGIN)))

    def greet(self) -> None:
        reply = self.choices.pick(["220 198.51.100.1 #hello", "120 wait #hello", "220-a\r\n b #hello\r\n220 c"])
        self.greeted = not reply.startswith("120")
        self.say(reply)

    def speakers(self) -> list[Job]:
        """The first job; and where that is a transfer that runs, the first beside it."""
        if not self.jobs:
            return []
        first, *more = self.jobs
        return [first, *more[:1]] if first.spoken and direction(self.command(first.line)) is not None else [first]

    def speak(self, job: Job) -> None:
        job.spoken = True
        text = job.replies.pop(0)
        if not job.replies:
            self.jobs.remove(job)
        code, _, rest = text.partition(" ")
        tag = f"#{job.line.number}"
        self.say(f"{code}{tag}\r\n {rest}\r\n{code[:3]} end" if code.endswith("-") else f"{code} {rest} {tag}")

    def say(self, text: str) -> None:
        assembler = ReplyAssembler(1000, 1_000_000)
        [reply] = filter(None, map(assembler.feed, text.encode().split(b"\r\n")))
        self.tell(on.ReplyReceived(reply))

    def take_job(self, line: Line) -> None:
        """The origin read a command."""
        command = self.command(line)
        pick = self.choices.pick
        running = self.jobs[0] if self.jobs and direction(self.command(self.jobs[0].line)) is not None else None
        if direction(command) is not None:
            replies = pick(TRANSFER)
        elif command.verb in PASSIVE and self.epsv_argument(line) != b"ALL":
            replies = pick(PASSIVE[command.verb][: 2 if self.choices.over else None])
        elif command.verb == b"QUIT":
            replies = pick(["221", "500"])
        elif command.verb == b"ABOR" and running is not None:
            self.abort(line, running, pick(["426 226", "merged", "226 225", "beside", "unknown"]))
            return
        elif command.verb == b"ABOR":
            replies = pick(["225", "226", "530", "502"])
        elif command.verb == b"STAT":
            replies = pick(["211-", "213", "502", "502" if command.argument is None else "550"])
        elif command.verb == b"NOOP":
            replies = pick(["200", "500"])
        else:
            replies = pick(OTHER)
        self.jobs.append(Job(line, self.split(replies)))

    def abort(self, line: Line, running: Job, how: str) -> None:
        """The origin read ABOR while it transfers."""
        if how == "merged":
            running.replies[:] = [self.choices.pick(["226", "225", "426"])]
            running.spoken = False  # nothing is answered out of turn
            line.answered = True
            return
        if how in ("426 226", "beside"):
            running.replies[:] = ["426"]
        self.jobs.append(Job(line, ["502" if how == "unknown" and running.spoken else "226"]))

    @staticmethod
    def split(replies: str) -> list[str]:
        """``150 226`` are two replies; ``227 (…)`` is one."""
        words = replies.split()
        return words if all(word.isdigit() for word in words) else [replies]

    def unasked(self) -> None:
        self.say(f"{self.choices.pick(UNASKED)} #unasked")

    def origin_leaves(self) -> None:
        event = self.choices.pick([on.OriginLost(), on.OriginBroke("x"), None])
        if event is None:
            self.say("421 198.51.100.1 closes #unasked")
        else:
            self.jobs.clear()
            self.tell(event)

    # The data channel

    def listens(self, channel: Channel) -> None:
        channel.listening = True
        self.tell(on.DataListening(self.choices.pick([PUBLIC_HOST, PUBLIC_HOST, PUBLIC_HOST, None])))

    def client_comes(self, channel: Channel) -> None:
        channel.client_here = channel.dialling = True

    def dialled(self, channel: Channel) -> None:
        channel.dialled = True
        self.tell(on.DataConnected())

    def delivers(self, channel: Channel, towards: Towards) -> None:
        channel.delivered.add(towards)
        self.tell(on.DataDelivered(towards))
        if channel is self.channel and len(channel.delivered) == 2:
            self.channel_breaks()

    def channel_breaks(self) -> None:
        assert self.channel is not None
        self.channel.alive = False
        self.channel = None
        self.tell(on.DataEnded())

    # The rest

    def pass_deadline(self, deadline: Deadline) -> None:
        self.armed.remove(deadline)
        self.tell(on.DeadlinePassed(deadline))

    def calamity(self) -> None:
        """What is rare, and mostly the end."""
        if self.choices.pick([True, False, False, False]):
            return
        ends = [lambda event=event: self.tell(event) for event in (on.Draining(), on.Stopped(), on.ClientLost())]
        deadlines = [lambda deadline=deadline: self.pass_deadline(deadline) for deadline in self.armed]
        self.choices.pick([*ends, *deadlines])()

    # What the session does, and whether it may

    def tell(self, event: on.Event) -> None:
        """An event, and all that it leads to."""
        self.event = event
        self.log.append(f"{event}")
        actions = self.judge.receive(event)
        for action in actions:
            self.log.append(f"    {action}")
            assert not self.closed, "law 9: an action after the end"
            self.perform(action)
        assert self.closed == self.judge.ended
        if self.closed:
            assert self.disconnects == 1, "law 9: it ends once"
        else:
            self.check_books()

    def perform(self, action: do.Action) -> None:
        match action:
            case do.SendToOrigin(data):
                self.forwarded(data)
            case do.SendToClient(data):
                self.answered(data)
            case do.OpenData(origin_port, public_port):
                self.open_data(origin_port, public_port)
            case do.DialData():
                assert self.channel is not None and self.channel.listening
                self.channel.dialling = True
            case do.ReleaseData():
                assert self.channel is not None and self.channel.delivered, "law 8"
                self.channel = None
            case do.AbortData():
                assert self.channel is not None
                self.channel.alive = False
                self.channel = None
            case do.Arm(deadline):
                self.armed.add(deadline)
            case do.Disarm(deadline):
                self.armed.discard(deadline)
            case do.Note("disconnect"):
                self.disconnects += 1
            case do.Close():
                self.closed = True

    def forwarded(self, data: bytes) -> None:
        """The origin gets a command: the client's next, as it was, and nothing else."""
        assert self.origin_up and (self.greeted or self.hostile)
        waiting = [line for line in self.sent if not line.forwarded and not line.answered]
        if self.hostile:  # the books may be out of step
            waiting = [line for line in waiting if line.verb and data == self.command(line).render()]
        line = waiting[0]
        command = self.command(line)
        assert data == command.render(), "what the origin gets is what the client sent"
        assert command.verb not in (b"PORT", b"EPRT", b"LPRT"), "law 2"
        assert self.hostile or self.refusal(line) is None
        line.forwarded = True
        if direction(command) is not None:
            assert self.channel is None or self.channel.dialled, "law 7: the dial comes first"
            self.under_way, self.aborted = line, False
        elif command.verb == b"ABOR":
            self.aborted = True
        self.take_job(line)

    def open_data(self, origin_port: int, public_port: int) -> None:
        """A data channel is opened."""
        event = self.event
        assert isinstance(event, on.ReplyReceived) and len(event.reply.lines) == 1, "law 5"
        parse = {227: parse_227, 229: parse_229}[event.reply.code]
        assert parse(event.reply) == origin_port, "law 5"
        assert self.setting.ports.public_port(origin_port) == public_port
        verb = {227: b"PASV", 229: b"EPSV"}[event.reply.code]
        assert any(line.verb == verb for line in self.sent if line.forwarded), "law 5"
        if self.channel is not None:
            self.channel.alive = False
        self.channel = self.carrier = Channel(origin_port)

    def answered(self, data: bytes) -> None:
        """The client gets a reply."""
        assembler = ReplyAssembler(1000, 1_000_000)
        replies = [assembler.feed(line) for line in data.split(b"\r\n")[:-1]]
        reply = replies.pop()
        assert reply is not None and reply.render() == data and not any(replies), "one reply in one write"
        assert not any(address in data for address in FORBIDDEN), "law 3"
        tag = re.search(rb"#(\w+)", data)
        waiting = [line for line in self.sent if not line.answered]
        if tag is None and reply.code != 421:
            line = waiting[0]
            assert self.hostile or reply in self.local_answers(line), "law 1: a local answer is in its place"
        elif tag is not None and tag[1].isdigit() and not reply.preliminary:
            line = self.sent[int(tag[1])]
            if not self.hostile:
                self.check_answer(waiting, line, reply)
        else:
            return
        line.answered = True
        self.finished(line, reply)

    def local_answers(self, line: Line) -> list[Reply]:
        """What we may say to that command ourselves."""
        if (refusal := self.refusal(line)) is not None:
            return [refusal]
        if direction(self.command(line)) is not None:
            return [transfers.NO_DATA_CONNECTION, transfers.TRANSFER_CUT]
        port = None if self.channel is None else self.setting.ports.public_port(self.channel.port)
        if line.verb == b"PASV":
            passive = [] if port is None else [render_227(PUBLIC_HOST, port)]
            return [transfers.NO_DATA_PORT, transfers.PASV_UNKNOWN, *passive]
        if line.verb == b"EPSV":
            return [transfers.NO_DATA_PORT, *([] if port is None else [render_229(port)])]
        return []

    def check_answer(self, waiting: list[Line], line: Line, reply: Reply) -> None:
        """The origin's final reply to that command."""
        assert line.forwarded
        if line.verb in BESIDE:
            waiting = [other for other in waiting if other is not self.under_way]
        assert line is waiting[0], "law 1"
        if line is self.under_way and reply.positive:
            whole = self.carrier is None or direction(self.command(line)) in self.carrier.delivered
            assert whole or self.aborted, "laws 7 and 8: 2yz for a transfer that is not whole"
        if reply.code == {b"PASV": 227, b"EPSV": 229}.get(line.verb) and self.epsv_argument(line) != b"ALL":
            assert self.channel is not None and self.channel.listening, "law 4"

    def finished(self, line: Line, reply: Reply) -> None:
        """What a final reply changes."""
        if line.verb == b"EPSV" and self.epsv_argument(line) == b"ALL":
            self.epsv_all = self.epsv_all or reply.positive
        elif line.verb in PASSIVE and reply in (transfers.NO_DATA_PORT, transfers.PASV_UNKNOWN):
            self.carrier = None
        elif line.verb and direction(self.command(line)) is not None:
            self.under_way = self.carrier = None

    def refusal(self, line: Line) -> Reply | None:
        """What the gateway itself says to a command; None where the origin is asked."""
        if isinstance(line.sent, Unclean):
            return control.UNCLEAN
        if line.verb == b"PASV" and self.epsv_all:
            return control.PASV_AFTER_ALL
        return self.setting.policy.refusal(line.sent)

    @staticmethod
    def command(line: Line) -> Command:
        """Of a line that is clean."""
        assert isinstance(line.sent, Command)
        return line.sent

    def epsv_argument(self, line: Line) -> bytes:
        """In upper case."""
        return (self.command(line).argument or b"").upper()

    # The state of things between two events

    def check_books(self) -> None:
        """What holds whenever the session waits for something."""
        waiting = [line for line in self.sent if not line.answered]
        assert len([line for line in waiting if not line.forwarded]) <= MAX_QUEUED + 1, "law 10"
        assert len([line for line in waiting if line.forwarded]) <= MAX_QUEUED, "law 10"
        assert self.armed or self.channel is not None, "it waits for ever"
        if self.greeted and not self.hostile:
            moving = self.under_way is not None and self.channel is not None and self.channel.dialled
            assert (Deadline.IDLE in self.armed) != moving, "idle is what moves no bytes"

    def check_end(self) -> None:
        """Nothing is left to happen: then all is done, and the next command goes to the origin at once."""
        probe = on.CommandReceived(Command(b"SYST"))
        if self.closed:
            assert not self.judge.hungry and self.judge.receive(probe) == []
            return
        assert not self.lines and self.judge.hungry
        assert do.SendToOrigin(b"SYST\r\n") in self.judge.receive(probe), "the client waits for ever"
        assert self.hostile or all(line.answered for line in self.sent)
