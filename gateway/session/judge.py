"""The judge of one control connection.

Commands wait in one queue and are judged when their turn comes, so a local answer is in its place by itself. One
command is before the origin at a time; only STAT, NOOP and ABOR may stand beside a transfer (RFC 959 section 4.1.3).
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import assert_never

import attrs

from gateway.addresses import Address, PortMap
from gateway.ftp.commands import VERBS, Command, Kind
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import Reply, features
from gateway.ftp.scrub import Scrubber, scrubber
from gateway.machine import Machine
from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.actions import Action, Outcome
from gateway.session.client_tls import STARTING, ClientTLS, TLSTerms
from gateway.session.events import Deadline, Event
from gateway.session.origin_tls import Insecure, OriginTLS
from gateway.session.outstanding import Outstanding, may_stand_beside
from gateway.session.policy import NOT_UNDERSTOOD, Policy
from gateway.session.tables import LOGIN, PHASE, Cause, Login, Phase
from gateway.session.transfers import Transfers

MAX_QUEUED = 64
MAX_UNCLEAN = 3
MAX_UNKNOWN = 10  # in a row: another protocol's lines, or a scanner (ALPACA, CVE-2021-3618)

UNCLEAN = Reply.of(500, "Line too long or not clean.")
TOO_UNCLEAN = Reply.of(421, "Too many bad lines; closing control connection.")
TOO_MANY_UNKNOWN = Reply.of(421, "Too many unknown commands; closing control connection.")
NOT_FTP = Reply.of(421, "This is an FTP server; closing control connection.")
UNAVAILABLE = Reply.of(421, "Service not available; closing control connection.")
LOGIN_TIMEOUT = Reply.of(421, "Login timeout; closing control connection.")
IDLE_TIMEOUT = Reply.of(421, "Idle timeout; closing control connection.")
STOPPING = Reply.of(421, "Service is shutting down; closing control connection.")
TOO_MANY_LOGINS = Reply.of(421, "Too many failed logins; closing control connection.")
PASV_AFTER_ALL = Reply.of(503, "PASV is not allowed after EPSV ALL.")
REIN_UNDER_TLS = Reply.of(502, "REIN is not supported under TLS.")
PASV_OVER_IPV6 = Reply.of(425, "PASV cannot name an IPv6 address; use EPSV.")

_PASSIVE_CODE = {b"PASV": 227, b"EPSV": 229}
_LOGIN_VERBS = (b"USER", b"PASS", b"ACCT")
_NO_FEAT = (500, 502)
_TLS_VERBS = frozenset(verb for verb, row in VERBS.items() if row.kind is Kind.TLS)
_TLS_FEATURES = {b"AUTH": b"AUTH TLS", b"PBSZ": b"PBSZ", b"PROT": b"PROT"}


@attrs.frozen
class Setting:
    """What a session is told when it begins.

    :param name: the application's name.
    :param origin_host: the origin's host name; None where the configuration has its address.
    :param client: the client's address.
    :param public: the address or name that stands in the place of the origin's address.
    :param ports: the origin's passive ports.
    :param policy: which commands are refused.
    :param banner: the text of the greeting; None for the origin's own.
    :param tls: what TLS there is on either side.
    """

    name: str
    origin_host: str | None
    client: Address
    public: str
    ports: PortMap
    policy: Policy
    banner: str | None
    tls: TLSTerms


@attrs.define
class Judge:
    """One client, one origin, and the control connection between them.

    :param ended: whether the session is over; it then asks for nothing any more.
    """

    setting: Setting = attrs.field(repr=False)
    ended: bool = attrs.field(default=False, init=False)
    _actions: list[Action] = attrs.field(factory=list, init=False, repr=False)
    _security: ClientTLS = attrs.field(init=False)
    _transfers: Transfers = attrs.field(init=False)
    _phase: Machine[Phase, Cause] = attrs.field(factory=lambda: Machine(PHASE, Phase.NEW), init=False)
    _login: Machine[Login, Cause] = attrs.field(factory=lambda: Machine(LOGIN, Login.OUT), init=False)
    _queue: list[Command | Unclean] = attrs.field(factory=list, init=False, repr=False)
    _outstanding: Outstanding = attrs.field(init=False, repr=False)
    _behind: list[Reply] = attrs.field(factory=list, init=False, repr=False)  # what is held
    _refused_login: Reply | None = attrs.field(default=None, init=False, repr=False)  # held until it is counted
    _greeting: Reply | None = attrs.field(default=None, init=False, repr=False)  # until the origin is secure
    _securing: OriginTLS = attrs.field(init=False, repr=False)
    _scrubber: Scrubber = attrs.field(init=False, repr=False)
    _unclean: int = attrs.field(default=0, init=False)
    _unknown: int = attrs.field(default=0, init=False)
    _epsv_all: bool = attrs.field(default=False, init=False)
    _draining: bool = attrs.field(default=False, init=False)
    _origin_gone: bool = attrs.field(default=False, init=False)
    _opaque_channels: int = attrs.field(default=0, init=False)

    @_security.default
    def _no_security(self) -> ClientTLS:
        return ClientTLS(self.setting.tls)

    @_securing.default
    def _nothing_said(self) -> OriginTLS:
        return OriginTLS(self.setting.tls.origin_implicit)

    @_transfers.default
    def _no_transfers(self) -> Transfers:
        return Transfers(self.setting.ports, self._actions, self._security)

    @_outstanding.default
    def _nothing_outstanding(self) -> Outstanding:
        return Outstanding(self._transfers)

    @property
    def hungry(self) -> bool:
        """Whether more commands may be given to it; where not, the client is not read (back-pressure)."""
        return len(self._queue) < MAX_QUEUED and not self.ended

    def receive(self, event: Event) -> list[Action]:
        """Judges what happened; gives what is to be done, in order."""
        if not self.ended:
            self._judge(event)
        while self._queue and not self.ended and self._may_go(self._queue[0]):
            self._take(self._queue.pop(0))
        actions = self._actions.copy()
        self._actions.clear()
        return actions

    def _judge(self, event: Event) -> None:
        match event:
            case on.ReplyReceived(reply):
                self._reply(reply)
            case on.CommandReceived(command):
                if command.foreign:
                    self._end(Outcome.CLIENT_FOREIGN, NOT_FTP)
                    return
                if self._outstanding.has(b"AUTH"):
                    self._injected()
                    return
                self._queue.append(command)
                self._rest()
            case on.Started():
                self._phase.move(Cause.STARTED)
                self._do(do.Note("connect"), do.Arm(Deadline.LOGIN))
                if self.setting.tls.implicit:
                    self._security.implicit()
                    self._do(do.StartClientTLS(b""))
                self._do(do.ConnectOrigin())
            case on.OriginConnected(address):
                self._phase.move(Cause.ORIGIN_CONNECTED)
                setting = self.setting
                self._scrubber = scrubber(address, setting.public, setting.origin_host, setting.name)
                if setting.tls.origin_implicit:
                    self._do(do.StartOriginTLS())
            case on.OriginFailed(reason):
                self._origin_error(reason)
                self._end(Outcome.ORIGIN_UNREACHABLE, UNAVAILABLE)
            case on.UncleanReceived() if self._outstanding.has(b"AUTH"):
                self._injected()
            case on.UncleanReceived(unclean):
                self._queue.append(unclean)
            case on.ForeignReceived():
                self._end(Outcome.CLIENT_FOREIGN, NOT_FTP)
            case on.OriginBroke(reason):
                self._origin_error(reason)
                self._end(Outcome.ORIGIN_BROKE, UNAVAILABLE)
            case on.ClientSecured():
                self._security.secured()
            case on.OriginSecured():
                if self._phase.state is Phase.SECURING:
                    self._secure(self._securing.next())
            case on.ClientTLSFailed(reason):
                self._do(do.Note("tlsError", {"side": "client", "reason": reason}))
                self._end(Outcome.CLIENT_TLS)
            case on.OriginTLSFailed(reason):
                self._origin_insecure(reason)
            case on.Injected():
                self._injected()
            case on.OpaqueMoved():
                self._rest()
            case on.OpaqueChannels(count):
                self._opaque_channels = count
                self._rest()
                self._drain()
            case on.DataListening(host):
                self._send(self._transfers.listening(host))
            case on.DataConnected():
                self._forward(self._transfers.connected())
                if self._transfers.moving:
                    self._do(do.Disarm(Deadline.IDLE))
            case on.DataDelivered(towards):
                self._completed(self._transfers.delivered(towards))
            case on.DataEnded(insecure):
                self._completed(self._transfers.ended(insecure))
                self._rest()
            case on.FailedLoginCounted(last):
                self._refuse_login(last)
            case on.ClientLost():
                self._end(Outcome.CLIENT_LOST)
            case on.OriginLost():
                self._lose_origin()
            case on.DeadlinePassed(deadline):
                self._deadline(deadline)
            case on.Draining():
                self._draining = True
                self._drain()
            case on.Stopped():
                self._end(Outcome.DRAINED, STOPPING)
            case _:
                assert_never(event)

    # Commands

    def _may_go(self, item: Command | Unclean) -> bool:
        if self._phase.state is not Phase.OPEN or self._origin_gone or self._security.starting:
            return False
        if self._refused_login is not None:
            return False
        if not self._transfers.under_way:
            return not self._transfers.busy and self._outstanding.none
        if isinstance(item, Unclean) or not may_stand_beside(item) or self._refusal(item) is not None:
            return False
        if self._transfers.busy:
            return self._transfers.completing and item.verb == b"ABOR"
        return not self._outstanding.full

    def _take(self, item: Command | Unclean) -> None:
        if isinstance(item, Unclean):
            self._take_unclean(item)
            return
        refusal = self._refusal(item)
        if refusal is not None:
            fields = {"verb": self._verb_name(item), "reply": refusal.lines[0].decode()}
            self._do(do.Note("commandRefused", fields))
            self._send(refusal)
            if refusal is not NOT_UNDERSTOOD:
                self._unknown = 0
                return
            self._unknown += 1
            if self._unknown == MAX_UNKNOWN:
                self._end(Outcome.CLIENT_UNKNOWN, TOO_MANY_UNKNOWN)
            return
        self._unknown = 0
        verb = VERBS.get(item.verb)
        if item.verb == b"AUTH" and self._queue and not self._security.secure:
            self._injected()
            return
        if verb is not None and verb.kind is Kind.TLS and self.setting.tls.terminates:
            answer = self._security.answer(item)
            self._do(do.StartClientTLS(answer.render()) if answer is STARTING else do.SendToClient(answer.render()))
            return
        if verb is not None and verb.transfers:
            match self._transfers.begin(item):
                case Reply() as answer:
                    self._send(answer)
                case command:
                    self._forward(command)
            if self._transfers.moving:
                self._do(do.Disarm(Deadline.IDLE))
            return
        if item.verb == b"ABOR" and self._transfers.completing:
            self._completed(self._transfers.give_up())
            if self.ended:
                return
        if item.verb == b"EPSV" and self._families_differ and (item.argument or b"").strip() in (b"1", b"2"):
            item = Command(b"EPSV")
        self._forward(item)

    def _take_unclean(self, unclean: Unclean) -> None:
        self._unclean += 1
        self._do(
            do.Note("commandRefused", {"verb": "?", "reply": UNCLEAN.lines[0].decode(), "reason": unclean.value})
        )
        self._send(UNCLEAN)
        if self._unclean == MAX_UNCLEAN:
            self._end(Outcome.CLIENT_UNCLEAN, TOO_UNCLEAN)

    def _refusal(self, command: Command) -> Reply | None:
        if (refusal := self.setting.policy.refusal(command)) is not None:
            return refusal
        if (refusal := self._security.refusal(command)) is not None:
            return refusal
        if command.verb == b"REIN" and self._security.secure:
            return REIN_UNDER_TLS
        if command.verb == b"PASV":
            if self._epsv_all:
                return PASV_AFTER_ALL
            if isinstance(self.setting.client, IPv6Address):
                return PASV_OVER_IPV6
        return None

    def _forward(self, command: Command | None) -> None:
        if command is not None:
            self._outstanding.add(command)
            self._do(do.SendToOrigin(command.render()))

    # Replies

    def _reply(self, reply: Reply) -> None:
        if self._phase.state is Phase.GREETING:
            self._greet(reply)
        elif self._phase.state is Phase.SECURING:
            self._origin_answers(reply)
        elif self._holding:
            self._behind.append(reply)
            if len(self._behind) > MAX_QUEUED:
                self._origin_error("replies to no command")
                self._end(Outcome.ORIGIN_BROKE, UNAVAILABLE)
        else:
            self._settle(reply)

    def _greet(self, reply: Reply) -> None:
        if not reply.preliminary and not reply.positive:
            self._end(Outcome.ORIGIN_REFUSED, self._scrubber.scrub(reply))
            return
        if reply.positive and self.setting.banner is not None:
            reply = Reply.of(220, self.setting.banner)
        reply = self._scrubber.scrub(reply)
        if reply.preliminary:
            self._send(reply)
        elif self.setting.tls.to_origin:
            self._phase.move(Cause.SECURE)
            self._greeting = reply
            self._secure(self._securing.next())
        else:
            self._open(reply)

    def _open(self, greeting: Reply) -> None:
        self._phase.move(Cause.GREETED)
        self._do(do.Arm(Deadline.IDLE))
        self._send(greeting)

    # TLS

    def _secure(self, action: Action | None) -> None:
        if action is not None:
            self._do(action)
        else:
            assert self._greeting is not None
            self._open(self._greeting)

    def _origin_answers(self, reply: Reply) -> None:
        if reply.preliminary:
            return
        try:
            self._secure(self._securing.answered(reply))
        except Insecure as error:
            self._origin_insecure(str(error))

    def _origin_insecure(self, reason: str) -> None:
        self._do(do.Note("tlsError", {"side": "origin", "reason": reason}))
        self._end(Outcome.ORIGIN_TLS, UNAVAILABLE)

    def _injected(self) -> None:
        self._do(do.Note("tlsError", {"side": "control", "reason": Outcome.INJECTED.value}))
        self._end(Outcome.INJECTED, UNAVAILABLE if self._phase.state is Phase.SECURING else None)

    def _settle(self, reply: Reply) -> None:
        """Finds the command that a reply answers, and sends the reply on."""
        clean = self._scrubber.scrub(reply)
        if reply.code == 421:
            self._end(Outcome.ORIGIN_CLOSED, clean)
            return
        command = self._outstanding.answered(reply)
        if command is None:
            self._origin_error("reply to no command")
            return
        verb = VERBS.get(command.verb)
        transfers = verb is not None and verb.transfers
        if reply.preliminary:
            if transfers:
                self._transfers.preliminary()
            self._transfers.start()
            self._send(clean)
            return
        self._outstanding.remove(command)
        if transfers:
            aborting = self._outstanding.has(b"ABOR")
            self._completed(self._transfers.final(clean, aborting))
            if (aborting or (self._transfers.completing and not reply.positive)) and not self.ended:
                self._do(do.Arm(Deadline.GRACE))
            return
        if command.verb == b"ABOR" and not self._outstanding.has(b"ABOR"):
            self._do(do.Disarm(Deadline.GRACE))
        answer = self._effect(command, reply, clean)
        if answer is not None:
            self._send(answer)
        if command.verb == b"QUIT" and reply.positive:
            self._end(Outcome.QUIT)

    def _effect(self, command: Command, reply: Reply, clean: Reply) -> Reply | None:
        """What a final reply means besides its text; gives the reply to send, None where it has to wait.

        :param clean: the reply as the client may see it.
        """
        if command.verb in _LOGIN_VERBS and reply.code == 230:
            self._login.move(Cause.LOGGED_IN)
            self._do(do.Disarm(Deadline.LOGIN))
        elif command.verb == b"PASS" and reply.code == 530:
            self._refused_login = clean
            self._do(do.CountFailedLogin())
            return None
        elif command.verb == b"REIN" and reply.positive:
            self._login.move(Cause.REINITIALIZED)
            self._do(do.Arm(Deadline.LOGIN))
        elif command.verb == b"FEAT" and self.setting.tls.terminates and (reply.positive or reply.code in _NO_FEAT):
            hidden = self.setting.policy.hidden
            ours = tuple(line for verb, line in _TLS_FEATURES.items() if verb not in hidden)
            return features(clean, hidden | _TLS_VERBS, ours)
        elif command.verb == b"FEAT" and reply.positive:
            return features(clean, self.setting.policy.hidden)
        elif command.verb == b"AUTH" and reply.code == 234:
            self._phase.move(Cause.OPAQUE)
            self._do(do.Disarm(Deadline.LOGIN), do.GoOpaque(clean.render()))
            return None
        elif command.verb == b"EPSV" and (command.argument or b"").strip().upper() == b"ALL":
            self._epsv_all = self._epsv_all or reply.positive
        elif _PASSIVE_CODE.get(command.verb) == reply.code:
            return self._transfers.announce(reply, clean)
        return clean

    def _refuse_login(self, last: bool) -> None:
        assert self._refused_login is not None
        answer, self._refused_login = self._refused_login, None
        self._send(answer)
        if last:
            self._end(Outcome.LOGIN_FAILURES, TOO_MANY_LOGINS)  # RFC 2577 section 5
        else:
            self._catch_up()

    # The end of a transfer, and of the session

    @property
    def _holding(self) -> bool:
        """Whether a reply of the origin's is held, and those that come behind it wait."""
        return self._transfers.completing or self._refused_login is not None

    def _completed(self, answer: Reply | None) -> None:
        if answer is None:
            return
        self._do(do.Disarm(Deadline.GRACE))
        self._send(answer)
        self._catch_up()

    def _catch_up(self) -> None:
        """What was held has gone on: now what came behind it."""
        self._rest()
        while self._behind and not self.ended:
            self._settle(self._behind.pop(0))
        if self._origin_gone:
            self._end(Outcome.ORIGIN_LOST, UNAVAILABLE)
        self._drain()

    def _rest(self) -> None:
        if self._phase.state is Phase.OPAQUE and self._opaque_channels:
            self._do(do.Disarm(Deadline.IDLE))
        elif self._phase.state in (Phase.OPEN, Phase.OPAQUE) and not self._transfers.moving:
            self._do(do.Arm(Deadline.IDLE))

    def _drain(self) -> None:
        if self._draining and not self._transfers.under_way and not self._opaque_channels:
            self._end(Outcome.DRAINED, STOPPING)

    def _deadline(self, deadline: Deadline) -> None:
        match deadline:
            case Deadline.LOGIN if self._phase.state is Phase.OPEN:
                self._end(Outcome.LOGIN_TIMEOUT, LOGIN_TIMEOUT)
            case Deadline.LOGIN if self._phase.state is Phase.SECURING:
                self._origin_insecure("not secure in time")
            case Deadline.LOGIN:
                self._origin_error("no greeting in time")
                self._end(Outcome.ORIGIN_SILENT, UNAVAILABLE)
            case Deadline.IDLE:
                self._end(Outcome.IDLE_TIMEOUT, IDLE_TIMEOUT)
            case Deadline.GRACE if self._transfers.completing:
                self._completed(self._transfers.give_up())
            case Deadline.GRACE:
                # The reply to the transfer was the one to the ABOR as well.
                self._outstanding.forget(b"ABOR")
            case _:
                assert_never(deadline)

    def _lose_origin(self) -> None:
        self._origin_gone = True
        if self._holding:
            return
        if self._outstanding.has(b"QUIT"):
            self._end(Outcome.QUIT)
            return
        if self._phase.state is Phase.OPAQUE:
            self._end(Outcome.ORIGIN_CLOSED)
            return
        if self._phase.state is Phase.SECURING:
            self._origin_insecure("connection lost")
            return
        self._origin_error("control connection lost")
        self._end(Outcome.ORIGIN_LOST, UNAVAILABLE)

    def _end(self, outcome: Outcome, last: Reply | None = None) -> None:
        if self.ended:
            return
        if last is not None and self._phase.state is not Phase.OPAQUE:
            self._send(last)
        self._phase.move(Cause.ENDED)
        self.ended = True
        self._do(do.Note("disconnect", {"outcome": outcome.value}), do.Close(outcome))

    def _origin_error(self, reason: str) -> None:
        self._do(do.Note("originError", {"reason": reason}))

    @property
    def _families_differ(self) -> bool:
        return self._scrubber.address.version != self.setting.client.version

    def _verb_name(self, command: Command) -> str:
        """What may be written down of a verb: one that nobody here knows may be anything, a password too."""
        known = command.verb in VERBS or command.verb in self.setting.policy.deny
        return command.verb.decode() if known else "?"

    def _send(self, reply: Reply) -> None:
        self._do(do.SendToClient(reply.render()))

    def _do(self, *actions: Action) -> None:
        self._actions.extend(actions)
