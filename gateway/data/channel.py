"""A data channel: awaits one client at a public port, dials the origin's port, relays between the two."""

from __future__ import annotations

import enum
import errno
import os
import socket
from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime

from gateway.data.flow import Flow
from gateway.data.leg import Address, Leg
from gateway.data.port import DataPorts, Network, Place
from gateway.data.pump import Pump, best_pump


class Reactor(IReactorFDSet, IReactorTime):
    """What a channel needs of the reactor."""


class Ending(enum.Enum):
    """How a data channel ended. The value is what events and the log say."""

    COMPLETE = "complete"  # both sides ended, or the one that carried the transfer did and the session went on
    CLIENT_RESET = "client reset"
    ORIGIN_RESET = "origin reset"
    NO_CLIENT = "client did not come"
    PORT_UNAVAILABLE = "port unavailable"
    ORIGIN_UNREACHABLE = "origin unreachable"
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
    """

    public: Place
    origin: Place
    source: str
    peers: Network | None
    connect_timeout: float
    accept_timeout: float
    stall_timeout: float


@attrs.frozen
class Usage:
    """What became of a data channel. Bytes as handed to each side's socket; duration in seconds from its opening."""

    ending: Ending
    public_port: int
    client: Address | None
    to_client: int
    to_origin: int
    duration: float
    reason: str


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

    def data_ended(self, usage: Usage) -> None:
        """The channel is gone. Called once, and last."""


@attrs.define(eq=False)
class DataChannel:
    """From ``open`` to the owner's ``data_ended``."""

    reactor: Reactor = attrs.field(repr=False)
    ports: DataPorts = attrs.field(repr=False)
    route: Route
    owner: Owner = attrs.field(repr=False)
    make_pump: Callable[[], Pump] = attrs.field(default=best_pump, repr=False)
    dialled: bool = attrs.field(default=False, init=False)
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

    def open(self) -> None:
        """Listens. Where that fails the channel ends."""
        self._opened = self.reactor.seconds()
        self._await_client()  # while the port is awaited, too
        try:
            self.ports.open(self.route.public, self)
        except OSError as error:
            self._end(Ending.PORT_UNAVAILABLE, os.strerror(error.errno or 0))

    def dial(self) -> None:
        """Connects to the origin's port; once is enough."""
        if self._origin is not None or self._ended:
            return
        host, _ = self.route.origin
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._origin = Leg(self.reactor, socket.socket(family, socket.SOCK_STREAM))
            self._origin.socket.bind((self.route.source, 0))
            code = self._origin.socket.connect_ex(self.route.origin)
        except OSError as error:
            code = error.errno or errno.EIO
        if code not in (0, errno.EINPROGRESS) or self._origin is None:
            self._end(Ending.ORIGIN_UNREACHABLE, os.strerror(code))
            return
        self._origin.writable = self._origin.broken = self._connected
        self._origin.watch_writes(True)
        self._timers["connect"] = self.reactor.callLater(
            self.route.connect_timeout, self._end, Ending.ORIGIN_UNREACHABLE, "connect timeout"
        )

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

    def accepted(self, connection: socket.socket, address: Address) -> None:
        """The client came."""
        self._cancel("accept")
        self._client = Leg(self.reactor, connection)
        self._client_address = address
        self.dial()
        self._relay()

    def stranger(self, address: Address) -> None:
        """Somebody else came."""
        self.owner.data_stranger(address)

    def superseded(self) -> None:
        """The origin gave its port away."""
        self._end(Ending.SUPERSEDED)

    def _await_client(self) -> None:
        self._cancel("accept")
        self._timers["accept"] = self.reactor.callLater(self.route.accept_timeout, self._end, Ending.NO_CLIENT)

    # Between the legs

    def _connected(self) -> None:
        assert self._origin is not None
        self._cancel("connect")
        self._origin.watch_writes(False)
        code = self._origin.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._end(Ending.ORIGIN_UNREACHABLE, os.strerror(code))
            return
        self.dialled = True
        self.owner.data_connected()
        self._relay()

    def _relay(self) -> None:
        if self._client is None or self._origin is None or not self.dialled or self._ended:
            return
        self._moved = self.reactor.seconds()
        self._timers["stall"] = self.reactor.callLater(self.route.stall_timeout, self._watch_stall)
        self._to_client = self._flow(self._origin, self._client, to_client=True)
        self._to_origin = self._flow(self._client, self._origin, to_client=False)
        for leg, ending in ((self._client, Ending.CLIENT_RESET), (self._origin, Ending.ORIGIN_RESET)):
            leg.broken = lambda ending=ending: self._end(ending)  # type: ignore[misc]
        self._to_client.start()
        self._to_origin.start()

    def _flow(self, source: Leg, sink: Leg, to_client: bool) -> Flow:
        return Flow(source, sink, self.make_pump(), self._progress, lambda: self._delivered(to_client), self._broken)

    def _progress(self) -> None:
        self._moved = self.reactor.seconds()

    def _watch_stall(self) -> None:
        left = self._moved + self.route.stall_timeout - self.reactor.seconds()
        if left > 0:
            self._timers["stall"] = self.reactor.callLater(left, self._watch_stall)
        else:
            self._end(Ending.COMPLETE if self._released else Ending.STALLED)

    def _delivered(self, to_client: bool) -> None:
        assert self._to_client is not None and self._to_origin is not None
        self.owner.data_delivered(to_client)
        if self._to_client.done and self._to_origin.done:
            self._released = True
            self._end(Ending.COMPLETE)

    def _broken(self, leg: Leg) -> None:
        self._end(Ending.CLIENT_RESET if leg is self._client else Ending.ORIGIN_RESET)

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
        self.ports.leave(self.route.public, self)
        for leg in (self._client, self._origin):
            if leg is not None and self._released:
                leg.close()
            elif leg is not None:
                leg.reset()
        flows = (self._to_client, self._to_origin)
        to_client, to_origin = (0 if flow is None else flow.bytes for flow in flows)
        for flow in flows:
            if flow is not None:
                flow.pump.close()
        duration = self.reactor.seconds() - self._opened
        port = self.route.public[1]
        self.owner.data_ended(Usage(ending, port, self._client_address, to_client, to_origin, duration, reason))
