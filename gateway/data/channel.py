"""A data channel: awaits one client at a public port, dials the origin's port, relays between the two."""

from __future__ import annotations

import enum
import os
import socket
from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall

from gateway.addresses import Address, Network, SocketAddress
from gateway.data.bandwidth import Throttles
from gateway.data.flow import Flow
from gateway.data.port import DataPorts, TooManyPorts
from gateway.data.pump import Pump, best_pump
from gateway.data.throttled import ThrottledPump
from gateway.net.dial import Dial
from gateway.net.leg import Leg
from gateway.net.reactor import Reactor
from gateway.net.tls_leg import Handshake, TLSLeg

_MAX_CANDIDATES = 4  # connections that wait to show whether they are the client
_NO_HANDSHAKE = "no TLS handshake in time"


class Ending(enum.Enum):
    """How a data channel ended. The value is what events and the log say."""

    COMPLETE = "complete"  # both sides ended, or the one that carried the transfer did and the session went on
    CLIENT_RESET = "client reset"
    ORIGIN_RESET = "origin reset"
    NO_CLIENT = "client did not come"
    PORT_UNAVAILABLE = "port unavailable"
    TOO_MANY_PORTS = "too many data ports"
    CLIENT_TLS = "client's TLS failed"
    ORIGIN_UNREACHABLE = "origin unreachable"
    ORIGIN_TLS = "origin's TLS failed"
    STALLED = "stalled"
    SUPERSEDED = "origin gave the port to another session"
    ABORTED = "session ended it"


@attrs.frozen
class Route:
    """Where a data channel leads. Times in seconds.

    :param public: the local address and port that the client is told of.
    :param origin: the origin's address and port.
    :param source: the local address that the origin is dialled from, the same as its control connection's.
    :param peers: whose connections are accepted; None for anyone's.
    :param is_proxy: whether connections from an address begin with a PROXY header.
    :param header: the PROXY header that the origin is sent first; b"" for none.
    :param throttles: what limits its bandwidth; None where nothing does.
    :param secure_origin: how the origin's leg becomes secure; None where it stays plain.
    :param secure_client: whether the client's leg may be asked to become secure.
    """

    public: SocketAddress
    origin: SocketAddress
    source: str
    peers: Network | None
    is_proxy: Callable[[Address], bool]
    header: bytes
    throttles: Throttles | None
    secure_origin: Handshake | None
    secure_client: bool
    connect_timeout: float
    accept_timeout: float
    stall_timeout: float


@attrs.frozen
class Usage:
    """What became of a data channel. Bytes as handed to each side's socket; duration in seconds from its opening.

    :param relayed: whether both sides were there and bytes could pass.
    """

    ending: Ending
    public_port: int
    client: Address | None
    to_client: int
    to_origin: int
    duration: float
    reason: str
    relayed: bool


class Owner(Protocol):
    """Who is told what happens to a channel."""

    def data_listening(self) -> None:
        """The public port listens."""

    def data_connected(self) -> None:
        """The origin's port accepted."""

    def data_delivered(self, to_client: bool) -> None:
        """One direction's end of file was handed on, and every byte before it."""

    def data_stranger(self, address: Address) -> None:
        """Somebody else knocked, and was turned away."""

    def data_header_refused(self, address: Address, reason: str) -> None:
        """A load balancer's connection told in no PROXY header whose it is, and was turned away."""

    def data_refused(self, address: Address, reason: str) -> None:
        """A connection from the client's address did not become secure, and was turned away."""

    def data_ended(self, usage: Usage) -> None:
        """The channel is gone. Called once, and last."""


