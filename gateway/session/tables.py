"""The session's states: four small machines, each an enumeration and a table of its transitions.

The diagrams of the documentation are drawn from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.machine import Name


class Cause(Name):
    """The causes that move a machine. The diagrams show the value."""

    ORIGIN_CHOSEN = "client connected: the origin is chosen"
    ORIGIN_CONNECTED = "origin connected"
    GREETED = "220 from the origin"
    ENDED = "session ends"
    PASSIVE = "227 to PASV, 229 to EPSV"
    LISTENS = "port listens"
    DIAL = "transfer command: dial the origin's port"
    DIALLED = "origin's port accepted"
    DATA_ENDED = "data channel ended"
    EXPIRED = "no transfer command in time"
    HOLD = "transfer command, port not dialled"
    SEND = "transfer command sent"
    PRELIMINARY = "1yz"
    COMPLETION = "final reply ahead of the data"
    DONE = "final reply sent"
    SECURE = "220, and the origin is to have TLS"
    OPAQUE = "234 from the origin, in passthrough"
    AUTH = "AUTH TLS"
    AUTH_PRIVATE = "AUTH SSL, or implicit TLS"
    SECURED = "handshake complete"
    PROT_P = "PROT P"
    PROT_C = "PROT C"


class Phase(Name):
    """The phases of the control connection."""

    NEW = "new"
    CONNECTING = "connecting to the origin"
    GREETING = "awaiting the origin's greeting"
    SECURING = "securing the origin: AUTH, PBSZ, PROT"
    OPEN = "open"
    OPAQUE = "opaque"
    ENDED = "ended"


class Data(Name):
    """The states of the data channel that the last 227 or 229 asked for."""

    NONE = "none"
    OPENING = "opening: the 227 or 229 is held"
    LISTENING = "listening"
    DIALLING = "dialling the origin"
    CONNECTED = "connected to the origin"
    ENDED = "ended"
    FAILED = "ended: a transfer command gets 425"


class Transfer(Name):
    """The states of the transfer command."""

    NONE = "none"
    HELD = "held: the origin's data port is dialled first"
    SENT = "sent"
    RUNNING = "running"
    COMPLETING = "completing: the final reply is held"


class Protection(Name):
    """The states of TLS on the client's side, where the gateway ends it."""

    CLEAR = "clear"
    STARTING = "handshake"
    STARTING_PRIVATE = "handshake, data private"
    CONTROL = "control secure, data clear"
    PRIVATE = "control and data secure"


PHASE: Mapping[tuple[Phase, Cause], Phase] = {
    (Phase.NEW, Cause.ORIGIN_CHOSEN): Phase.CONNECTING,
    (Phase.CONNECTING, Cause.ORIGIN_CONNECTED): Phase.GREETING,
    (Phase.GREETING, Cause.GREETED): Phase.OPEN,
    (Phase.GREETING, Cause.SECURE): Phase.SECURING,
    (Phase.SECURING, Cause.GREETED): Phase.OPEN,
    (Phase.OPEN, Cause.OPAQUE): Phase.OPAQUE,
    **{(phase, Cause.ENDED): Phase.ENDED for phase in Phase if phase is not Phase.ENDED},
}

DATA: Mapping[tuple[Data, Cause], Data] = {
    **{(data, Cause.PASSIVE): Data.OPENING for data in Data if data not in (Data.OPENING, Data.DIALLING)},
    (Data.OPENING, Cause.LISTENS): Data.LISTENING,
    (Data.OPENING, Cause.DATA_ENDED): Data.NONE,
    (Data.LISTENING, Cause.DIAL): Data.DIALLING,
    (Data.LISTENING, Cause.DIALLED): Data.CONNECTED,
    (Data.LISTENING, Cause.DATA_ENDED): Data.FAILED,
    (Data.LISTENING, Cause.DONE): Data.NONE,
    (Data.DIALLING, Cause.DIALLED): Data.CONNECTED,
    (Data.DIALLING, Cause.DATA_ENDED): Data.FAILED,
    **{(data, Cause.EXPIRED): Data.FAILED for data in (Data.LISTENING, Data.DIALLING, Data.CONNECTED)},
    (Data.CONNECTED, Cause.DATA_ENDED): Data.ENDED,
    (Data.CONNECTED, Cause.DONE): Data.NONE,
    (Data.ENDED, Cause.DONE): Data.NONE,
    (Data.FAILED, Cause.DONE): Data.NONE,
    (Data.NONE, Cause.DONE): Data.NONE,
}

TRANSFER: Mapping[tuple[Transfer, Cause], Transfer] = {
    (Transfer.NONE, Cause.HOLD): Transfer.HELD,
    (Transfer.NONE, Cause.SEND): Transfer.SENT,
    (Transfer.HELD, Cause.SEND): Transfer.SENT,
    (Transfer.HELD, Cause.DONE): Transfer.NONE,
    (Transfer.SENT, Cause.PRELIMINARY): Transfer.RUNNING,
    (Transfer.RUNNING, Cause.PRELIMINARY): Transfer.RUNNING,
    (Transfer.SENT, Cause.COMPLETION): Transfer.COMPLETING,
    (Transfer.RUNNING, Cause.COMPLETION): Transfer.COMPLETING,
    (Transfer.SENT, Cause.DONE): Transfer.NONE,
    (Transfer.RUNNING, Cause.DONE): Transfer.NONE,
    (Transfer.COMPLETING, Cause.DONE): Transfer.NONE,
}

PROTECTION: Mapping[tuple[Protection, Cause], Protection] = {
    (Protection.CLEAR, Cause.AUTH): Protection.STARTING,
    (Protection.CLEAR, Cause.AUTH_PRIVATE): Protection.STARTING_PRIVATE,
    (Protection.STARTING, Cause.SECURED): Protection.CONTROL,
    (Protection.STARTING_PRIVATE, Cause.SECURED): Protection.PRIVATE,
    **{(state, Cause.PROT_P): Protection.PRIVATE for state in (Protection.CONTROL, Protection.PRIVATE)},
    **{(state, Cause.PROT_C): Protection.CONTROL for state in (Protection.CONTROL, Protection.PRIVATE)},
}
