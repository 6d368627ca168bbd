"""The hands of one session: they turn bytes into events, and perform the judge's actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

import attrs
from twisted.logger import Logger

from gateway.addresses import SocketAddress, peer_address
from gateway.guard.places import Place
from gateway.net import proxy_header as proxy
from gateway.net.leg import Leg
from gateway.net.names import Attempt, dial
from gateway.net.reactor import Reactor
from gateway.net.tls_leg import Handshake
from gateway.observe.records import Record
from gateway.relay.channels import Channels, may_be_new
from gateway.relay.deadlines import Deadlines
from gateway.relay.login import Login
from gateway.relay.notes import Notes
from gateway.relay.opaque import OpaqueRelay
from gateway.relay.sides import Side
from gateway.relay.terms import SessionTerms
from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.endings import UNAVAILABLE
from gateway.session.judge import Judge
from gateway.session.reading import Reading
from gateway.session.setting import Setting

_log = Logger("gateway")


@attrs.define(eq=False)
class Relay:
    """A client's control connection, from its first moment until nothing of it is left.

    It is longer than other classes, and has more fields: the parts of a session meet only here, and each action of
    the judge has its few lines.

    :param number: the session's number in events.
    :param gone: called once, when both control connections and every data channel are gone.
    """

    reactor: Reactor = attrs.field(repr=False)
    terms: SessionTerms = attrs.field(repr=False)
    number: int
    gone: Callable[[Relay], None] = attrs.field(repr=False)
    _client: Side = attrs.field(init=False, repr=False)
    _origin: Side | None = attrs.field(default=None, init=False, repr=False)
    _dialling: Attempt | None = attrs.field(default=None, init=False, repr=False)
    _judge: Judge = attrs.field(init=False)
    _reading: Reading = attrs.field(factory=Reading, init=False, repr=False)
    _events: list[on.Event] = attrs.field(factory=list, init=False, repr=False)
    _working: bool = attrs.field(default=False, init=False)
    _left: bool = attrs.field(default=False, init=False, repr=False)
    _deadlines: Deadlines = attrs.field(init=False, repr=False)
    _login: Login = attrs.field(init=False, repr=False)
    _channels: Channels = attrs.field(init=False, repr=False)
    _opaque: OpaqueRelay | None = attrs.field(default=None, init=False, repr=False)
    _ends: proxy.ProxyInfo = attrs.field(init=False, repr=False)
    _notes: Notes = attrs.field(init=False, repr=False)

    def start(self, leg: Leg, peer: SocketAddress, told: proxy.ProxyInfo | None, place: Place) -> None:
        """Begins the session of a client.

        :param told: the ends that its PROXY header names; None where the connection is its own.
        :param place: the client's country and AS number.
        """
        terms = self.terms
        self._deadlines = Deadlines(
            self.reactor, terms.deadlines, lambda deadline: self.tell(on.DeadlinePassed(deadline))
        )
        self._client = Side(self.reactor, self, leg, peer[0])
        local = peer_address(self._client.local)
        own = proxy.ProxyInfo((peer_address(peer[0]), peer[1]), (local, leg.socket.getsockname()[1]))
        self._ends = told or own
        client = self._ends.client[0]
        self._notes = Notes(terms.note, self.number, client, self.reactor.seconds, terms.guard)
        self._channels = Channels(self.reactor, terms, self, self._ends, local)
        self._judge = Judge(
            Setting(
                name=terms.name,
                client=client,
                public=terms.public_text(self._ends.reached[0]),
                policy=terms.policy,
                banner=terms.banner,
                tls=terms.tls,
            )
        )
        self._notes.connected(None if told is None else str(own.client[0]), place)
        self._login = Login(self.reactor, terms.guard, client, self)
        self.tell(on.Started())

    def tell(self, event: on.Event) -> None:
        """Gives the judge an event, and does all that follows."""
        self._work(self._events.append, event)

    def note(self, record: Record) -> None:
        """Writes an event of this session down."""
        self._notes(record)

    # Both sides

    @property
    def _sides(self) -> tuple[Side, ...]:
        return (self._client,) if self._origin is None else (self._client, self._origin)

    def received(self, side: Side, data: bytes) -> None:
        """Takes bytes of a control connection."""
        self._work(self._take_in, side, data)

    def secured(self, side: Side) -> None:
        """Called when a control connection has TLS."""
        if side is self._client:
            self._notes.client_tls = side.tls
            self.tell(on.ClientSecured())
        else:
            self._notes.origin_tls = side.tls
            self.tell(on.OriginSecured())

    def insecure(self, side: Side, reason: str) -> None:
        """Called when TLS failed on a control connection, in its handshake or later."""
        if side is self._client:
            self.tell(on.ClientTLSFailed(reason))
        else:
            assert self._channels.origin_tls is not None
            self.tell(on.OriginTLSFailed(self._channels.origin_tls.failure or reason))

    def flow_changed(self) -> None:
        """Called when a peer reads slowly, or no longer does."""
        self._work()

    def failed(self) -> None:
        """Called when an exception, now in the log, was raised while a control connection was served."""
        if not self._left:
            self._give_up()

    def lost(self, side: Side) -> None:
        """Called when a control connection is gone."""
        if not self._left:  # if TLS broke, `insecure` came before, and the session may have left
            self.tell(on.ClientLost() if side is self._client else on.OriginLost())

    # The loop

    def _work(self, happened: Callable[..., None] | None = None, *of: Any) -> None:
        """Takes an event in, and does all that follows. A failure of ours ends this session, and no other."""
        if self._left:
            return
        if self._working:
            if happened is not None:
                happened(*of)
            return
        self._working = True
        try:
            if happened is not None:
                happened(*of)
            self._go_on()
        except Exception:
            name = self.terms.name
            _log.failure("[{name}] session {number}: internal error", name=name, number=self.number)
            self._give_up()
        finally:
            self._working = False
        if self._judge.ended:
            self._leave()

    def _take_in(self, side: Side, data: bytes) -> None:
        if self._opaque is not None:
            self._events.append(self._opaque.received(side, data))
        elif side is self._client:
            self._reading.commands.feed(data)
        else:
            self._reading.replies.feed(data)

    def _go_on(self) -> None:
        more = True
        while more:
            while (event := self._events.pop(0) if self._events else self._read()) is not None:
                for action in self._judge.receive(event):
                    self._perform(action)
            self._client.flush()
            if self._origin is not None:
                self._origin.flush()
            more = bool(self._events)  # for example the loss of a side
        if not self._judge.ended:
            slow = self._client.full
            self._client.read(
                self._judge.hungry and not slow and not (self._origin is not None and self._origin.full)
            )
            if self._origin is not None:
                self._origin.read(self._judge.listens and not slow)

    def _read(self) -> on.Event | None:
        if self._judge.ended or self._client.full or self._opaque is not None:
            return None
        return self._reading.next(self._judge)

    def _give_up(self) -> None:
        """Ends the session after a mistake of ours, and tells the client if it was not told of the end yet."""
        self._events.clear()
        said, self._judge.ended = self._judge.ended, True
        try:
            if not said and self._opaque is None:
                self._client.send(UNAVAILABLE.render())
            self._close(do.Outcome.INTERNAL_ERROR)
        except Exception:
            _log.failure("[{name}] session {number}: not closed", name=self.terms.name, number=self.number)
            self._tell_end(do.Outcome.INTERNAL_ERROR)
            for side in self._sides:
                side.abort()

    def _leave(self) -> None:
        if self._left or self._channels:
            return
        if not any(side.up for side in self._sides):
            self._left = True
            # Break reference cycles by hand: the collector runs rarely and pauses every session.
            del self._client, self._origin, self._channels, self._deadlines, self._dialling, self._opaque, self._login
            self.gone(self)

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
            case do.Note(record):
                self._notes(record)
            case do.ConnectOrigin():
                self._connect()
            case do.ReserveData():
                self._channels.reserve()
            case do.FreeData():
                self._channels.free()
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
            case do.AttemptLogin():
                self._login.attempt()
            case do.ConfirmLogin():
                self._login.confirm()
            case do.ReapplyLogin():
                self._login.reapply()
            case do.WithdrawLogin():
                self._login.withdraw()
            case do.CountFailedLogin():
                self._login.fail()
            case do.Close(outcome):
                self._close(outcome)
            case _:
                assert_never(action)

    def _connect(self) -> None:
        origin = self.terms.origin
        self._dialling = dial(
            self.reactor, origin.host, origin.port, origin.name is not None, origin.connect_timeout, self._dialled
        )

    def _dialled(self, answer: Leg | str, address: str) -> None:
        self._dialling = None
        if isinstance(answer, str):
            self.tell(on.OriginFailed(answer))
        else:
            self._work(self._meet_origin, answer, address)

    def _meet_origin(self, leg: Leg, address: str) -> None:
        origin = self.terms.origin
        self._origin = self._channels.origin = Side(self.reactor, self, leg, address)
        self._notes.origin = str(peer_address(address))
        if header := origin.control_header(self._ends):
            self._origin.send(header)
        self._events.append(on.OriginConnected(peer_address(address), origin.name, origin.ports))

    def _start_client_tls(self, data: bytes) -> None:
        assert self.terms.client_tls is not None
        if self._reading.commands.ahead:
            self._events.append(on.Injected())
            return
        self._client.send(data)
        tls = self._channels.client_tls = self.terms.client_tls.session()
        self._client.secure(Handshake(tls.accept, may_be_new))

    def _start_origin_tls(self) -> None:
        assert self.terms.origin.tls is not None and self._origin is not None
        if self._reading.replies.ahead:
            self._events.append(on.Injected())
            return
        tls = self._channels.origin_tls = self.terms.origin.tls.session()
        self._origin.secure(Handshake(tls.begin, tls.check))

    def _go_opaque(self, data: bytes) -> None:
        assert self._origin is not None
        if self._reading.commands.ahead or self._reading.replies.ahead:
            self._events.append(on.Injected())
            return
        self._opaque = OpaqueRelay(self._channels, self._client, self._origin)
        self._opaque.open()
        self._client.send(data)
        self._channels.forget()
        self._channels.free()
        if self._channels:
            self._events.append(on.OpaqueChannels(len(self._channels)))

    def cut(self) -> None:
        """Ends every data channel now."""
        self._work(lambda: self._channels.cut())

    def _close(self, outcome: do.Outcome) -> None:
        self._let_go(outcome)
        self._tell_end(outcome)
        for side in self._sides:
            side.close()

    def _tell_end(self, outcome: do.Outcome) -> None:
        channels = self._channels
        self._login.close()
        channels.free()
        self._notes.disconnected(
            outcome.value, self._judge.user, channels.to_client, channels.to_origin, channels.count
        )

    def _let_go(self, outcome: do.Outcome) -> None:
        self._deadlines.stop()
        if self._dialling is not None:
            self._dialling.cancel()  # without effect after the answer
        self._channels.forget()
        try:
            if self._opaque is not None:
                self._opaque.close()
        finally:
            # In an opaque session it is unknown which of the client's sessions a data connection belongs to.
            if self._opaque is None or outcome not in (do.Outcome.CLIENT_LOST, do.Outcome.ORIGIN_CLOSED):
                self._channels.cut()

    def channel_gone(self) -> None:
        """Called when a data channel ended from which the judge expects nothing more."""
        if self._opaque is not None:
            self._events.append(on.OpaqueChannels(len(self._channels)))
        self._work()
