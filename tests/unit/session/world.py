"""A small world around a session: a client with a script, an origin with habits, a data channel with its fate.

The possible next events are here; others choose among them. The books check the session against the laws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, ip_address
from typing import TypeVar

import attrs

from gateway.addresses import PortMap
from gateway.ftp.commands import Command
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import ReplyAssembler
from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.events import Deadline, Towards
from gateway.session.judge import Judge
from gateway.session.setting import Setting
from tests.unit.session.books import Books, Channel, Line
from tests.unit.session.playbook import MIRRORED, ORIGIN

PUBLIC_HOST = IPv4Address("192.0.2.99")
T = TypeVar("T")
Step = Callable[[], None]

# What an origin says to a transfer command, to PASV, to EPSV, to anything else; an orderly one, the first of them.
TRANSFER = ["150 226", "226", "550", "150 426", "125 110 250", "150 552", "425", "500", "150 451", "120 150 226"]
PASSIVE = {
    b"PASV": [
        "227 (198,51,100,1,78,33)",
        "227 =10,0,0,1,78,34",
        "227 (198,51,100,1,1,1)",
        "227 ?",
        "425",
        "229 (!!!1!)",
    ],
    b"EPSV": ["229 (|||20001|)", "229 (!!!20002!)", "229 (|||1|)", "229 ?", "522", "227 (198,51,100,1,78,33)"],
}
AUTH = ["234", "534", "504", "120 234", "331"]
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
    "257 198.51.100.1",
    "229 (|||20003|)",
]
# What a hostile one says of itself.
UNASKED = ["150", "200", "225", "226", "227 (198,51,100,1,78,32)", "229 (|||20000|)", "331", "426", "500", "550"]


@attrs.define
class Choices:
    """Decisions, a byte for each.

    :param left: how many are left; what is then to be decided is decided in the orderly way.
    """

    _bytes: bytes = b""

    @property
    def left(self) -> int:
        return len(self._bytes)

    def pick(self, options: Sequence[T]) -> T:
        """One of them; the first is the orderly one."""
        byte, self._bytes = self._bytes[:1], self._bytes[1:]
        return options[byte[0] % len(options) if byte else 0]


@attrs.define(eq=False)
class Job:
    """A command before the origin, and what it is still going to say to it."""

    line: Line
    replies: list[str]
    spoken: bool = False


@attrs.define(eq=False)
class World:
    """Everything around one session.

    :param hostile: whether the origin also says what nobody asked for, and leaves.
    :param lines: what the client is going to send.
    :param sound: whether all that happened was lawful so far.
    """

    setting: Setting
    hostile: bool = False
    ports: PortMap = MIRRORED
    choices: Choices = attrs.field(factory=Choices, init=False)
    lines: list[Command | Unclean] = attrs.field(factory=list, init=False)
    sound: bool = attrs.field(default=True, init=False)
    session: Judge = attrs.field(init=False)
    books: Books = attrs.field(init=False)
    jobs: list[Job] = attrs.field(factory=list, init=False)
    log: list[str] = attrs.field(factory=list, init=False)
    origin_up: bool = attrs.field(default=False, init=False)
    origin_greeted: bool = attrs.field(default=False, init=False)
    securing: list[bytes] = attrs.field(factory=list, init=False)  # what the gateway has to ask the origin for
    asked: bool = attrs.field(default=False, init=False)  # and has asked it for
    client_handshake: bool = attrs.field(default=False, init=False)
    origin_handshake: bool = attrs.field(default=False, init=False)
    counting: bool = attrs.field(default=False, init=False)  # a failed login, whose reply is held
    attempting: bool = attrs.field(default=False, init=False)  # a login that waits until it may go
    restarting: bool = attrs.field(default=False, init=False)  # the gateway asked for REST 0
    reserving: bool = attrs.field(default=False, init=False)  # a PASV or EPSV that does

    def __attrs_post_init__(self) -> None:
        self.session = Judge(self.setting)
        self.books = Books(self.setting, self.hostile, self.ports)
        if self.setting.tls.to_origin:
            self.securing = [b"AUTH TLS\r\n", b"PBSZ 0\r\n", b"PROT P\r\n"]
            if self.setting.tls.origin_implicit:
                del self.securing[0]

    def begin(self) -> None:
        """The client connects."""
        self.tell(on.Started())

    def finish(self) -> None:
        """Lets things happen in the orderly way until nothing is left to happen."""
        self.choices = Choices()
        while not self.books.closed and (steps := self.orderly()):
            steps[0]()
            self.check()
        self.check_end()

    def check(self) -> None:
        """What holds whenever the session waits for something."""
        assert self.books.closed == self.session.ended
        if self.books.closed:
            assert self.books.disconnects == 1, "law 9: it ends once"
        else:
            self.books.check()

    # What can happen, and nobody is to blame

    def orderly(self) -> list[Step]:
        """Who may do something now, in the long run."""
        steps = [*self.origin_steps(), *self.client_steps(), *self.channel_steps()]
        if not steps and self.books.opaque_channels:
            steps.append(self.no_opaque_channels)
        if not steps and Deadline.GRACE in self.books.armed:
            steps.append(lambda: self.pass_deadline(Deadline.GRACE))
        if not steps and self.hostile and self.impatient:
            steps.append(self.client_sends)  # its AUTH was answered, by a reply that nobody asked for
        return steps

    def client_steps(self) -> list[Step]:
        """What the client can do next."""
        if self.books.opaque:
            return []
        if self.client_handshake:
            return [self.client_secured]
        return [self.client_sends] if self.lines and self.session.hungry and not self.books.awaiting_auth else []

    @property
    def impatient(self) -> bool:
        """Whether the client could say more, but for its AUTH that has no answer."""
        may_speak = not self.books.opaque and not self.client_handshake
        return bool(self.lines) and self.session.hungry and self.books.awaiting_auth and may_speak

    @property
    def handshakes(self) -> bool:
        """Whether one is under way."""
        return self.client_handshake or self.origin_handshake

    @property
    def origin_may_speak(self) -> bool:
        """Whether the origin can say what nobody asked for."""
        may = self.origin_up and self.origin_greeted and self.session.listens
        return may and not self.origin_handshake and not self.books.opaque

    def origin_steps(self) -> list[Step]:
        """What the origin can do next, and what waits on its behalf."""
        if self.books.opaque:
            return []
        steps: list[Step] = []
        if not self.origin_up:
            steps += [] if self.origin_greeted else [self.origin_connects]
        elif self.origin_handshake:
            steps.append(self.origin_secured)
        elif not self.origin_greeted:
            steps.append(self.greet)
        if self.asked:
            steps.append(self.origin_agrees)
        if self.counting:
            steps.append(self.counted)
        if self.attempting:
            steps.append(self.admitted)
        if self.reserving:
            steps.append(self.reserved)
        if self.restarting:
            steps.append(self.restarts)
        return steps + [lambda job=job: self.speak(job) for job in self.speakers()]

    def channel_steps(self) -> list[Step]:
        """What the data channel can do next."""
        channel = self.books.channel
        if channel is None or self.books.opaque:
            return []
        if not channel.listening:
            return [lambda: self.listens(channel)]
        steps: list[Step] = []
        if channel.dialling and not channel.dialled:
            steps.append(lambda: self.dialled(channel))
        if not channel.client_here:
            steps.append(lambda: self.client_comes(channel))
        if channel.client_here and channel.dialled and channel.begun:
            ways = [way for way in Towards if way not in channel.delivered]
            steps += [lambda way=way: self.delivers(channel, way) for way in ways]
        return steps or [self.channel_breaks]

    # The client

    def client_sends(self) -> None:
        sent = self.lines.pop(0)
        self.books.sent.append(Line(len(self.books.sent), sent))
        self.tell(on.CommandReceived(sent) if isinstance(sent, Command) else on.UncleanReceived(sent))

    def client_secured(self) -> None:
        self.client_handshake = False
        self.books.secure = True
        self.tell(on.ClientSecured())

    def handshake_fails(self) -> None:
        """Or bytes came before it."""
        events: list[on.Event] = [on.Injected()]
        events += [on.ClientTLSFailed("x")] if self.client_handshake else []
        events += [on.OriginTLSFailed("x")] if self.origin_handshake else []
        self.tell(self.choices.pick(events))

    def opaque_channel(self) -> None:
        self.books.opaque_channels = max(0, self.books.opaque_channels + self.choices.pick([1, -1]))
        self.tell(on.OpaqueChannels(self.books.opaque_channels))

    def no_opaque_channels(self) -> None:
        self.books.opaque_channels = 0
        self.tell(on.OpaqueChannels(0))

    # The origin

    def origin_connects(self) -> None:
        self.origin_up = True
        self.tell(on.OriginConnected(ip_address(ORIGIN), None, self.ports))

    def origin_secured(self) -> None:
        self.origin_handshake = False
        self.tell(on.OriginSecured())

    def greet(self) -> None:
        reply = self.choices.pick(["220 198.51.100.1 #hello", "120 wait #hello", "220-a\r\n b #hello\r\n220 c"])
        self.origin_greeted = not reply.startswith("120")
        self.say(reply)

    def origin_agrees(self) -> None:
        """Or not, to being secure."""
        reply = self.choices.pick([*["200"] * 8, "120", "534"])
        self.asked = reply == "120"
        self.say(f"{reply} #secret")

    def speakers(self) -> list[Job]:
        """The first job; and where that is a transfer that runs, the first beside it."""
        if self.origin_handshake or not self.session.listens:
            return []
        return self.jobs[:2] if self.jobs and self.jobs[0].spoken and self.jobs[0].line.direction else self.jobs[:1]

    def speak(self, job: Job) -> None:
        running, job.spoken = self.jobs[0], True
        text = job.replies.pop(0)
        if not job.replies:
            self.jobs.remove(job)
            self.books.held = self.books.held or job.line is self.books.under_way
        code, _, rest = text.partition(" ")
        tag = f"#{job.line.number}"
        self.say(f"{code}{tag}\r\n {rest}\r\n{code[:3]} end" if code.endswith("-") else f"{code} {rest} {tag}")
        if job is not running and job.line.verb != b"ABOR" and not self.hostile:
            assert job.line.answered, "what stands beside a transfer is answered beside it"

    def say(self, text: str) -> None:
        assembler = ReplyAssembler(1000, 1_000_000)
        [reply] = filter(None, map(assembler.feed, text.encode().split(b"\r\n")))
        self.tell(on.ReplyReceived(reply))

    def hears(self, line: Line) -> None:
        """The origin read a command."""
        pick = self.choices.pick
        running = self.jobs[0] if self.jobs and self.jobs[0].line.direction else None
        if line.verb == b"ABOR" and running is not None:
            self.hears_abort(line, running)
            return
        if line.direction is not None:
            replies = pick(TRANSFER)
        elif line.verb in PASSIVE and line.argument != b"ALL":
            replies = pick(PASSIVE[line.verb])
        elif line.verb == b"STAT":
            replies = pick(["211-", "213", "502", "550" if line.argument else "502"])
        else:
            known = {b"QUIT": ["221", "500"], b"ABOR": ["225", "226", "530", "502"], b"NOOP": ["200", "500"]}
            replies = pick({**known, b"AUTH": AUTH}.get(line.verb, OTHER))
        words = replies.split()
        self.jobs.append(Job(line, words if all(word.isdigit() for word in words) else [replies]))

    def hears_abort(self, line: Line, running: Job) -> None:
        """The origin read ABOR while it transfers."""
        how = self.choices.pick(["both", "one answer", "too late", "unknown"])
        if how == "one answer":
            running.replies[:] = [self.choices.pick(["226", "225", "426"])]
            running.spoken = False  # nothing is answered out of turn
            line.answered = True
            return
        if how == "both":
            running.replies[:] = ["426"]
        self.jobs.append(Job(line, ["502" if how == "unknown" and running.spoken else "226"]))

    def counted(self) -> None:
        self.counting = False
        self.tell(on.FailedLoginCounted(last=self.choices.pick([False, False, True])))

    def admitted(self) -> None:
        self.attempting = False
        self.tell(on.LoginAdmitted())

    def restarts(self) -> None:
        reply = self.choices.pick(["350", "120", "500", "200"])
        self.restarting = reply == "120"
        self.say(f"{reply} #restart")

    def reserved(self) -> None:
        self.reserving = False
        self.tell(self.choices.pick([on.DataReserved(), on.DataReserved(), on.DataDenied(3)]))

    def unasked(self) -> None:
        reply = self.choices.pick(UNASKED)
        self.asked = self.asked and reply == "150"
        self.say(f"{reply} #unasked")

    def origin_leaves(self) -> None:
        self.choices.pick(
            [
                self.origin_lost,
                lambda: self.tell(on.OriginBroke("x")),
                lambda: self.say("421 198.51.100.1 closes #unasked"),
            ]
        )()

    def origin_lost(self) -> None:
        self.jobs.clear()
        self.origin_up = False
        self.tell(on.OriginLost())

    # The data channel

    def listens(self, channel: Channel) -> None:
        channel.listening = True
        self.tell(on.DataListening(self.choices.pick([PUBLIC_HOST, PUBLIC_HOST, PUBLIC_HOST, None])))

    def client_comes(self, channel: Channel) -> None:
        channel.client_here = channel.dialling = True

    def dialled(self, channel: Channel) -> None:
        channel.dialled = True
        self.tell(on.DataConnected())

    def delivers(self, channel: Channel, way: Towards) -> None:
        channel.delivered.add(way)
        line, held = self.books.under_way, self.books.held
        self.tell(on.DataDelivered(way))
        if line is not None and line.direction is way and not self.hostile:
            assert line.answered or not held, "what waited for the last byte waits no longer"
        if channel is self.books.channel and len(channel.delivered) == 2:
            self.channel_breaks()

    def channel_breaks(self) -> None:
        channel, self.books.channel = self.books.channel, None
        assert channel is not None
        channel.ended = True
        channel.insecure = self.books.private and self.choices.pick([False, True])
        channel.expired = channel.listening and channel.client_here and not channel.begun
        self.tell(on.DataEnded(channel.insecure, channel.expired))

    # The rest

    def pass_deadline(self, deadline: Deadline) -> None:
        self.books.armed.remove(deadline)
        self.tell(on.DeadlinePassed(deadline))

    def calamity(self) -> None:
        """What is rare, and mostly the end."""
        steps: list[Step] = [
            lambda event=event: self.tell(event)  # type: ignore[misc]
            for event in (on.Draining(), on.Stopped(), on.ClientLost())
        ]
        if not self.books.opaque:
            steps += [lambda: self.tell(on.ForeignReceived()), lambda: self.tell(on.Banned())]
        deadlines = [deadline for deadline in Deadline if deadline in self.books.armed]
        if self.jobs and self.books.aborted and not self.hostile:
            deadlines = [deadline for deadline in deadlines if deadline is not Deadline.GRACE]  # it is not that slow
        steps += [lambda deadline=deadline: self.pass_deadline(deadline) for deadline in deadlines]
        self.choices.pick(steps)()

    # What the session does

    def tell(self, event: on.Event) -> None:
        """An event, and all that it leads to."""
        self.books.event = event
        self.log.append(f"{event}")
        self.sound = False
        for action in self.session.receive(event):
            self.log.append(f"    {action}")
            assert not self.books.closed, "law 9: an action after the end"
            self.perform(action)
        self.sound = True

    def perform(self, action: do.Action) -> None:
        books = self.books
        match action:
            case do.SendToOrigin(data) if self.securing:
                assert self.origin_greeted and data == self.securing.pop(0)
                self.asked = True
            case do.SendToOrigin(b"REST 0\r\n") if not any(line.argument == b"0" for line in books.waiting):
                assert books.sent and not self.restarting
                self.restarting = True
            case do.SendToOrigin(data):
                self.hears(books.command(data))
            case do.SendToClient(data):
                books.reply(data)
            case do.StartOriginTLS():
                assert self.origin_up and not books.greeted
                self.origin_handshake = True
            case do.StartClientTLS(data):
                assert self.setting.tls.terminates and not self.client_handshake and not books.secure
                self.client_handshake = True
                if data:
                    books.auth(data)
                else:
                    books.private = True
            case do.GoOpaque(data):
                assert self.setting.tls.passthrough
                books.auth(data)
                books.opaque = True
            case do.BeginData(secure):
                assert books.channel is not None and self.setting.tls.terminates and secure == books.private
                books.channel.begun = True
            case do.OpenData(origin_port, public_port):
                books.open_data(origin_port, public_port)
            case do.DialData():
                assert books.channel is not None and books.channel.listening
                books.channel.dialling = True
            case do.ReleaseData():
                books.release()
            case do.AbortData():
                books.abort()
            case do.ReserveData():
                assert not self.reserving
                self.reserving = True
            case do.AttemptLogin():
                assert not self.attempting
                self.attempting = True
            case do.CountFailedLogin():
                assert not self.counting
                self.counting = True
            case do.Arm(deadline):
                books.armed.add(deadline)
            case do.Disarm(deadline):
                books.armed.discard(deadline)
            case do.Close(outcome):
                books.disconnects += 1
                books.close(outcome)

    def check_end(self) -> None:
        """Nothing is left to happen: then all is done, and the next command goes to the origin at once."""
        if self.books.closed:
            assert not self.session.hungry and self.session.receive(on.CommandReceived(Command(b"SYST"))) == []
        elif not self.books.opaque:
            assert not self.lines and self.session.hungry
            actions = self.session.receive(on.CommandReceived(Command(b"SYST")))
            assert do.SendToOrigin(b"SYST\r\n") in actions, "the client waits for ever"
            assert self.hostile or not self.books.waiting
