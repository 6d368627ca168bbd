"""One session's hands: turns what happens into events, and does what the judge asks for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import assert_never

import attrs
from OpenSSL import SSL
from twisted.internet.interfaces import IDelayedCall

from gateway.addresses import Address, SocketAddress, peer_address
from gateway.data.bandwidth import Throttles
from gateway.data.channel import DataChannel, Ending, Route, Usage
from gateway.data.range import OpenRange
from gateway.ftp.commands import TLS_ALERT, TLS_HANDSHAKE
from gateway.net import proxy_header as proxy
from gateway.net.leg import Leg
from gateway.net.names import Attempt, dial
from gateway.net.reactor import Reactor
from gateway.net.tls_leg import Handshake
from gateway.observe.records import (
    ClientBanned,
    DataChannelEnded,
    DataPortsUnavailable,
    ProxyHeaderRefused,
    Record,
    StrangerRefused,
    TLSFailed,
    TLSSide,
    TooManyDataChannels,
)
from gateway.relay.application import Application
from gateway.relay.deadlines import Deadlines
from gateway.relay.notes import Notes
from gateway.relay.sides import Side
from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.judge import Judge
from gateway.session.reading import Reading
from gateway.session.setting import Setting
from gateway.tls.to_clients import SessionTLS, resumed
from gateway.tls.to_origin import OriginSession

MAX_OPAQUE_CHANNELS = 64  # data channels at once of a session that cannot be read


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
    _reading: Reading = attrs.field(factory=Reading, init=False, repr=False)
    _events: list[on.Event] = attrs.field(factory=list, init=False, repr=False)
    _working: bool = attrs.field(default=False, init=False)
    _data: Passage | None = attrs.field(default=None, init=False, repr=False)
    _passages: list[Passage] = attrs.field(factory=list, init=False, repr=False)
    _ends: proxy.ProxyInfo = attrs.field(init=False, repr=False)
    _client_address: Address = attrs.field(init=False)
    _reached: Address = attrs.field(init=False, repr=False)  # what the client knows, be it a load balancer's
    _local: Address = attrs.field(init=False, repr=False)
    _left: bool = attrs.field(default=False, init=False, repr=False)
    _client_tls: SessionTLS | None = attrs.field(default=None, init=False, repr=False)
    _origin_tls: OriginSession | None = attrs.field(default=None, init=False, repr=False)
    _opaque: OpenRange | None = attrs.field(default=None, init=False, repr=False)
    _silent: tuple[Side | None, ...] = attrs.field(default=(), init=False, repr=False)  # owe the first byte of TLS
    _notes: Notes = attrs.field(init=False, repr=False)
    _throttles: Throttles | None = attrs.field(init=False, repr=False)
    _tarpit: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def start(self, leg: Leg, peer: SocketAddress, told: proxy.ProxyInfo | None) -> None:
        """Begins the session of the client that came.

        :param told: what its PROXY header told; None where the connection is its own.
        """
        application = self.application
        self._deadlines = Deadlines(
            self.reactor, application.deadlines, lambda deadline: self.tell(on.DeadlinePassed(deadline))
        )
        self._client = Side(self.reactor, self, leg, peer[0])
        self._local = peer_address(self._client.local)
        own = proxy.ProxyInfo((peer_address(peer[0]), peer[1]), (self._local, leg.socket.getsockname()[1]))
        self._ends = told or own
        self._client_address, self._reached = self._ends.client[0], self._ends.reached[0]
        self._throttles = application.bandwidth.of_session()
        self._judge = Judge(
            Setting(
                name=application.name,
                client=self._client_address,
                public=application.public_text(self._reached),
                policy=application.policy,
                banner=application.banner,
                tls=application.tls,
            )
        )
        self._notes = Notes(application.note, self.number, str(self._client_address), self.reactor.seconds)
        self._notes.connected(None if told is None else str(own.client[0]))
        self.tell(on.Started())

    def tell(self, event: on.Event) -> None:
        """Lets the judge know, and does what it asks for; then what it makes of the bytes that wait."""
        self._events.append(event)
        self._work()

    # Both sides

    def received(self, side: Side, data: bytes) -> None:
        """Bytes came on a control connection."""
        if self._opaque is not None:
            self._opaque_received(self._opaque, side, data)
        elif side is self._client:
            self._reading.commands.feed(data)
        else:
            self._reading.replies.feed(data)
        self._work()

    def secured(self, side: Side) -> None:
        """A control connection has TLS."""
        if side is self._client:
            self._notes.client_tls = side.tls
            self.tell(on.ClientSecured())
        else:
            self._notes.origin_tls = side.tls
            self.tell(on.OriginSecured())

    def insecure(self, side: Side, reason: str) -> None:
        """A control connection could not have TLS, or not go on with it."""
        if side is self._client:
            self.tell(on.ClientTLSFailed(reason))
        else:
            assert self._origin_tls is not None
            self.tell(on.OriginTLSFailed(self._origin_tls.failure or reason))

    def flow_changed(self) -> None:
        """A peer reads slowly, or does again."""
        self._work()

    def lost(self, side: Side) -> None:
        """A control connection is gone."""
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
        sides = (self._client, self._origin)
        if not self._left and not self._passages and not any(side is not None and side.up for side in sides):
            self._left = True
            # Whatever holds a session that it holds would stay until a collection of garbage, which stops everybody.
            del self._client, self._origin, self._silent, self._deadlines, self._dialling, self._opaque
            self.gone(self)

    def _next_event(self) -> on.Event | None:
        if self._events:
            return self._events.pop(0)
        if self._judge.ended or self._client.full or self._opaque is not None:
            return None
        return self._reading.next(self._judge.hungry)

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
            case do.OpenData(origin_port, public_port):
                self._open_data(origin_port, public_port)
            case do.StartClientTLS(data):
                self._start_client_tls(data)
            case do.StartOriginTLS():
                self._start_origin_tls()
            case do.GoOpaque(data):
                self._go_opaque(data)
            case do.BeginData(secure, towards):
                assert self._data is not None
                to_client = None if towards is None else towards is on.Towards.CLIENT
                self._data.channel.begin(self._client_security() if secure else None, to_client)
            case do.DialData():
                assert self._data is not None
                self._data.channel.dial()
            case do.ReleaseData():
                assert self._data is not None
                self._data.channel.release()
                self._data = None
            case do.AbortData():
                passage, self._data = self._data, None
                assert passage is not None
                passage.channel.close()
            case do.CountFailedLogin():
                self._count_failed_login()
            case do.Close(outcome):
                self._close(outcome)
            case _:
                assert_never(action)

    def note(self, record: Record) -> None:
        """Writes an event of this session down."""
        self._notes(record)

    def _count_failed_login(self) -> None:
        guard = self.application.guard
        consequence = guard.login_failed(self._client_address)
        if consequence.banned is not None:
            self._notes(ClientBanned(consequence.banned, guard.limits.logins.ban))
        counted = on.FailedLoginCounted(consequence.last)
        if consequence.delay:
            self._tarpit = self.reactor.callLater(consequence.delay, self.tell, counted)
        else:
            self._events.append(counted)

    def _connect(self) -> None:
        origin = self.application.origin
        self._dialling = dial(
            self.reactor, origin.host, origin.port, origin.name is not None, origin.connect_timeout, self._dialled
        )

    def _dialled(self, answer: Leg | str, address: str) -> None:
        self._dialling = None
        if isinstance(answer, str):
            self.tell(on.OriginFailed(answer))
            return
        self._origin = Side(self.reactor, self, answer, address)
        self._notes.origin = str(peer_address(address))
        origin = self.application.origin
        if header := origin.control_header(self._ends):
            self._origin.send(header)
        self.tell(on.OriginConnected(peer_address(address), origin.name, origin.ports))

    def _start_client_tls(self, data: bytes) -> None:
        assert self.application.client_tls is not None
        if self._reading.commands.ahead:
            self._events.append(on.Injected())
            return
        self._client.send(data)
        self._client_tls = self.application.client_tls.session()
        self._client.secure(Handshake(self._client_tls.accept, _may_be_new))

    def _start_origin_tls(self) -> None:
        assert self.application.origin.tls is not None and self._origin is not None
        if self._reading.replies.ahead:
            self._events.append(on.Injected())
            return
        self._origin_tls = self.application.origin.tls.session()
        self._origin.secure(Handshake(self._origin_tls.begin, self._origin_tls.check))

    def _client_security(self) -> Handshake:
        assert self._client_tls is not None
        return Handshake(self._client_tls.accept, _must_resume if self.application.data_resumption else _may_be_new)

    def _go_opaque(self, data: bytes) -> None:
        application = self.application
        if self._reading.commands.ahead or self._reading.replies.ahead:
            self._events.append(on.Injected())
            return
        self._opaque = OpenRange(
            application.data_ports,
            application.data_host(self._local),
            application.peers(self._client_address),
            self._opaque_came,
            self.stranger,
            application.is_proxy,
            self.header_refused,
        )
        self._silent = (self._client, self._origin)
        missing = self._opaque.open(application.origin.ports.public)
        if missing:
            self._notes(DataPortsUnavailable(",".join(map(str, missing))))
        self._client.send(data)

    def _opaque_received(self, opaque: OpenRange, side: Side, data: bytes) -> None:
        other = self._origin if side is self._client else self._client
        assert other is not None
        if side in self._silent:
            self._silent = tuple(other for other in self._silent if other is not side)
            if data[0] not in (TLS_ALERT, TLS_HANDSHAKE):
                self._events.append(on.Injected())
                return
        other.send(data)
        opaque.spoke = self.reactor.seconds()
        self._events.append(on.OpaqueMoved())

    def _opaque_came(self, port: int, connection: socket.socket, address: Address) -> None:
        if len(self._passages) == MAX_OPAQUE_CHANNELS:
            Leg(self.reactor, connection).reset()
            self._notes(TooManyDataChannels(str(address), port))
            return
        ports = self.application.origin.ports
        passage = Passage(self, self._route(ports.origin[port - ports.public.start], port))
        self._passages.append(passage)
        self._opaque_channels()
        passage.channel.adopt(connection, address)
        self._work()

    def _opaque_channels(self) -> None:
        assert self._opaque is not None
        self._opaque.busy = bool(self._passages)
        self._events.append(on.OpaqueChannels(len(self._passages)))

    def _open_data(self, origin_port: int, public_port: int) -> None:
        self._data = None  # a client has one at a time: its last one is over, or given up
        self.cut()
        self._data = Passage(self, self._route(origin_port, public_port))
        self._passages.append(self._data)
        self._data.channel.open()

    def _route(self, origin_port: int, public_port: int) -> Route:
        assert self._origin is not None
        application = self.application
        tls = self._origin_tls
        return Route(
            public=(application.data_host(self._local), public_port),
            origin=(self._origin.peer, origin_port),
            source=self._origin.local,
            peers=application.peers(self._client_address),
            is_proxy=application.is_proxy,
            header=application.origin.data_header(proxy.ProxyInfo(self._ends.client, (self._reached, public_port))),
            throttles=self._throttles,
            connect_timeout=application.origin.connect_timeout,
            accept_timeout=application.accept_timeout,
            stall_timeout=application.stall_timeout,
            secure_origin=None if tls is None else Handshake(tls.connect, tls.check),
            secure_client=application.tls.terminates,
        )

    def cut(self) -> None:
        """Ends every data channel now."""
        for passage in tuple(self._passages):
            passage.channel.close()

    def _close(self, outcome: do.Outcome) -> None:
        self._deadlines.stop()
        if self._dialling is not None:
            self._dialling.cancel()  # of no effect where it has an answer
        if self._tarpit is not None and self._tarpit.active():
            self._tarpit.cancel()
        self._data = None
        if self._opaque is not None:
            self._opaque.close()
        # Which of a client's sessions a data connection belongs to is not known where none can be read.
        if self._opaque is None or outcome not in (do.Outcome.CLIENT_LOST, do.Outcome.ORIGIN_CLOSED):
            self.cut()
        self._notes.disconnected(outcome.value, self._judge.user)
        for side in (self._client, self._origin):
            if side is not None:
                side.close()

    # Data channels

    def data_happened(self, passage: Passage, event: on.Event) -> None:
        """Something happened to a data channel; the judge hears of the newest alone."""
        if passage is self._data:
            self.tell(event)

    def data_ended(self, passage: Passage, usage: Usage) -> None:
        """A data channel is gone."""
        self._passages.remove(passage)
        if usage.ending is Ending.ORIGIN_TLS:
            assert self._origin_tls is not None
            reason = self._origin_tls.failure or usage.reason
            self._notes(TLSFailed(TLSSide.ORIGIN_DATA, reason, port=passage.route.origin[1]))
        self._notes.bytes_to_client += usage.to_client
        self._notes.bytes_to_origin += usage.to_origin
        self._notes.transfers += usage.relayed
        self._notes(_data_channel_ended(usage, passage.route))
        if passage is self._data:
            self._data = None
            self._events.append(on.DataEnded(usage.ending is Ending.CLIENT_TLS))
        elif self._opaque is not None:
            self._opaque_channels()
        self._work()

    def stranger(self, port: int, address: Address) -> None:
        """Somebody who is not awaited knocked at a data port."""
        self._notes(StrangerRefused(str(address), port))

    def header_refused(self, port: int, address: Address, reason: str) -> None:
        """A load balancer's connection to a data port told in no PROXY header whose it is."""
        self._notes(ProxyHeaderRefused(str(address), reason, port))

    def data_host(self) -> on.Event:
        """The event that says the data port listens."""
        return on.DataListening(self.application.passive_host(self._reached))


