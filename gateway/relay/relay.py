"""One session's hands: turns what happens into events, and does what the judge asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

import attrs
from twisted.internet.interfaces import IDelayedCall

from gateway.addresses import SocketAddress, peer_address
from gateway.ftp.commands import TLS_HANDSHAKE, Command
from gateway.ftp.lines import LineReader, Unclean
from gateway.ftp.replies import NotFTP, ReplyAssembler
from gateway.ftp.telnet import TelnetFilter
from gateway.net import proxy_header as proxy
from gateway.net.leg import Leg
from gateway.net.names import Attempt, dial
from gateway.net.reactor import Reactor
from gateway.net.tls_leg import Handshake
from gateway.relay.application import Application
from gateway.relay.channels import Channels, may_be_new
from gateway.relay.deadlines import Deadlines
from gateway.relay.opaque import Opaque
from gateway.relay.sides import Side
from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.judge import Judge, Setting

MAX_COMMAND = 4096  # bytes of a command line
MAX_REPLY_LINE = 8192
MAX_REPLY_LINES = 1000
MAX_REPLY = 1024 * 1024
MAX_EVENTS = 100  # of one name that a session has written down, but for those of _ALWAYS_TOLD


# What there is once in a session, or belongs to a transfer.
_ALWAYS_TOLD = frozenset({"connect", "clientBanned", "dataChannel", "eventsWithheld", "disconnect"})


@attrs.define(eq=False)
class Relay:
    """A client's control connection, from its first moment until nothing of it is left.

    :param number: tells this session from others in events.
    :param gone: called once, when both control connections and every data channel are gone.
    """

    reactor: Reactor = attrs.field(repr=False)
    application: Application = attrs.field(repr=False)
    number: int
    gone: Callable[[Relay], None] = attrs.field(repr=False)
    _client: Side = attrs.field(init=False, repr=False)
    _origin: Side | None = attrs.field(default=None, init=False, repr=False)
    _dialling: Attempt | None = attrs.field(default=None, init=False, repr=False)
    _judge: Judge = attrs.field(init=False)
    _deadlines: Deadlines = attrs.field(init=False, repr=False)
    _telnet: TelnetFilter = attrs.field(factory=TelnetFilter, init=False, repr=False)
    _commands: LineReader = attrs.field(factory=lambda: LineReader(MAX_COMMAND), init=False, repr=False)
    _reply_lines: LineReader = attrs.field(factory=lambda: LineReader(MAX_REPLY_LINE), init=False, repr=False)
    _replies: ReplyAssembler = attrs.field(
        factory=lambda: ReplyAssembler(MAX_REPLY_LINES, MAX_REPLY), init=False, repr=False
    )
    _events: list[on.Event] = attrs.field(factory=list, init=False, repr=False)
    _working: bool = attrs.field(default=False, init=False)
    _channels: Channels = attrs.field(init=False, repr=False)
    _ends: proxy.ProxyInfo = attrs.field(init=False, repr=False)
    _client_name: str = attrs.field(init=False)
    _left: bool = attrs.field(default=False, init=False, repr=False)
    _opaque: Opaque | None = attrs.field(default=None, init=False, repr=False)
    _via: str | None = attrs.field(default=None, init=False, repr=False)
    _began: float = attrs.field(default=0.0, init=False, repr=False)
    _told: dict[str, int] = attrs.field(factory=dict, init=False, repr=False)  # how often, by the event's name
    _tarpit: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def start(self, leg: Leg, peer: SocketAddress, told: proxy.ProxyInfo | None) -> None:
        """Begins the session of the client that came.

        :param told: what its PROXY header told; None where the connection is its own.
        """
        self._began = self.reactor.seconds()
        application = self.application
        self._deadlines = Deadlines(
            self.reactor, application.deadlines, lambda deadline: self.tell(on.DeadlinePassed(deadline))
        )
        self._client = Side(self.reactor, self, leg, peer[0])
        local = peer_address(self._client.local)
        own = proxy.ProxyInfo((peer_address(peer[0]), peer[1]), (local, leg.socket.getsockname()[1]))
        self._ends = told or own
        self._client_name = str(self._ends.client[0])
        self._channels = Channels(self.reactor, application, self, self._ends, local)
        self._judge = Judge(
            Setting(
                name=application.name,
                origin_host=application.origin_host if application.origin_named else None,
                client=self._ends.client[0],
                public=application.public_text(self._ends.reached[0]),
                ports=application.ports,
                policy=application.policy,
                banner=application.banner,
                tls=application.tls,
            )
        )
        self._via = None if told is None else str(own.client[0])
        self.tell(on.Started())

    def tell(self, event: on.Event) -> None:
        """Lets the judge know, and does what it asks for; then what it makes of the bytes that wait."""
        self._events.append(event)
        self._work()

    # Both sides

    def received(self, side: Side, data: bytes) -> None:
        """Bytes came on a control connection."""
        if self._opaque is not None:
            self._events.append(self._opaque.received(side, data))
        elif side is not self._client:
            self._reply_lines.feed(data)
        elif self._commands.empty and (data[0] == TLS_HANDSHAKE or data.startswith(proxy.SIGNATURE)):
            self._events.append(on.ForeignReceived())
        else:
            self._commands.feed(self._telnet.strip(data))
        self._work()

    def secured(self, side: Side) -> None:
        """A control connection has TLS."""
        self.tell(on.ClientSecured() if side is self._client else on.OriginSecured())

    def insecure(self, side: Side, reason: str) -> None:
        """A control connection could not have TLS, or not go on with it."""
        if side is self._client:
            self.tell(on.ClientTLSFailed(reason))
        else:
            assert self._channels.origin_tls is not None
            self.tell(on.OriginTLSFailed(self._channels.origin_tls.failure or reason))

    def flow_changed(self) -> None:
        """A peer reads slowly, or does again."""
        self._work()

    def lost(self, side: Side) -> None:
        """A control connection is gone."""
        if not self._left:  # as it has where TLS broke, which was told before
            self.tell(on.ClientLost() if side is self._client else on.OriginLost())

    def _work(self) -> None:
        if self._working or self._left:
            return
        self._working = True
        try:
            more = True
            while more:
                while (event := self._next_event()) is not None:
                    for action in self._judge.receive(event):
                        self._perform(action)
                self._client.flush()
                if self._origin is not None:
                    self._origin.flush()
                more = bool(self._events)  # that a side was lost, say
        finally:
            self._working = False
        if self._judge.ended:
            self._leave()
            return
        slow = self._client.full
        self._client.read(self._judge.hungry and not slow and not (self._origin is not None and self._origin.full))
        if self._origin is not None:
            self._origin.read(not slow)

    def _leave(self) -> None:
        if self._left or self._channels:
            return
        if not any(side is not None and side.up for side in (self._client, self._origin)):
            self._left = True
            # Whatever holds a session that it holds would stay until a collection of garbage, which stops everybody.
            del self._client, self._origin, self._channels, self._deadlines, self._dialling, self._opaque
            self.gone(self)

    def _next_event(self) -> on.Event | None:
        if self._events:
            return self._events.pop(0)
        if self._judge.ended or self._client.full or self._opaque is not None:
            return None
        if self._reply_lines.waiting and (event := self._next_reply()) is not None:
            return event
        return self._next_command() if self._commands.waiting and self._judge.hungry else None

    def _next_reply(self) -> on.Event | None:
        while (line := self._reply_lines.next_line()) is not None:
            if line is Unclean.TOO_LONG:
                return on.OriginBroke("reply line too long")
            if isinstance(line, Unclean):
                return on.OriginBroke(f"reply not clean: {line.value}")
            try:
                reply = self._replies.feed(line)
            except NotFTP as error:
                return on.OriginBroke(str(error))
            if reply is not None:
                return on.ReplyReceived(reply)
        return on.OriginBroke("reply line too long") if self._reply_lines.overflowing else None

    def _next_command(self) -> on.Event | None:
        line = self._commands.next_line()
        if line is None:
            return None
        return on.UncleanReceived(line) if isinstance(line, Unclean) else on.CommandReceived(Command.parse(line))

    # Actions

    def _perform(self, action: do.Action) -> None:
        match action:
            case do.SendToClient(data):
                self._client.send(data)
            case do.SendToOrigin(data):
                assert self._origin is not None
                self._origin.send(data)
            case do.Arm(deadline):
                self._deadlines.arm(deadline)
            case do.Disarm(deadline):
                self._deadlines.disarm(deadline)
            case do.Note(name, fields):
                self.note(name, fields)
            case do.ConnectOrigin():
                self._connect()
            case do.OpenData(origin_port, public_port):
                self._channels.open(origin_port, public_port)
            case do.StartClientTLS(data):
                self._start_client_tls(data)
            case do.StartOriginTLS():
                self._start_origin_tls()
            case do.GoOpaque(data):
                self._go_opaque(data)
            case do.BeginData(secure, towards):
                self._channels.begin(secure, towards)
            case do.DialData():
                self._channels.dial()
            case do.ReleaseData():
                self._channels.release()
            case do.AbortData():
                self._channels.abort()
            case do.CountFailedLogin():
                self._count_failed_login()
            case do.Close(outcome):
                self._close(outcome)
            case _:
                assert_never(action)

    def note(self, name: str, fields: Mapping[str, object]) -> None:
        """Writes an event of this session down, unless there were too many of the kind: a scanner fills no disk."""
        if name not in _ALWAYS_TOLD:
            self._told[name] = told = self._told.get(name, 0) + 1
            if told == MAX_EVENTS + 1:
                self.note("eventsWithheld", {"of": name})
            if told > MAX_EVENTS:
                return
        if name == "connect" and self._via is not None:
            fields = {**fields, "proxy": self._via}
        if name == "disconnect":
            fields = {**fields, "duration": round(self.reactor.seconds() - self._began, 6)}
        self.application.note(name, {"session": self.number, "client": self._client_name, **fields})

    def _count_failed_login(self) -> None:
        guard = self.application.guard
        consequence = guard.login_failed(self._ends.client[0])
        if consequence.banned is not None:
            fields = {"failures": consequence.banned, "seconds": guard.limits.logins.ban}
            self.note("clientBanned", fields)
        counted = on.FailedLoginCounted(consequence.last)
        if consequence.delay:
            self._tarpit = self.reactor.callLater(consequence.delay, self.tell, counted)
        else:
            self._events.append(counted)

    def _connect(self) -> None:
        application = self.application
        self._dialling = dial(
            self.reactor,
            application.origin_host,
            application.origin_port,
            application.origin_named,
            application.connect_timeout,
            self._dialled,
        )

    def _dialled(self, answer: Leg | str, address: str) -> None:
        self._dialling = None
        if isinstance(answer, str):
            self.tell(on.OriginFailed(answer))
            return
        self._origin = self._channels.origin = Side(self.reactor, self, answer, address)
        if header := self.application.control_header(self._ends):
            self._origin.send(header)
        self.tell(on.OriginConnected(peer_address(address)))

    def _start_client_tls(self, data: bytes) -> None:
        assert self.application.client_tls is not None
        if self._client_is_ahead:
            self._events.append(on.Injected())
            return
        self._client.send(data)
        tls = self._channels.client_tls = self.application.client_tls.session()
        self._client.secure(Handshake(tls.accept, may_be_new))

    def _start_origin_tls(self) -> None:
        assert self.application.origin_tls is not None and self._origin is not None
        if not self._reply_lines.empty:
            self._events.append(on.Injected())
            return
        tls = self._channels.origin_tls = self.application.origin_tls.session()
        self._origin.secure(Handshake(tls.begin, tls.check))

    @property
    def _client_is_ahead(self) -> bool:
        """Whether anything came behind the client's last command, be it a Telnet command."""
        return not self._commands.empty or not self._telnet.ends_in_text

    def _go_opaque(self, data: bytes) -> None:
        assert self._origin is not None
        if self._client_is_ahead or not self._reply_lines.empty:
            self._events.append(on.Injected())
            return
        self._opaque = Opaque(self._channels, self._client, self._origin)
        self._opaque.open()
        self._client.send(data)

    def cut(self) -> None:
        """Ends every data channel now."""
        if not self._left:
            self._channels.cut()

    def _close(self, outcome: do.Outcome) -> None:
        self._deadlines.stop()
        if self._dialling is not None:
            self._dialling.cancel()  # of no effect where it has an answer
        if self._tarpit is not None and self._tarpit.active():
            self._tarpit.cancel()
        self._channels.forget()
        if self._opaque is not None:
            self._opaque.close()
        # Which of a client's sessions a data connection belongs to is not known where none can be read.
        if self._opaque is None or outcome not in (do.Outcome.CLIENT_LOST, do.Outcome.ORIGIN_CLOSED):
            self.cut()
        for side in (self._client, self._origin):
            if side is not None:
                side.close()

    def channel_gone(self) -> None:
        """A data channel has ended that the judge awaits nothing of."""
        if self._opaque is not None:
            self._events.append(on.OpaqueChannels(len(self._channels)))
        self._work()
