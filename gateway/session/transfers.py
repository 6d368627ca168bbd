"""The judge's part for data: from a 227 or 229 to the completion reply of the transfer."""

from __future__ import annotations

from ipaddress import IPv4Address

import attrs

from gateway.addresses import PortMap
from gateway.ftp import addresses
from gateway.ftp.commands import VERBS, Command, Kind
from gateway.ftp.replies import Reply
from gateway.machine import Machine
from gateway.observe.records import DataPortOutOfRange, OriginError, Record, TooManyDataPorts
from gateway.session import actions as do
from gateway.session.actions import Actions
from gateway.session.client_tls import ClientTLS
from gateway.session.events import DataEnded, Towards
from gateway.session.exchanges import Exchange
from gateway.session.tables import DATA, TRANSFER, Cause, Data, Transfer

PASV_UNKNOWN = Reply.of(425, "No address for PASV is known now; use EPSV.")
TOO_MANY_PORTS = Reply.of(425, "Too many data ports for your address; complete a transfer and try again.")
NO_DATA_PORT = Reply.of(425, "Cannot open a data port now.")
NO_DATA_CONNECTION = Reply.of(425, "Cannot open a data connection.")
TLS_FAILED = Reply.of(522, "TLS negotiation failed on the data connection; it has to resume the control's session.")
TRANSFER_CUT = Reply.of(426, "Data connection closed; transfer aborted.")

_ANSWERS = {b"PASV": 227, b"EPSV": 229}
_TOWARDS = {Kind.TO_CLIENT: Towards.CLIENT, Kind.TO_ORIGIN: Towards.ORIGIN}


@attrs.frozen
class _Announcement:
    """A 227 or 229 that waits until its port listens."""

    reply: Reply
    public_port: int


