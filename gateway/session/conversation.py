"""The conversation of an open session: the client's commands, and the replies that answer them.

Commands wait in one queue and are judged in their turn, so a local answer is in its place by itself. One command at a
time is before the origin; only STAT, NOOP and ABOR may stand beside a transfer (RFC 959 section 4.1.3).
"""

from __future__ import annotations

from ipaddress import IPv4Address

import attrs

from gateway.ftp.commands import VERBS, Command, Kind
from gateway.ftp.lines import Unclean
from gateway.ftp.replies import Reply, features
from gateway.ftp.scrub import Scrubber
from gateway.observe.records import CommandRefused
from gateway.session import actions as do
from gateway.session.actions import Actions, Outcome
from gateway.session.client_tls import STARTING, ClientTLS
from gateway.session.effects import Effect, asks_for_no_port, effect_of
from gateway.session.endings import STOPPING, TOO_MANY_LOGINS, UNAVAILABLE, end, injected, origin_error, send
from gateway.session.events import DataEnded, Deadline, Towards
from gateway.session.exchanges import By, Exchange, Exchanges, may_stand_beside
from gateway.session.login import ATTEMPTS, LoginState
from gateway.session.policy import NOT_UNDERSTOOD
from gateway.session.refusals import refusal
from gateway.session.setting import Setting
from gateway.session.tolerance import UNCLEAN, Last, Tolerance
from gateway.session.transfers import Transfers

MAX_QUEUED = 64  # commands of the client, or replies behind a held one
MAX_BEHIND = 65536  # bytes of those replies at which the origin is read no more

_TLS_VERBS = frozenset(verb for verb, row in VERBS.items() if row.kind is Kind.TLS)
_NO_RESTART = Command(b"REST", b"0")
_TLS_FEATURES = {b"AUTH": b"AUTH TLS", b"PBSZ": b"PBSZ", b"PROT": b"PROT"}


