"""The session that cannot be read: TLS passes through the gateway, on the control connection and the data ports."""

from __future__ import annotations

import socket

import attrs

from gateway.addresses import Address, Network
from gateway.data.range import OpenRange
from gateway.ftp.commands import TLS_ALERT, TLS_HANDSHAKE
from gateway.net.leg import Leg
from gateway.observe.records import DataPortsUnavailable, TooManyDataChannels
from gateway.relay.channels import Channels
from gateway.relay.sides import Side
from gateway.session import events as on

MAX_OPAQUE_CHANNELS = 64  # data channels of one such session at once


@attrs.define(eq=False)
class OpaqueRelay:
    """The relay of a control connection, byte for byte; every data connection of the client's leads to the origin.

    :param spoke: the time when either side last said anything, in the reactor's seconds.
    """

    channels: Channels = attrs.field(repr=False)
    client: Side = attrs.field(repr=False)
    origin: Side = attrs.field(repr=False)
    spoke: float = attrs.field(default=0.0, init=False)
    _range: OpenRange = attrs.field(init=False, repr=False)
    _silent: tuple[Side, ...] = attrs.field(init=False, repr=False)  # the sides that owe the first byte of TLS

    def __attrs_post_init__(self) -> None:
        terms = self.channels.terms
        self._silent = (self.client, self.origin)
        self._range = OpenRange(terms.data.ports, terms.data.host(self.channels.local))

    def open(self) -> None:
        """Opens the whole passive range to the client's address."""
        missing = self._range.open(self.channels.terms.origin.ports.public, self)
        if missing:
            self.channels.session.note(DataPortsUnavailable(",".join(map(str, missing))))

    def close(self) -> None:
        """Closes the range; open data channels go on."""
        self._range.close()

    def received(self, side: Side, data: bytes) -> on.Event:
        """Passes bytes of a control connection on, unless they should begin TLS and do not."""
        if side in self._silent:
            self._silent = tuple(other for other in self._silent if other is not side)
            if data[0] not in (TLS_ALERT, TLS_HANDSHAKE):
                return on.Injected()
        (self.origin if side is self.client else self.client).send(data)
        self.spoke = self.channels.reactor.seconds()
        return on.OpaqueMoved()

    # Called by the range

    @property
    def peers(self) -> Network | None:
        """The network whose connections are accepted; None for any."""
        return self.channels.terms.data.peers(self.channels.ends.client[0])

    @property
    def busy(self) -> bool:
        """Whether there is a data connection."""
        return bool(self.channels)

    def is_proxy(self, address: Address) -> bool:
        """Whether connections from this address begin with a PROXY header."""
        return self.channels.terms.is_proxy(address)

    def came(self, port: int, connection: socket.socket, address: Address) -> None:
        """Called when a data connection came."""
        channels = self.channels
        if len(channels) == MAX_OPAQUE_CHANNELS:
            Leg(channels.reactor, connection).reset()
            channels.session.note(TooManyDataChannels(str(address), port))
            return
        ports = channels.terms.origin.ports
        channels.adopt(ports.origin[port - ports.public.start], port, connection, address)
        channels.session.tell(on.OpaqueChannels(len(channels)))

    def stranger(self, port: int, address: Address) -> None:
        """Called when a connection from another address was turned away."""
        self.channels.stranger(port, address)

    def header_refused(self, port: int, address: Address, reason: str) -> None:
        """Called when a load balancer's connection did not name its client."""
        self.channels.header_refused(port, address, reason)
