"""A data channel: awaits one client at a public port, dials the origin's port, relays between the two."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Protocol

import attrs

from gateway.addresses import Address, Network
from gateway.data.candidates import Candidates
from gateway.data.port import Ports, TooManyPorts
from gateway.data.pump import Pump, best_pump
from gateway.data.relaying import Relaying
from gateway.data.route import Route
from gateway.data.tables import CHANNEL, ORIGIN, Cause, Channel, OriginSide
from gateway.data.usage import Ending, Usage
from gateway.machine import Machine
from gateway.net.dial import Dial
from gateway.net.leg import Leg
from gateway.net.reactor import Reactor
from gateway.net.tls_leg import Handshake, TLSLeg


class Owner(Protocol):
    """The owner of a channel, which is told what happens to it."""

    def data_listening(self, channel: DataChannel) -> None:
        """Called when the public port listens."""

    def data_connected(self, channel: DataChannel) -> None:
        """Called when the origin's port accepted."""

    def data_delivered(self, channel: DataChannel, to_client: bool) -> None:
        """Called when one direction's end of file was handed on, and every byte before it."""

    def data_stranger(self, channel: DataChannel, address: Address) -> None:
        """Called when a connection from an unexpected address was turned away."""

    def data_header_refused(self, channel: DataChannel, address: Address, reason: str) -> None:
        """Called when a load balancer's connection was turned away, since no PROXY header named its client."""

    def data_refused(self, channel: DataChannel, address: Address, reason: str) -> None:
        """Called when a connection from the client's address did not become secure, and was turned away."""

    def data_ended(self, channel: DataChannel, usage: Usage) -> None:
        """Called when the channel is gone: once, and last."""


