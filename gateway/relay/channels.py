"""The data channels of one session: opened and ended as the judge asks, recorded, and counted."""

from __future__ import annotations

import socket
from typing import Protocol

import attrs
from OpenSSL import SSL

from gateway.addresses import Address
from gateway.data.bandwidth import Throttles
from gateway.data.channel import DataChannel
from gateway.data.route import Route
from gateway.data.usage import Ending, Usage
from gateway.net.proxy_header import ProxyInfo
from gateway.net.reactor import Reactor
from gateway.net.tls_leg import Handshake
from gateway.observe.records import (
    DataChannelEnded,
    ProxyHeaderRefused,
    Record,
    StrangerRefused,
    TLSFailed,
    TLSSide,
)
from gateway.relay.sides import Side
from gateway.relay.terms import SessionTerms
from gateway.session import events as on
from gateway.tls.to_clients import SessionTLS, resumed
from gateway.tls.to_origin import OriginSession


class Session(Protocol):
    """The session that data channels belong to."""

    def tell(self, event: on.Event) -> None:
        """Gives the judge an event."""

    def note(self, record: Record) -> None:
        """Writes an event of the session down."""

    def channel_gone(self) -> None:
        """Called when a channel ended from which the judge expects nothing more."""


@attrs.define(eq=False)
class Channels:
    """All data channels of one session. The judge hears only of the newest: FTP has one at a time.

    :param ends: the control connection's ends, as the client knows them.
    :param local: the address at which the control connection ends here, even if the client knows another.
    :param origin: the control connection to the origin, once it is up.
    :param client_tls: the TLS of the client's control connection, once there is any.
    :param origin_tls: the TLS of the origin's control connection, once there is any.
    :param count: the transfers so far: channels that ended and carried something, even if it was an empty file.
    """

    reactor: Reactor = attrs.field(repr=False)
    terms: SessionTerms = attrs.field(repr=False)
    session: Session = attrs.field(repr=False)
    ends: ProxyInfo
    local: Address
    origin: Side | None = attrs.field(default=None, init=False, repr=False)
    client_tls: SessionTLS | None = attrs.field(default=None, init=False, repr=False)
    origin_tls: OriginSession | None = attrs.field(default=None, init=False, repr=False)
    count: int = attrs.field(default=0, init=False)
    _throttles: Throttles | None = attrs.field(init=False, repr=False)
    _reserved: bool = attrs.field(default=False, init=False)  # the guard counts a data port for this session
    _open: list[DataChannel] = attrs.field(factory=list, init=False)
    _newest: DataChannel | None = attrs.field(default=None, init=False)
    _to_client: int = attrs.field(default=0, init=False)
    _to_origin: int = attrs.field(default=0, init=False)

    @_throttles.default
    def _of_this_session(self) -> Throttles | None:
        return self.terms.data.bandwidth.of_session()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def to_client(self) -> int:
        """The number of bytes that the client was sent so far."""
        return self._to_client + sum(channel.to_client for channel in self._open)

    @property
    def to_origin(self) -> int:
        """The number of bytes that the origin was sent so far."""
        return self._to_origin + sum(channel.to_origin for channel in self._open)

    # Actions

    def reserve(self) -> None:
        """Counts a data port for the client, and tells the judge whether it may have it."""
        guard = self.terms.guard
        self._reserved = self._reserved or guard.reserve_data_port(self.ends.client[0])
        limit = guard.limits.data_ports_per_client
        self.session.tell(on.DataReserved() if self._reserved else on.DataDenied(limit))

    def free(self) -> None:
        """Counts the data port no longer."""
        if self._reserved:
            self._reserved = False
            self.terms.guard.free_data_port(self.ends.client[0])

    def open(self, origin_port: int, public_port: int) -> None:
        """Listens for the client, in the place of any earlier channel."""
        self._newest = None  # a client has one at a time: its last one is over, or given up
        self.cut()
        self._newest = self._new(origin_port, public_port)
        self._newest.open()

    def adopt(self, origin_port: int, public_port: int, connection: socket.socket, address: Address) -> None:
        """Leads a connection that came at one of our ports to the origin; the judge is not told of it."""
        self._new(origin_port, public_port).adopt(connection, address)

    def begin(self, is_secure: bool, towards: on.Towards | None) -> None:
        """Begins the transfer of the newest channel."""
        assert self._newest is not None
        to_client = None if towards is None else towards is on.Towards.CLIENT
        self._newest.begin(self._client_handshake() if is_secure else None, to_client)

    def dial(self) -> None:
        """Dials the origin's port for the newest channel."""
        assert self._newest is not None
        self._newest.expect()

    def release(self) -> None:
        """Marks the transfer of the newest channel as over and whole."""
        channel, self._newest = self._newest, None
        assert channel is not None
        channel.release()

    def abort(self) -> None:
        """Ends the newest channel now."""
        channel, self._newest = self._newest, None
        assert channel is not None
        channel.close()

    def forget(self) -> None:
        """Tells the judge of no channel any more; open channels go on."""
        self._newest = None

    def cut(self) -> None:
        """Ends every channel now."""
        for channel in tuple(self._open):
            channel.close()

    def _new(self, origin_port: int, public_port: int) -> DataChannel:
        route = self._route(origin_port, public_port)
        channel = DataChannel(self.reactor, self.terms.data.ports, route, self)
        self._open.append(channel)
        return channel

    def _route(self, origin_port: int, public_port: int) -> Route:
        assert self.origin is not None
        terms, tls = self.terms, self.origin_tls
        return Route(
            public=(terms.data.host(self.local), public_port),
            origin=(self.origin.peer, origin_port),
            source=self.origin.local,
            peers=terms.data.peers(self.ends.client[0]),
            is_proxy=terms.is_proxy,
            header=terms.origin.data_header(ProxyInfo(self.ends.client, (self.ends.reached[0], public_port))),
            throttles=self._throttles,
            connect_timeout=terms.origin.connect_timeout,
            accept_timeout=terms.data.accept_timeout,
            stall_timeout=terms.data.stall_timeout,
            secure_origin=None if tls is None else Handshake(tls.connect, tls.check),
            secure_client=terms.tls.terminates,
        )

    def _client_handshake(self) -> Handshake:
        assert self.client_tls is not None
        return Handshake(self.client_tls.accept, _must_resume if self.terms.data.resumption else may_be_new)

    # Called by the channels

    def data_listening(self, channel: DataChannel) -> None:
        """Called when the public port listens."""
        self._tell(channel, on.DataListening(self.terms.passive_host(self.ends.reached[0])))

    def data_connected(self, channel: DataChannel) -> None:
        """Called when the origin's port accepted."""
        self._tell(channel, on.DataConnected())

    def data_delivered(self, channel: DataChannel, to_client: bool) -> None:
        """Called when one direction is complete."""
        self._tell(channel, on.DataDelivered(on.Towards.CLIENT if to_client else on.Towards.ORIGIN))

    def data_stranger(self, channel: DataChannel, address: Address) -> None:
        """Called when a connection from another address was turned away."""
        self.stranger(channel.route.public[1], address)

    def data_header_refused(self, channel: DataChannel, address: Address, reason: str) -> None:
        """Called when a load balancer's connection did not name its client."""
        self.header_refused(channel.route.public[1], address, reason)

    def data_refused(self, channel: DataChannel, address: Address, reason: str) -> None:
        """Called when a connection from the client's address did not become secure."""
        self.session.note(TLSFailed(TLSSide.CLIENT_DATA, reason, str(address), channel.route.public[1]))

    def data_ended(self, channel: DataChannel, usage: Usage) -> None:
        """Called when a channel is gone."""
        self._open.remove(channel)
        self._to_client += usage.to_client
        self._to_origin += usage.to_origin
        if usage.ending is Ending.COMPLETE or usage.to_client or usage.to_origin:
            self.count += 1
        newest = channel is self._newest
        if newest:
            self._newest = None
        self._write_down(channel.route, usage)
        if newest:
            ending = usage.ending
            self.session.tell(on.DataEnded(ending is Ending.CLIENT_TLS, ending is Ending.NO_TRANSFER))
        else:
            self.session.channel_gone()

    def stranger(self, port: int, address: Address) -> None:
        """Called when a connection from an unexpected address came at a data port."""
        self.session.note(StrangerRefused(str(address), port))

    def header_refused(self, port: int, address: Address, reason: str) -> None:
        """Called when no PROXY header named the client of a load balancer's connection to a data port."""
        self.session.note(ProxyHeaderRefused(str(address), reason, port))

    def _tell(self, channel: DataChannel, event: on.Event) -> None:
        if channel is self._newest:
            self.session.tell(event)

    def _write_down(self, route: Route, usage: Usage) -> None:
        if usage.ending is Ending.ORIGIN_TLS:
            assert self.origin_tls is not None
            reason = self.origin_tls.failure or usage.reason
            self.session.note(TLSFailed(TLSSide.ORIGIN_DATA, reason, port=route.origin[1]))
        ended = DataChannelEnded(
            data_client=None if usage.client is None else str(usage.client),
            port=usage.public_port,
            origin_port=route.origin[1],
            to_client=usage.to_client,
            to_origin=usage.to_origin,
            duration=round(usage.duration, 6),
            outcome=usage.ending.value,
            reason=usage.reason or None,
        )
        self.session.note(ended)


def may_be_new(connection: SSL.Connection) -> str | None:
    """Accepts a client's TLS session, new or resumed: there is never a reason not to."""
    return None


def _must_resume(connection: SSL.Connection) -> str | None:
    """The reason why a data connection's TLS is not the client's (RFC 4217 section 10.2); None where it is."""
    return None if resumed(connection) else "session not resumed"