@attrs.define(eq=False)
class DataChannel:
    """From ``open`` to the owner's ``data_ended``."""

    reactor: Reactor = attrs.field(repr=False)
    ports: DataPorts = attrs.field(repr=False)
    route: Route
    owner: Owner = attrs.field(repr=False)
    make_pump: Callable[[bool], Pump] = attrs.field(default=best_pump, repr=False)
    lasting = False
    spoke, busy = 0.0, False  # asked of those that last alone
    _dial: Dial | None = attrs.field(default=None, init=False, repr=False)
    _begun: bool = attrs.field(init=False)
    _candidates: list[tuple[Leg, Address]] = attrs.field(factory=list, init=False, repr=False)
    _receives: bool | None = attrs.field(default=None, init=False, repr=False)  # whether the client does
    _secure_client: Handshake | None = attrs.field(default=None, init=False, repr=False)
    _origin_ready: bool = attrs.field(default=False, init=False)
    _client: Leg | None = attrs.field(default=None, init=False)
    _client_address: Address | None = attrs.field(default=None, init=False)
    _origin: Leg | None = attrs.field(default=None, init=False)
    _to_client: Flow | None = attrs.field(default=None, init=False)
    _to_origin: Flow | None = attrs.field(default=None, init=False)
    _timers: dict[str, IDelayedCall] = attrs.field(factory=dict, init=False, repr=False)
    _opened: float = attrs.field(default=0.0, init=False)
    _moved: float = attrs.field(default=0.0, init=False)
    _released: bool = attrs.field(default=False, init=False)
    _ended: bool = attrs.field(default=False, init=False)

    @property
    def peers(self) -> Network | None:
        """Whose connections are accepted; None for anyone's."""
        return self.route.peers

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""
        return self.route.is_proxy(address)

    @property
    def dialled(self) -> bool:
        """Whether the origin's port has accepted.

        The kernel knows it before the reactor tells; the origin may have given the port to another session by then.
        """
        return self._origin is not None or (self._dial is not None and self._dial.connected)

    @_begun.default
    def _needs_no_beginning(self) -> bool:
        return not self.route.secure_client

    def open(self) -> None:
        """Listens. Where that fails the channel ends."""
        self._opened = self.reactor.seconds()
        self._await_client()  # while the port is awaited, too
        try:
            self.ports.open(self.route.public, self)
        except TooManyPorts:
            self._end(Ending.TOO_MANY_PORTS)
        except OSError as error:
            self._end(Ending.PORT_UNAVAILABLE, os.strerror(error.errno or 0))

    def dial(self) -> None:
        """Connects to the origin's port; once is enough."""
        if self._dial is not None or self._ended:
            return
        route = self.route
        self._dial = Dial(self.reactor, route.origin, route.source, route.connect_timeout, self._connected)
        self._dial.start()

    def begin(self, secure_client: Handshake | None, to_client: bool | None) -> None:
        """The transfer begins: the client's leg becomes secure in this way, or stays plain. Once is enough.

        A channel whose client may be secure relays nothing before.

        :param to_client: which way the bytes of the transfer go; None where that is not known.
        """
        if self._begun or self._ended:
            return
        self._begun = True
        self._receives = to_client
        self._secure_client = secure_client
        self._watch_for_stalls()
        self._await_client()
        for leg, address in tuple(self._candidates):
            if not self._ended and self._client is None:
                self._welcome(leg, address)

    def release(self) -> None:
        """The transfer is over and whole: from now on the channel's end is no loss."""
        self._released = True

    def close(self) -> None:
        """Ends the channel: in order where it was released, else as cut."""
        self._end(Ending.COMPLETE if self._released else Ending.ABORTED)

    # At the port

    def listening(self) -> None:
        """The port listens."""
        self._await_client()
        self.owner.data_listening()

    def adopt(self, connection: socket.socket, address: Address) -> None:
        """In the place of ``open``: takes a client that came to a port of someone else's."""
        self._opened = self.reactor.seconds()
        self.accepted(connection, address)

    def accepted(self, connection: socket.socket, address: Address) -> None:
        """Somebody who may be the client came."""
        leg = Leg(self.reactor, connection)
        if len(self._candidates) == _MAX_CANDIDATES:
            leg.reset()
            self.owner.data_refused(address, "too many connections at once")
            return
        self._candidates.append((leg, address))
        self.dial()
        if self._begun:
            self._welcome(leg, address)
        else:
            self._cancel("accept")

    def stranger(self, address: Address) -> None:
        """Somebody else came."""
        self.owner.data_stranger(address)

    def header_refused(self, address: Address, reason: str) -> None:
        """A load balancer passed on somebody without saying whom."""
        self.owner.data_header_refused(address, reason)

    def superseded(self) -> None:
        """The origin gave its port away."""
        self._end(Ending.SUPERSEDED)

    def _await_client(self) -> None:
        if "accept" in self._timers:
            self._timers["accept"].reset(self.route.accept_timeout)
            return
        self._timers["accept"] = self.reactor.callLater(self.route.accept_timeout, self._client_missing)

    def _client_missing(self) -> None:
        if not self._candidates:
            self._end(Ending.NO_CLIENT)
            return
        for _, address in self._candidates:
            self.owner.data_refused(address, _NO_HANDSHAKE)
        self._end(Ending.CLIENT_TLS, _NO_HANDSHAKE)

    def _welcome(self, leg: Leg, address: Address) -> None:
        """Takes a candidate for the client, once it has shown to be where it has to."""
        if self._ended:
            leg.reset()
            return
        if self._secure_client is None:
            self._admit(leg, address)
            return
        secure = TLSLeg(self.reactor, leg.hand_over(), handshake=self._secure_client)
        self._candidates[self._candidates.index((leg, address))] = (secure, address)
        secure.secure(lambda failure: self._greeted(secure, address, failure))

    def _greeted(self, leg: Leg, address: Address, failure: str | None) -> None:
        if failure is None:
            self._admit(leg, address)
            return
        self._candidates.remove((leg, address))
        leg.reset()
        self.owner.data_refused(address, failure)
        if not self._candidates:
            self._end(Ending.CLIENT_TLS, failure)

    def _admit(self, leg: Leg, address: Address) -> None:
        self._cancel("accept")
        self.ports.leave(self.route.public, self)
        self._client, self._client_address = leg, address
        for other, _ in self._candidates:
            if other is not leg:
                other.reset()
        self._candidates.clear()
        self._relay()

    # Between the legs

    def _connected(self, answer: Leg | str) -> None:
        if isinstance(answer, str):
            self._end(Ending.ORIGIN_UNREACHABLE, answer)
            return
        self._origin = answer
        try:
            if self.route.header:
                answer.socket.sendall(self.route.header)  # which the buffer of a new connection has room for
        except OSError as error:
            self._end(Ending.ORIGIN_UNREACHABLE, os.strerror(error.errno or 0))
            return
        if self.route.secure_origin is None:
            self._origin_secured(None)
        else:
            self._origin = TLSLeg(self.reactor, answer.hand_over(), handshake=self.route.secure_origin)
            self._origin.secure(self._origin_secured)
        if not self._ended:
            self.owner.data_connected()

    def _origin_secured(self, failure: str | None) -> None:
        if failure is not None:
            self._end(Ending.ORIGIN_TLS, failure)
            return
        self._origin_ready = True
        self._relay()

    def _relay(self) -> None:
        if self._client is None or self._origin is None or not self._origin_ready or self._ended:
            return
        self._watch_for_stalls()
        self._to_client = self._flow(self._origin, self._client, to_client=True)
        self._to_origin = self._flow(self._client, self._origin, to_client=False)
        for leg in (self._client, self._origin):
            leg.broken = lambda leg=leg: self._broken(leg)  # type: ignore[misc]
        self._to_client.start()
        self._to_origin.start()

    def _flow(self, source: Leg, sink: Leg, to_client: bool) -> Flow:
        plain = not isinstance(source, TLSLeg) and not isinstance(sink, TLSLeg)
        pump, throttles = self.make_pump(plain), self.route.throttles
        if throttles is not None:
            throttle = throttles.to_client if to_client else throttles.to_origin
            pump = ThrottledPump(self.reactor, pump, throttle, self._progress)
        return Flow(source, sink, pump, self._progress, lambda: self._delivered(to_client), self._broken)

    def _watch_for_stalls(self) -> None:
        self._moved = self.reactor.seconds()
        if "stall" not in self._timers:
            self._timers["stall"] = self.reactor.callLater(self.route.stall_timeout, self._watch_stall)

    def _progress(self) -> None:
        self._moved = self.reactor.seconds()

    def _watch_stall(self) -> None:
        if any(flow is not None and flow.pump.held for flow in (self._to_client, self._to_origin)):
            self._progress()  # it is the gateway that moves nothing now
        left = self._moved + self.route.stall_timeout - self.reactor.seconds()
        if left > 0:
            self._timers["stall"] = self.reactor.callLater(left, self._watch_stall)
        else:
            self._end(Ending.COMPLETE if self._released else Ending.STALLED)

    def _delivered(self, to_client: bool) -> None:
        assert self._to_client is not None and self._to_origin is not None
        self.owner.data_delivered(to_client)
        if not self._ended and self._to_client.done and self._to_origin.done:
            self._released = True
            self._end(Ending.COMPLETE)

    def _broken(self, leg: Leg) -> None:
        assert self._to_client is not None and self._to_origin is not None
        # A client that knows a file's size, from the 150 say, may close as soon as it has it all.
        left_early = leg is self._client and self._to_client.ended and not self._to_client.done
        if left_early and (self._to_origin.done or not self._to_client.bytes):
            self._to_client.done = True
            self._delivered(to_client=True)
        if self._ended:
            return
        if self._has_done_its_part(leg):
            self._released = True
            self._end(Ending.COMPLETE)
        else:
            self._end(Ending.CLIENT_RESET if leg is self._client else Ending.ORIGIN_RESET)

    def _has_done_its_part(self, leg: Leg) -> bool:
        """Whether a side that goes without a farewell cuts nothing: it sent all, or got all by TLS's own word."""
        assert self._to_client is not None and self._to_origin is not None
        from_it, to_it = self._to_origin, self._to_client
        if leg is self._origin:
            from_it, to_it = to_it, from_it
        sent_all = from_it.done and not to_it.bytes
        receives = self._receives in (None, leg is self._client)
        got_all = receives and to_it.done and not from_it.bytes and isinstance(leg, TLSLeg)
        return sent_all or got_all

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _end(self, ending: Ending, reason: str = "") -> None:
        if self._ended:
            return
        self._ended = True
        for name in tuple(self._timers):
            self._cancel(name)
        if self._dial is not None:
            self._dial.reset()
        self.ports.leave(self.route.public, self)
        for leg, _ in self._candidates:
            leg.reset()
        for end in (self._client, self._origin):
            if end is not None and self._released:
                end.close()
            elif end is not None:
                end.reset()
        flows = (self._to_client, self._to_origin)
        to_client, to_origin = (0 if flow is None else flow.bytes for flow in flows)
        for flow in flows:
            if flow is not None:
                flow.pump.close()
        relayed = self._to_client is not None
        self._dial = self._to_client = self._to_origin = None  # each holds this channel
        duration = self.reactor.seconds() - self._opened
        port = self.route.public[1]
        self.owner.data_ended(
            Usage(ending, port, self._client_address, to_client, to_origin, duration, reason, relayed)
        )