@attrs.define(eq=False)
class DataChannel:
    """One data channel, from ``open`` or ``adopt`` to the owner's ``data_ended``.

    It is the guest of its port, and the host of its candidates and of the relaying.
    """

    reactor: Reactor = attrs.field(repr=False)
    ports: Ports = attrs.field(repr=False)
    route: Route
    owner: Owner = attrs.field(repr=False)
    make_pump: Callable[[bool], Pump] = attrs.field(default=best_pump, repr=False)
    lasting = False
    spoke, busy = 0.0, False  # asked only of lasting guests
    _state: Machine[Channel, Cause] = attrs.field(factory=lambda: Machine(CHANNEL, Channel.OPEN), init=False)
    _at_origin: Machine[OriginSide, Cause] = attrs.field(
        factory=lambda: Machine(ORIGIN, OriginSide.UNDIALLED), init=False
    )
    _candidates: Candidates = attrs.field(init=False, repr=False)
    _relaying: Relaying = attrs.field(init=False, repr=False)
    _dial: Dial | None = attrs.field(default=None, init=False, repr=False)
    _client: Leg | None = attrs.field(default=None, init=False)
    _client_address: Address | None = attrs.field(default=None, init=False)
    _origin: Leg | None = attrs.field(default=None, init=False)
    _opened: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        route = self.route
        self._opened = self.reactor.seconds()
        self._candidates = Candidates(self.reactor, self, route.accept_timeout, route.secure_client)
        self._relaying = Relaying(self.reactor, self, route.stall_timeout, route.throttles, self.make_pump)

    @property
    def to_client(self) -> int:
        """Bytes that were handed to the client's socket so far."""
        return self._relaying.to_client

    @property
    def to_origin(self) -> int:
        """Bytes that were handed to the origin's socket so far."""
        return self._relaying.to_origin

    # Called by the owner

    def open(self) -> None:
        """Listens at the public port. Where that fails the channel ends."""
        self._candidates.wait()  # the wait for the port counts, too
        try:
            self.ports.open(self.route.public, self)
        except TooManyPorts:
            self._end(Ending.TOO_MANY_PORTS)
        except OSError as error:
            self._end(Ending.PORT_UNAVAILABLE, os.strerror(error.errno or 0))

    def adopt(self, connection: socket.socket, address: Address) -> None:
        """Takes a client that came to another guest's port; called in the place of ``open``."""
        self.accepted(connection, address)

    def dial(self) -> None:
        """Connects to the origin's port. Further calls do nothing."""
        if self._at_origin.state is not OriginSide.UNDIALLED or self._ended:
            return
        route = self.route
        self._at_origin.move(Cause.DIAL)
        self._dial = Dial(self.reactor, route.origin, route.source, route.connect_timeout, self._connected)
        self._dial.start()

    def expect(self) -> None:
        """Connects to the origin's port, as the transfer was asked for; the client has its whole time again."""
        if self._candidates.held:
            self._candidates.wait()
        self.dial()

    def begin(self, secure_client: Handshake | None, to_client: bool | None) -> None:
        """Begins the transfer: the client's leg becomes secure in this way, or stays plain. Further calls do nothing.

        A channel whose client may be secure relays nothing before that.

        :param to_client: the direction of the transfer's bytes; None where that is not known.
        """
        if self._candidates.held:
            self._relaying.client_receives = to_client
            self._relaying.watch()
            self._candidates.begin(secure_client)

    def release(self) -> None:
        """Marks the transfer as over and whole: from now on the channel's end is no loss."""
        self._state.move(Cause.RELEASE)

    def close(self) -> None:
        """Ends the channel: in order where it was released, else as cut."""
        self._end(Ending.ABORTED)

    # Called by the port

    @property
    def peers(self) -> Network | None:
        """The network whose connections are accepted; None for any."""
        return self.route.peers

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""
        return self.route.is_proxy(address)

    @property
    def dialled(self) -> bool:
        """Whether the origin's port has accepted.

        The kernel knows it before the reactor reports it; by then the origin may have given the port to another
        session.
        """
        return self._origin is not None or (self._dial is not None and self._dial.connected)

    def listening(self) -> None:
        """Called when the public port listens."""
        self._candidates.wait()
        self.owner.data_listening(self)

    def accepted(self, connection: socket.socket, address: Address) -> None:
        """Called when a connection came that may be the client's."""
        try:
            self._candidates.come(Leg(self.reactor, connection), address)
        except Exception:
            self.failed()
            raise

    def stranger(self, address: Address) -> None:
        """Called when a connection from another address was turned away."""
        self.owner.data_stranger(self, address)

    def header_refused(self, address: Address, reason: str) -> None:
        """Called when a load balancer's connection did not name its client."""
        self.owner.data_header_refused(self, address, reason)

    def superseded(self) -> None:
        """Called when the origin gave its port to another session."""
        self._end(Ending.SUPERSEDED)

    # Called by the candidates

    def client_came(self) -> None:
        """Called when a connection came that may be the client's."""
        self.dial()

    def client_known(self, leg: Leg, address: Address) -> None:
        """Called when the client is known."""
        self._client, self._client_address = leg, address
        self.ports.leave(self.route.public, self)
        self._join()

    def client_refused(self, address: Address, reason: str) -> None:
        """Called when a connection from the client's address was turned away."""
        self.owner.data_refused(self, address, reason)

    def client_missing(self, ending: Ending, reason: str = "") -> None:
        """Called when the client or its transfer command did not come, or no connection was the client's."""
        self._end(ending, reason)

    # The origin's side

    def _connected(self, answer: Leg | str) -> None:
        if isinstance(answer, str):
            self._end(Ending.ORIGIN_UNREACHABLE, answer)
            return
        self._at_origin.move(Cause.ACCEPTED)
        self._origin = answer
        answer.failed = self.failed
        try:
            if self.route.header:
                answer.socket.sendall(self.route.header)  # fits in the buffer of a new connection
        except OSError as error:
            self._end(Ending.ORIGIN_UNREACHABLE, os.strerror(error.errno or 0))
            return
        if self.route.secure_origin is None:
            self._origin_secured(None)
        else:
            self._origin = TLSLeg(self.reactor, answer.hand_over(), handshake=self.route.secure_origin)
            self._origin.failed = self.failed
            self._origin.secure(self._origin_secured)
        if not self._ended:
            self.owner.data_connected(self)

    def _origin_secured(self, failure: str | None) -> None:
        if failure is not None:
            self._end(Ending.ORIGIN_TLS, failure)
            return
        self._at_origin.move(Cause.SECURED)
        self._join()

    # Both sides

    def _join(self) -> None:
        if self._client is None or self._origin is None or self._at_origin.state is not OriginSide.READY:
            return
        self._state.move(Cause.JOINED)
        self._relaying.join(self._client, self._origin)

    def delivered(self, to_client: bool) -> None:
        """Called when one direction's end of file was handed on, and every byte before it."""
        self.owner.data_delivered(self, to_client)

    def relayed(self, ending: Ending) -> None:
        """Called when nothing more is relayed."""
        self._end(ending)

    def failed(self) -> None:
        """Called when an exception, now in the log, was raised while one of the channel's sockets was served."""
        self._end(Ending.INTERNAL_ERROR)

    @property
    def _ended(self) -> bool:
        return self._state.state is Channel.ENDED

    def _end(self, ending: Ending, reason: str = "") -> None:
        if self._ended:
            return
        whole = ending is Ending.COMPLETE or self._state.state is Channel.RELEASED
        if whole and ending in (Ending.ABORTED, Ending.STALLED):
            ending = Ending.COMPLETE
        self._state.move(Cause.END)
        to_client, to_origin = self.to_client, self.to_origin
        try:
            self._let_go(whole)
        finally:
            duration = self.reactor.seconds() - self._opened
            port, client = self.route.public[1], self._client_address
            self.owner.data_ended(self, Usage(ending, port, client, to_client, to_origin, duration, reason))

    def _let_go(self, whole: bool) -> None:
        try:
            self.ports.leave(self.route.public, self)
            if self._dial is not None:
                self._dial.reset()
            self._candidates.close()
        finally:
            for leg in (self._client, self._origin):
                if leg is not None and whole:
                    leg.close()
                elif leg is not None:
                    leg.reset()
            self._relaying.close()
            self._dial = self._client = self._origin = None  # each may hold this channel