@attrs.define(eq=False)
class Passage:
    """A data channel of a session's."""

    relay: Relay
    route: Route
    channel: DataChannel = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        relay = self.relay
        self.channel = DataChannel(relay.reactor, relay.application.data_ports, self.route, self)

    def data_listening(self) -> None:
        """The public port listens."""
        self.relay.data_happened(self, self.relay.data_host())

    def data_connected(self) -> None:
        """The origin's port accepted."""
        self.relay.data_happened(self, on.DataConnected())

    def data_delivered(self, to_client: bool) -> None:
        """One direction is complete."""
        towards = on.Towards.CLIENT if to_client else on.Towards.ORIGIN
        self.relay.data_happened(self, on.DataDelivered(towards))

    def data_stranger(self, address: Address) -> None:
        """Somebody else knocked."""
        self.relay.stranger(self.route.public[1], address)

    def data_header_refused(self, address: Address, reason: str) -> None:
        """A load balancer passed on a connection without saying whose."""
        self.relay.header_refused(self.route.public[1], address, reason)

    def data_refused(self, address: Address, reason: str) -> None:
        """A connection from the client's address did not become secure."""
        self.relay.note(TLSFailed(TLSSide.CLIENT_DATA, reason, str(address), self.route.public[1]))

    def data_ended(self, usage: Usage) -> None:
        """The channel is gone."""
        self.relay.data_ended(self, usage)
        del self.channel  # which holds this passage


def _data_channel_ended(usage: Usage, route: Route) -> DataChannelEnded:
    return DataChannelEnded(
        data_client=None if usage.client is None else str(usage.client),
        port=usage.public_port,
        origin_port=route.origin[1],
        to_client=usage.to_client,
        to_origin=usage.to_origin,
        duration=round(usage.duration, 6),
        outcome=usage.ending.value,
        reason=usage.reason or None,
    )


def _must_resume(connection: SSL.Connection) -> str | None:
    """Why a data connection's TLS is not the client's (RFC 4217 section 10.2)."""
    return None if resumed(connection) else "session not resumed"


def _may_be_new(connection: SSL.Connection) -> str | None:
    return None
