"""The books that a world keeps of one session: the commands and replies so far, and whether they are lawful.

An orderly origin answers each command it gets, and tags each reply with ``#`` and the number of the client's line; so
the books know the command of a reply, whatever the session makes of it. A hostile origin's own replies are tagged
``#unasked``: nobody knows which command they answer, and the laws that depend on it are left out.
"""

from __future__ import annotations

import re

import attrs

from gateway.addresses import PortMap
from gateway.ftp.addresses import parse_227, parse_229, render_227, render_229
from gateway.ftp.commands import VERBS, Command, Kind
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import Reply, ReplyAssembler
from gateway.session import client_tls, refusals, tolerance, transfers
from gateway.session import events as on
from gateway.session.actions import Outcome
from gateway.session.client_tls import Requirement
from gateway.session.conversation import MAX_QUEUED
from gateway.session.events import Deadline, Towards
from gateway.session.setting import Setting
from tests.unit.session.playbook import ORIGIN

_BESIDE = (b"STAT", b"NOOP", b"ABOR")
_PASSIVE = {b"PASV": 227, b"EPSV": 229}
_SECRET = (ORIGIN.encode(), ORIGIN.replace(".", ",").encode(), b"#secret")


@attrs.define(eq=False)
class Line:
    """What the client sent, and what has become of it."""

    number: int
    sent: Command | Unclean
    forwarded: bool = False
    answered: bool = False

    @property
    def command(self) -> Command:
        """Of a line that is clean."""
        assert isinstance(self.sent, Command)
        return self.sent

    @property
    def verb(self) -> bytes:
        """Its verb, b'' where it was not clean."""
        return self.sent.verb if isinstance(self.sent, Command) else b""

    @property
    def argument(self) -> bytes:
        """Its argument in upper case, b'' where it has none."""
        return ((self.sent.argument if isinstance(self.sent, Command) else None) or b"").upper()

    @property
    def direction(self) -> Towards | None:
        """Which way the bytes of a transfer command go; None where it is none."""
        row = VERBS.get(self.verb)
        if row is None or not row.transfers:
            return None
        return Towards.CLIENT if row.kind is Kind.TO_CLIENT else Towards.ORIGIN


@attrs.define(eq=False)
class Channel:
    """A data channel."""

    port: int
    begun: bool  # whether it may relay
    listening: bool = False
    dialling: bool = False
    client_here: bool = False
    dialled: bool = False
    ended: bool = False
    insecure: bool = False  # it ended because its TLS failed
    expired: bool = False  # it ended because no transfer command came
    delivered: set[Towards] = attrs.field(factory=set)