@attrs.define
class Conversation:
    """All that happens between the greeting and the end. Methods give the actions that follow.

    :param client_tls: TLS on the client's side.
    :param exchanges: the exchanges before the origin.
    :param queue: the lines from the client that wait for their turn.
    :param scrubber: takes the origin's address out of replies; set once the origin is connected.
    """

    setting: Setting = attrs.field(repr=False)
    client_tls: ClientTLS = attrs.field(repr=False)
    exchanges: Exchanges
    scrubber: Scrubber = attrs.field(init=False, repr=False)
    login: LoginState = attrs.field(factory=LoginState, init=False)
    transfers: Transfers = attrs.field(init=False)
    queue: list[Command | Unclean] = attrs.field(factory=list, init=False, repr=False)
    _behind: list[Reply] = attrs.field(factory=list, init=False, repr=False)  # replies behind a held one
    _tolerance: Tolerance = attrs.field(factory=Tolerance, init=False, repr=False)
    _draining: bool = attrs.field(default=False, init=False)
    _restarts: bool = attrs.field(default=False, init=False)  # REST came: the next transfer begins elsewhere
    _origin_gone: bool = attrs.field(default=False, init=False)
    _over: bool = attrs.field(default=False, init=False)

    @transfers.default
    def _no_transfers(self) -> Transfers:
        return Transfers(self.client_tls)

    # Commands

    def heard(self, item: Command | Unclean) -> Actions:
        """Queues a line from the client."""
        if self.exchanges.has(b"AUTH"):
            return self._end(injected())
        self.queue.append(item)
        return []

    def go_on(self) -> Actions:
        """Takes the commands whose turn it is."""
        actions: Actions = []
        while self.queue and not self._over and self._may_go(self.queue[0]):
            actions += self._take(self.queue.pop(0))
        return actions

    def _may_go(self, item: Command | Unclean) -> bool:
        if self._origin_gone or self.client_tls.starting or self.login.held or self.login.attempt is not None:
            return False
        if not self.transfers.under_way:
            return not self.transfers.busy and self.exchanges.none
        if isinstance(item, Unclean) or not may_stand_beside(item) or self._refusal(item) is not None:
            return False
        if self.transfers.busy:
            return self.transfers.completing and item.verb == b"ABOR"
        return not self.exchanges.full

    def _take(self, item: Command | Unclean) -> Actions:
        if isinstance(item, Unclean):
            return self._refuse(UNCLEAN, self._tolerance.unclean(), "?", item.value)
        refused = self._refusal(item)
        if refused is NOT_UNDERSTOOD:  # the verb may be anything, even a password
            return self._refuse(refused, self._tolerance.unknown(), "?")
        self._tolerance.known()
        if refused is not None:
            told = self._refuse(refused, None, item.verb.decode())
            return told + self._forget_restart() if item.transfers else told
        if item.verb == b"AUTH" and self.queue and not self.client_tls.secure:
            return self._end(injected())
        if item.verb in _TLS_VERBS and self.setting.tls.terminates:
            answer = self.client_tls.answer(item)
            return [do.StartClientTLS(answer.render()) if answer is STARTING else send(answer)]
        if item.transfers:
            return self._begin_transfer(item)
        if item.verb in ATTEMPTS:
            self.login.attempt = item
            return [do.AttemptLogin()]
        return self._forward(item)

    def _refusal(self, command: Command) -> Reply | None:
        return refusal(command, self.setting, self.client_tls, self.transfers.extended_only)

    def _refuse(self, reply: Reply, last: Last | None, verb: str, reason: str | None = None) -> Actions:
        refused: Actions = [do.Note(CommandRefused(verb, reply.lines[0].decode(), reason)), send(reply)]
        return refused if last is None else refused + self._end(end(*last))

    def _begin_transfer(self, command: Command) -> Actions:
        actions, answer = self.transfers.begin(command)
        if isinstance(answer, Reply):
            return [*actions, send(answer), *self._forget_restart()]
        return actions + self._transfer(answer)

    def _transfer(self, command: Command | None) -> Actions:
        """Asks for a transfer once its turn has come; while bytes move no session is idle."""
        asked: Actions = []
        if command is not None:
            self._restarts = False
            asked = self._ask(Exchange(command, command))
        return [*asked, do.Disarm(Deadline.IDLE)] if self.transfers.moving else asked

    def _forget_restart(self) -> Actions:
        """Takes REST back after a transfer that the origin did not see: it would hold for the next one, whose content
        would be wrong."""
        if not self._restarts or self._over:
            return []
        self._restarts = False
        return self._ask(Exchange(_NO_RESTART, _NO_RESTART, By.GATEWAY))

    def _forward(self, command: Command) -> Actions:
        actions = Actions()
        match command.verb:
            case b"USER":
                self.login.names(command)
            case b"ABOR" if self.transfers.completing:
                actions = self._completed(self.transfers.give_up())
            case b"PASV" | b"EPSV" if not asks_for_no_port(command):
                return self.transfers.reserve(Exchange(command, self._without_family(command)))
            case b"EPSV":  # Pure-FTPd takes ALL for itself alone: with a space around it, it opens a port
                return self._ask(Exchange(command, Command(b"EPSV", (command.argument or b"").strip())))
        return actions if self._over else actions + self._ask(Exchange(command, command))

    def _without_family(self, command: Command) -> Command:
        """An EPSV as the origin may be asked, which the gateway may reach in another address family."""
        names_family = (command.argument or b"").strip() in (b"1", b"2")
        return Command(b"EPSV") if names_family and self._families_differ else command

    def _ask(self, exchange: Exchange) -> Actions:
        self.exchanges.add(exchange)
        return [do.SendToOrigin(exchange.asked.render())]

    @property
    def _families_differ(self) -> bool:
        return self.scrubber.address.version != self.setting.client.version

    # Replies

    def replied(self, reply: Reply) -> Actions:
        """Takes a reply from the origin."""
        if not self._holding:
            return self._settle(reply)
        self._behind.append(reply)
        return []

    @property
    def listens(self) -> bool:
        """Whether it takes more replies. Those behind a held one are bounded, and progress needs none of them."""
        return len(self._behind) < MAX_QUEUED and sum(reply.size for reply in self._behind) < MAX_BEHIND

    @property
    def _holding(self) -> bool:
        """Whether a reply of the origin's is held; those behind it wait."""
        return self.transfers.completing or self.login.held

    def _settle(self, reply: Reply) -> Actions:
        """Finds the exchange that a reply belongs to, and sends the reply on."""
        clean, transfers = self.scrubber.scrub(reply), self.transfers
        if reply.code == 421:
            return self._end(end(Outcome.ORIGIN_CLOSED, clean))
        exchange = self.exchanges.answered(reply, transfers)
        if exchange is None:
            return self._unasked()
        if exchange.by is By.GATEWAY:
            if not reply.preliminary:
                self.exchanges.remove(exchange)
            return []
        transfer = exchange.asked.transfers
        if reply.preliminary:
            if transfer:
                transfers.preliminary()
            freed = transfers.accepted() if transfer or exchange.asked.verb not in VERBS else []
            return [*freed, *transfers.start(), send(clean)]
        self.exchanges.remove(exchange)
        return self._end_transfer(reply, clean) if transfer else self._end_exchange(exchange, reply, clean)

    def _unasked(self) -> Actions:
        if not self._tolerance.unasked():
            return [origin_error("reply to no command")]
        return [
            origin_error("too many replies to no command"),
            *self._end(end(Outcome.ORIGIN_BROKE, UNAVAILABLE)),
        ]

    def _end_transfer(self, reply: Reply, clean: Reply) -> Actions:
        aborting = self.exchanges.has(b"ABOR")
        freed = self.transfers.accepted() if reply.positive else []
        actions = [*freed, *self._completed(self.transfers.final(clean, aborting))]
        if (aborting or (self.transfers.completing and not reply.positive)) and not self._over:
            actions.append(do.Arm(Deadline.GRACE))
        return actions

    def _end_exchange(self, exchange: Exchange, reply: Reply, clean: Reply) -> Actions:
        actions: Actions = []
        if exchange.asked.verb == b"ABOR" and not self.exchanges.has(b"ABOR"):
            actions.append(do.Disarm(Deadline.GRACE))
        match effect_of(exchange, reply):
            case Effect.NONE:
                pass
            case Effect.LOGGED_IN:
                self.login.logged_in()
                actions += [do.ConfirmLogin(), do.Disarm(Deadline.LOGIN)]
            case Effect.LOGIN_UNTESTED:
                actions.append(do.WithdrawLogin())
            case Effect.LOGIN_REFUSED:
                self.login.refused(clean)
                return [*actions, do.CountFailedLogin()]
            case Effect.REINITIALIZED if self.login.inside:  # else the time runs, and a client could stretch it
                self.login.reinitialized()
                actions += [do.ReapplyLogin(), do.Arm(Deadline.LOGIN)]
            case Effect.FEATURES:
                clean = _features(clean, self.setting)
            case Effect.NO_FEATURES if self.setting.tls.terminates:
                clean = _features(clean, self.setting)
            case Effect.OPAQUE:
                return [*actions, do.Disarm(Deadline.LOGIN), do.GoOpaque(clean.render())]
            case Effect.RESTARTS:
                self._restarts = True
            case Effect.EXTENDED_ONLY:
                self.transfers.extended_only = True
            case Effect.PASSIVE:
                opened, answer = self.transfers.announce(exchange.asked.verb, reply, clean)
                return [*actions, *opened] if answer is None else [*actions, *opened, send(answer)]
            case Effect.NOT_PASSIVE:
                actions += self.transfers.not_opened()
            case Effect.QUIT:
                return actions + self._end(end(Outcome.QUIT, clean))
        return [*actions, send(clean)]

    def login_admitted(self) -> Actions:
        """Sends the attempt to log in that waited."""
        return self._forward(self.login.admitted())

    def counted(self, last: bool) -> Actions:
        """Lets the reply to a failed login go on, now that it is counted.

        :param last: whether it was one too many.
        """
        answer = send(self.login.counted())
        if last:
            return [answer, *self._end(end(Outcome.LOGIN_FAILURES, TOO_MANY_LOGINS))]  # RFC 2577 section 5
        return [answer, *self._catch_up()]

    # Data

    def data_reserved(self) -> Actions:
        """Called when the client may have a data port."""
        return self._ask(self.transfers.reserved())

    def data_denied(self, limit: int) -> Actions:
        """Called when the client has as many data ports as it may."""
        actions, answer = self.transfers.denied(limit)
        return [*actions, send(answer)]

    def data_listening(self, host: IPv4Address | None) -> Actions:
        """Called when the data port listens."""
        actions, answer = self.transfers.listening(host)
        return [*actions, send(answer)]

    def data_connected(self) -> Actions:
        """Called when the origin's data port accepted."""
        actions, command = self.transfers.connected()
        return actions + self._transfer(command)

    def data_delivered(self, towards: Towards) -> Actions:
        """Called when one direction of the data is complete."""
        return self._completed(self.transfers.delivered(towards))

    def data_ended(self, event: DataEnded) -> Actions:
        """Called when the data channel is gone."""
        was_held = self.transfers.held
        actions = self._completed(self.transfers.ended(event))
        return actions + (self._forget_restart() if was_held else []) + self.rest()

    def _completed(self, step: tuple[Actions, Reply | None]) -> Actions:
        actions, answer = step
        if answer is None:
            return actions
        return [*actions, do.Disarm(Deadline.GRACE), send(answer), *self._catch_up()]

    def _catch_up(self) -> Actions:
        """Goes on with the replies that came behind the held one."""
        actions = self.rest()
        while self._behind and not self._over:
            actions += self._settle(self._behind.pop(0))
        if self._origin_gone and not self._over:
            actions += self._end(end(Outcome.ORIGIN_LOST, UNAVAILABLE))
        return actions + self._drain()

    # Time, and the end

    def rest(self) -> Actions:
        """Starts the time to the next command, unless bytes move."""
        return [] if self._over or self.transfers.moving else [do.Arm(Deadline.IDLE)]

    def grace_is_over(self) -> Actions:
        """Ends the time that a failed transfer's data, or the reply to ABOR, had."""
        if self.transfers.completing:
            return self._completed(self.transfers.give_up())
        self.exchanges.forget(b"ABOR")  # the reply to the transfer was also the one to the ABOR
        return []

    def drains(self) -> Actions:
        """Ends the session after its transfer, since the gateway is about to stop."""
        self._draining = True
        return self._drain()

    def origin_lost(self) -> Actions:
        """Called when the origin's control connection is gone."""
        self._origin_gone = True
        if self._holding:
            return []
        if self.exchanges.has(b"QUIT"):
            return self._end(end(Outcome.QUIT))
        return [origin_error("control connection lost"), *self._end(end(Outcome.ORIGIN_LOST, UNAVAILABLE))]

    def _drain(self) -> Actions:
        if not self._draining or self._over or self.transfers.under_way:
            return []
        return self._end(end(Outcome.DRAINED, STOPPING))

    def _end(self, last: Actions) -> Actions:
        self._over = True
        return last


def _features(clean: Reply, setting: Setting) -> Reply:
    """The reply to FEAT: without the lines for commands that are refused, and with the TLS that the gateway ends."""
    hidden = setting.policy.hidden
    if not setting.tls.terminates:
        return features(clean, hidden)
    ours = tuple(line for verb, line in _TLS_FEATURES.items() if verb not in hidden)
    return features(clean, hidden | _TLS_VERBS, ours)
