"""The states of a data channel: three small machines, each an enumeration and a table of its transitions.

The diagrams of the documentation are drawn from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.machine import Name


class Cause(Name):
    """The causes that move a machine. The diagrams show the value."""

    CAME = "a connection that may be the client's"
    BEGIN = "transfer begins"
    KNOWN = "handshake complete, or none wanted"
    DIAL = "client came, or transfer command"
    ACCEPTED = "origin's port accepted"
    SECURED = "handshake complete, or the leg stays plain"
    JOINED = "client known and origin ready"
    RELEASE = "transfer is over and whole"
    END = "channel ends"


class Client(Name):
    """The states of the search for the client among the connections at the port."""

    AWAITED = "awaited"
    ARRIVED = "came, held until the transfer begins"
    SOUGHT = "transfer has begun: handshakes"
    KNOWN = "known"
    ENDED = "ended"


class OriginSide(Name):
    """The states of the way to the origin's data port."""

    UNDIALLED = "not dialled"
    DIALLING = "dialling"
    ACCEPTED = "accepted: handshake"
    READY = "ready"


class Channel(Name):
    """The states of the channel between the two."""

    OPEN = "open: a leg is missing"
    RELAYING = "relaying"
    RELEASED = "released: its end is no loss"
    ENDED = "ended"


CLIENT: Mapping[tuple[Client, Cause], Client] = {
    (Client.AWAITED, Cause.CAME): Client.ARRIVED,
    (Client.ARRIVED, Cause.CAME): Client.ARRIVED,
    (Client.AWAITED, Cause.BEGIN): Client.SOUGHT,
    (Client.ARRIVED, Cause.BEGIN): Client.SOUGHT,
    (Client.SOUGHT, Cause.CAME): Client.SOUGHT,
    (Client.SOUGHT, Cause.KNOWN): Client.KNOWN,
    **{(client, Cause.END): Client.ENDED for client in Client if client is not Client.ENDED},
}

ORIGIN: Mapping[tuple[OriginSide, Cause], OriginSide] = {
    (OriginSide.UNDIALLED, Cause.DIAL): OriginSide.DIALLING,
    (OriginSide.DIALLING, Cause.ACCEPTED): OriginSide.ACCEPTED,
    (OriginSide.ACCEPTED, Cause.SECURED): OriginSide.READY,
}

CHANNEL: Mapping[tuple[Channel, Cause], Channel] = {
    (Channel.OPEN, Cause.JOINED): Channel.RELAYING,
    (Channel.RELAYING, Cause.RELEASE): Channel.RELEASED,
    **{(channel, Cause.END): Channel.ENDED for channel in Channel if channel is not Channel.ENDED},
}