@attrs.define(eq=False)
class Books:
    """What is known of the session at a moment.

    :param hostile: whether the origin is.
    """

    setting: Setting
    hostile: bool
    ports: PortMap
    event: on.Event = attrs.field(factory=on.Started, init=False)  # what happened last
    sent: list[Line] = attrs.field(factory=list, init=False)
    channel: Channel | None = attrs.field(default=None, init=False)
    carrier: Channel | None = attrs.field(default=None, init=False)  # the channel of the last 227 or 229
    under_way: Line | None = attrs.field(default=None, init=False)  # the transfer command before the origin
    aborted: bool = attrs.field(default=False, init=False)
    epsv_all: bool = attrs.field(default=False, init=False)
    greeted: bool = attrs.field(default=False, init=False)
    secure: bool = attrs.field(default=False, init=False)  # TLS was begun with the client
    private: bool = attrs.field(default=False, init=False)  # and is to be had on data connections
    opaque: bool = attrs.field(default=False, init=False)
    opaque_channels: int = attrs.field(default=0, init=False)
    armed: set[Deadline] = attrs.field(factory=set, init=False)
    disconnects: int = attrs.field(default=0, init=False)
    closed: bool = attrs.field(default=False, init=False)
    held: bool = attrs.field(default=False, init=False)  # the origin has said its last to the transfer command

    @property
    def waiting(self) -> list[Line]:
        """The lines that have no answer."""
        return [line for line in self.sent if not line.answered]

    @property
    def awaiting_auth(self) -> bool:
        """Whether a client that knows what it does says nothing more for now."""
        return bool(self.sent) and self.sent[-1].verb == b"AUTH" and not self.sent[-1].answered

    def command(self, data: bytes) -> Line:
        """The origin gets a command: the client's next, as it was, and nothing else."""
        assert self.greeted
        candidates = [line for line in self.waiting if not line.forwarded and line.verb]
        if self.hostile:
            candidates = [line for line in candidates if data == line.command.render()]
        line = candidates[0]
        assert data == line.command.render(), "what the origin gets is what the client sent"
        assert line.verb not in (b"PORT", b"EPRT", b"LPRT"), "law 2"
        assert self.hostile or self.refusal(line) is None
        line.forwarded = True
        if line.verb in (b"PASS", b"ACCT"):
            assert isinstance(self.event, on.LoginAdmitted), "no password goes to the origin unseen by the guard"
        elif line.verb in _PASSIVE and line.argument != b"ALL":
            assert isinstance(self.event, on.DataReserved), "nor does a port open there"
        if line.direction is not None:
            assert self.channel is None or self.channel.dialled, "law 7: the dial comes first"
            self.under_way, self.aborted, self.held = line, False, False
        elif line.verb == b"ABOR":
            self.aborted = True
        return line

    def reply(self, data: bytes) -> None:
        """The client gets a reply."""
        assert not self.opaque
        assembler = ReplyAssembler(1000, 1_000_000)
        *none, reply = [assembler.feed(line) for line in data.split(b"\r\n")[:-1]]
        assert reply is not None and reply.render() == data and not any(none), "one reply in one write"
        assert not any(secret in data for secret in _SECRET), "law 3"
        tag = re.search(rb"#(\w+)", data)
        if tag is None and reply.code != 421:
            line = self.waiting[0]
            assert self.hostile or self.may_be_ours(line, reply), "law 1: a local answer is in its place"
            if reply in (
                client_tls.PROTECTION_PRIVATE,
                client_tls.PROTECTION_CLEAR,
            ):  # whatever else was not answered
                self.private = reply == client_tls.PROTECTION_PRIVATE
        elif tag is not None and tag[1] == b"restart":
            assert self.hostile, "what the gateway asks is answered to the gateway"
            return
        elif tag is not None and tag[1].isdigit() and not reply.preliminary:
            line = self.sent[int(tag[1])]
            assert self.hostile or self.may_be_the_origins(line, reply)
        else:
            self.greeted = self.greeted or (tag is not None and tag[1] == b"hello" and not reply.preliminary)
            return
        line.answered = True
        self.follow(line, reply)

    def may_be_the_origins(self, line: Line, reply: Reply) -> bool:
        """Whether the origin's final reply to that command may reach the client now."""
        assert line.forwarded
        waiting = self.waiting
        if line.verb in _BESIDE:
            waiting = [other for other in waiting if other is not self.under_way]
        assert line is waiting[0], "law 1"
        if line is self.under_way and reply.positive and not self.aborted:
            assert self.carrier is None or line.direction in self.carrier.delivered, "laws 7, 8: it is not whole"
        if reply.code == _PASSIVE.get(line.verb) and line.argument != b"ALL":
            assert self.channel is not None and self.channel.listening, "law 4"
            assert reply.code == 227 or parse_229(reply) == self.ports.public_port(self.channel.port)
        return True

    def may_be_ours(self, line: Line, reply: Reply) -> bool:
        """Whether we may say that to the command ourselves."""
        if (refusal := self.refusal(line)) is not None:
            return reply == refusal
        if line.direction is not None:
            return self.may_be_of_a_transfer(line, reply)
        if line.verb in _PASSIVE:
            return self.may_be_of_a_port(line, reply)
        if not self.setting.tls.terminates:
            return False
        return VERBS[line.verb].kind is Kind.TLS or (line.verb == b"FEAT" and reply.code == 211)

    def may_be_of_a_transfer(self, line: Line, reply: Reply) -> bool:
        """Whether we may say that to a transfer command."""
        assert self.carrier is not None
        if reply == transfers.NO_DATA_CONNECTION:
            lost = self.carrier.expired or not self.carrier.dialled or line.direction is Towards.CLIENT
            return self.carrier.ended and lost and not line.forwarded
        if reply == transfers.TLS_FAILED:
            return self.carrier.insecure
        unread = [other for other in self.waiting if not other.forwarded]
        gives_up = bool(unread) and unread[0].verb == b"ABOR"
        return reply == transfers.TRANSFER_CUT and line.forwarded and (self.carrier.ended or gives_up)

    def may_be_of_a_port(self, line: Line, reply: Reply) -> bool:
        """Whether we may say that to PASV or EPSV."""
        match self.event:
            case on.ReplyReceived(origins):
                port = parse_227(origins) or parse_229(origins)
                usable = port is not None and self.ports.public_port(port) is not None
                usable = usable and origins.code == _PASSIVE[line.verb]
                return reply == transfers.NO_DATA_PORT and self.channel is None and not usable
            case on.DataDenied():
                return reply == transfers.TOO_MANY_PORTS
            case on.DataEnded():
                return reply == transfers.NO_DATA_PORT
            case on.DataListening(None) if self.channel is None:
                return reply == transfers.PASV_UNKNOWN
            case on.DataListening(host):
                assert self.channel is not None
                port = self.ports.public_port(self.channel.port)
                assert port is not None
                return reply == render_229(port) or (host is not None and reply == render_227(host, port))
            case _:
                return False

    def follow(self, line: Line, reply: Reply) -> None:
        """What a final reply changes."""
        if line.verb == b"EPSV" and line.argument == b"ALL":
            self.epsv_all = self.epsv_all or reply.positive
        elif line.verb in _PASSIVE and reply in (transfers.NO_DATA_PORT, transfers.PASV_UNKNOWN):
            self.carrier = None
        elif line.direction is not None and (line.forwarded or reply == transfers.NO_DATA_CONNECTION):
            self.under_way = self.carrier = None
            self.held = False

    def refusal(self, line: Line) -> Reply | None:
        """What the gateway itself says to a command; None where the origin is asked."""
        if isinstance(line.sent, Unclean):
            return tolerance.UNCLEAN
        if (refusal := self.setting.policy.refusal(line.sent)) is not None:
            return refusal
        require = self.setting.tls.require
        if require is not Requirement.NONE and not self.secure and line.verb in (b"USER", b"PASS", b"ACCT"):
            return client_tls.CONTROL_REQUIRED
        if require is Requirement.DATA and not self.private and line.direction is not None:
            return client_tls.DATA_REQUIRED
        if line.verb == b"REIN" and self.secure:
            return refusals.REIN_UNDER_TLS
        return refusals.PASV_AFTER_ALL if line.verb == b"PASV" and self.epsv_all else None

    def auth(self, data: bytes) -> None:
        """The client is told that its TLS begins, here or at the origin."""
        line = self.sent[-1]
        assert line.verb == b"AUTH", "law 11: nothing came behind it"
        assert self.hostile or self.waiting == [line], "law 1"
        assert data.startswith(b"234 ") and not any(secret in data for secret in _SECRET)
        line.answered = True
        self.private = line.argument in (b"SSL", b"TLS-P")

    def open_data(self, origin_port: int, public_port: int) -> None:
        """A data channel is opened."""
        event = self.event
        assert isinstance(event, on.ReplyReceived) and len(event.reply.lines) == 1, "law 5"
        parse = {227: parse_227, 229: parse_229}[event.reply.code]
        assert parse(event.reply) == origin_port, "law 5"
        assert self.ports.public_port(origin_port) == public_port
        assert any(_PASSIVE.get(line.verb) == event.reply.code for line in self.sent if line.forwarded), "law 5"
        self.channel = self.carrier = Channel(origin_port, begun=not self.setting.tls.terminates)

    def release(self) -> None:
        """A data channel is left to itself."""
        assert self.channel is not None and self.channel.delivered, "law 8"
        self.channel = None

    def abort(self) -> None:
        """A data channel is cut."""
        assert self.channel is not None
        if self.under_way is not None and not self.hostile:
            assert self.under_way.direction not in self.channel.delivered, "what is whole is not cut"
        self.channel = None

    def close(self, outcome: Outcome) -> None:
        """The session ends."""
        self.closed = True
        if self.under_way is not None and not self.aborted and not self.hostile:
            assert outcome is not Outcome.DRAINED or self.event == on.Stopped(), "a drain lets transfers end"
            assert outcome is not Outcome.ORIGIN_LOST or not self.held, "what the origin said is passed on"

    def check(self) -> None:
        """What holds whenever the session waits for something."""
        waiting = self.waiting
        assert len([line for line in waiting if not line.forwarded]) <= MAX_QUEUED + 1, "law 10"
        assert len([line for line in waiting if line.forwarded]) <= MAX_QUEUED, "law 10"
        assert self.armed or self.channel is not None or self.opaque_channels, "it waits for ever"
        if self.greeted and not self.hostile:
            moving = self.under_way is not None and self.channel is not None and self.channel.dialled
            idle = not moving and not self.opaque_channels
            assert (Deadline.IDLE in self.armed) == idle, "idle is what moves no bytes"