@attrs.define
class Transfers:
    """At most one data channel and one transfer at a time, as FTP has it.

    Methods give the actions that follow, and the reply that may go to the client now; None while it waits.

    :param client_tls: the protection of the client's data connections.
    :param ports: the origin's passive ports, once it is connected.
    :param extended_only: whether the origin accepted EPSV ALL.
    """

    client_tls: ClientTLS = attrs.field(repr=False)
    ports: PortMap = attrs.field(init=False, repr=False)
    extended_only: bool = attrs.field(default=False, init=False)
    _data: Machine[Data, Cause] = attrs.field(factory=lambda: Machine(DATA, Data.NONE), init=False)
    _transfer: Machine[Transfer, Cause] = attrs.field(factory=lambda: Machine(TRANSFER, Transfer.NONE), init=False)
    _asking: Exchange | None = attrs.field(default=None, init=False, repr=False)
    _awaited: bool = attrs.field(default=False, init=False)  # the origin may listen at a port that it named
    _announcement: _Announcement | None = attrs.field(default=None, init=False, repr=False)
    _delivered: frozenset[Towards] = attrs.field(default=frozenset(), init=False)
    _insecure: bool = attrs.field(default=False, init=False)
    _command: Command | None = attrs.field(default=None, init=False, repr=False)
    _completion: Reply | None = attrs.field(default=None, init=False, repr=False)

    @property
    def busy(self) -> bool:
        """Whether any other command must wait: for the port, for the dial or for the last byte."""
        waits = (Transfer.HELD, Transfer.COMPLETING)
        return self._asking is not None or self._data.state is Data.OPENING or self._transfer.state in waits

    @property
    def under_way(self) -> bool:
        """Whether a transfer command awaits its final reply."""
        return self._transfer.state is not Transfer.NONE

    @property
    def held(self) -> bool:
        """Whether a transfer command waits for the origin's port."""
        return self._transfer.state is Transfer.HELD

    @property
    def running(self) -> bool:
        """Whether the origin said 1yz to the transfer command, and nothing final yet."""
        return self._transfer.state is Transfer.RUNNING

    @property
    def moving(self) -> bool:
        """Whether a data channel may still move bytes for that transfer."""
        return self.under_way and self._data.state is Data.CONNECTED

    @property
    def completing(self) -> bool:
        """Whether the origin's final reply is held behind the data."""
        return self._transfer.state is Transfer.COMPLETING

    def reserve(self, exchange: Exchange) -> Actions:
        """Holds a PASV or EPSV until a data port is reserved for it.

        The origin would listen at once, and go on listening: so a client that has enough must not even ask it.
        """
        self._asking = exchange
        return [do.ReserveData()]

    def reserved(self) -> Exchange:
        """The PASV or EPSV that was held."""
        assert self._asking is not None
        exchange, self._asking = self._asking, None
        return exchange

    def denied(self, limit: int) -> tuple[Actions, Reply]:
        """Refuses the PASV or EPSV that was held: the client has as many data ports as it may."""
        self._asking = None
        return [do.Note(TooManyDataPorts(limit))], TOO_MANY_PORTS

    def not_opened(self) -> Actions:
        """Gives up the reservation for a port that the origin did not open, unless it listens at an earlier one."""
        return [] if self._awaited else [do.FreeData()]

    def accepted(self) -> Actions:
        """Gives up the reservation: the origin took its data connection.

        A transfer that it refuses changes nothing: vsftpd and Pure-FTPd go on listening.
        """
        self._awaited = False
        return [do.FreeData()]

    def announce(self, asked: bytes, reply: Reply, clean: Reply) -> tuple[Actions, Reply | None]:
        """Opens the port that stands for the origin's, from the 227 or 229 to the PASV or EPSV that asked for it.

        The host in the reply is not even looked at (RFC 2577 section 3; CVE-2021-4189).

        A 227 to EPSV, or a 229 to PASV, opens nothing, and is not passed on: some client could follow it.

        :param asked: the verb that the origin was sent.
        :param clean: the reply as the client may see it; a host name in the place of its six numbers hides the port.
        """
        self._awaited = True
        if reply.code != _ANSWERS[asked]:
            return self._no_port(OriginError(f"{reply.code} in answer to {asked.decode()}"))
        port = addresses.parse_227(reply) if reply.code == 227 else addresses.parse_229(reply)
        if port is None:
            return self._no_port(OriginError(f"malformed {reply.code} reply"))
        public_port = self.ports.public_port(port)
        if public_port is None:
            return self._no_port(DataPortOutOfRange(port, str(self.ports)))
        self._data.move(Cause.PASSIVE)
        self._delivered = frozenset()
        self._announcement = _Announcement(clean, public_port)
        return [do.OpenData(port, public_port)], None

    def listening(self, host: IPv4Address | None) -> tuple[Actions, Reply]:
        """Lets the 227 or 229 go out, now that the port listens."""
        assert self._announcement is not None
        announcement, self._announcement = self._announcement, None
        self._data.move(Cause.LISTENS)
        if announcement.reply.code == 229:
            as_it_came = self.ports.mirrored and addresses.has_one_reading(announcement.reply)
            return [], announcement.reply if as_it_came else addresses.render_229(announcement.public_port)
        if host is None:
            return self._drop_channel(), PASV_UNKNOWN
        return [], addresses.render_227(host, announcement.public_port)

    def begin(self, command: Command) -> tuple[Actions, Command | Reply | None]:
        """Takes a transfer command; gives the command that goes to the origin now, or the reply to the client.

        The origin's data port is dialled first, so that the origin cannot give up on it in between. A download needs
        a client that is still there; the bytes of an upload may have come whole before its command.
        """
        ended = self._data.state is Data.ENDED and VERBS[command.verb].kind is Kind.TO_CLIENT
        match Data.FAILED if ended else self._data.state:
            case Data.FAILED:
                self._data.move(Cause.DONE)
                return [], NO_DATA_CONNECTION
            case Data.LISTENING:
                self._data.move(Cause.DIAL)
                self._transfer.move(Cause.HOLD)
                self._command = command
                return [do.DialData()], None
            case _:
                return self._send(command)

    def connected(self) -> tuple[Actions, Command | None]:
        """Called when the origin's data port accepted; gives the transfer command that waited for it, if one did."""
        self._data.move(Cause.DIALLED)
        if not self.held:
            return [], None
        assert self._command is not None
        return self._send(self._command)

    def delivered(self, towards: Towards) -> tuple[Actions, Reply | None]:
        """Called when one direction is complete; gives the completion reply that waited for it, if any."""
        self._delivered |= {towards}
        return self._settle() if self.completing and self._whole else ([], None)

    def ended(self, event: DataEnded) -> tuple[Actions, Reply | None]:
        """Called when the data channel is gone; gives the reply that waited for it, if any."""
        self._insecure = event.insecure
        opening = self._data.state is Data.OPENING
        self._data.move(Cause.EXPIRED if event.expired else Cause.DATA_ENDED)
        if opening:
            self._announcement = None
            return [], NO_DATA_PORT
        if self.held:
            self._transfer.move(Cause.DONE)
            self._data.move(Cause.DONE)
            return [], NO_DATA_CONNECTION
        return self._settle() if self.completing else ([], None)

    def preliminary(self) -> None:
        """Takes the origin's 1yz: the transfer runs."""
        self._transfer.move(Cause.PRELIMINARY)

    def start(self) -> Actions:
        """Lets the data channel move bytes from now on."""
        if not self.client_tls.terms.terminates or self._data.state not in (Data.LISTENING, Data.CONNECTED):
            return []
        return [do.BeginData(self.client_tls.private, self._towards if self.under_way else None)]

    def final(self, reply: Reply, aborting: bool) -> tuple[Actions, Reply | None]:
        """Takes the origin's final reply to the transfer command; it must not overtake the data.

        A transfer that was refused, or that the client itself aborts, waits for no data.
        """
        refused = self._transfer.state is Transfer.SENT and not reply.positive
        self._completion = reply
        if self.moving and not self._whole and not refused and not aborting:
            self._transfer.move(Cause.COMPLETION)
            return [], None
        return self._settle(aborting)

    def give_up(self) -> tuple[Actions, Reply]:
        """Sends the completion reply that waited; data still in the channel is lost."""
        return self._settle()

    @property
    def _towards(self) -> Towards:
        assert self._command is not None
        return _TOWARDS[VERBS[self._command.verb].kind]

    @property
    def _whole(self) -> bool:
        return self._towards in self._delivered

    def _send(self, command: Command) -> tuple[Actions, Command]:
        self._transfer.move(Cause.SEND)
        self._command = command
        return self.start(), command

    def _settle(self, aborting: bool = False) -> tuple[Actions, Reply]:
        assert self._completion is not None
        reply, self._completion = self._completion, None
        if self._insecure and self._data.state is Data.ENDED and not aborting:
            reply = TLS_FAILED
        elif reply.positive and not aborting and self._data.state is not Data.NONE and not self._whole:
            reply = TRANSFER_CUT  # the origin was content, but the data did not arrive in full
        actions: Actions = []
        if self._data.state is Data.CONNECTED and self._whole:
            actions.append(do.ReleaseData())
            self._data.move(Cause.DONE)
        else:
            actions += self._drop_channel()
        self._transfer.move(Cause.DONE)
        return actions, reply

    def _no_port(self, why: Record) -> tuple[Actions, Reply]:
        # The origin's earlier port no longer belongs to this session.
        return [do.Note(why), *self._drop_channel()], NO_DATA_PORT

    def _drop_channel(self) -> Actions:
        dropped: Actions = [do.AbortData()] if self._data.state in (Data.LISTENING, Data.CONNECTED) else []
        self._data.move(Cause.DONE)
        return dropped
