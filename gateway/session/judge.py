"""The judge of one control connection: events in, actions out.

The table at the end says which events each phase takes, and how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from gateway.ftp.scrub import scrubber
from gateway.machine import Machine
from gateway.observe.records import TLSFailed, TLSSide
from gateway.session import actions as do
from gateway.session import events as on
from gateway.session.actions import Actions, Outcome
from gateway.session.client_tls import ClientTLS
from gateway.session.conversation import MAX_QUEUED, Conversation
from gateway.session.endings import (
    IDLE_TIMEOUT,
    LOGIN_TIMEOUT,
    NOT_FTP,
    STOPPING,
    TOO_MANY_LOGINS,
    TOO_MUCH_TELNET,
    UNAVAILABLE,
    end,
    injected,
    origin_error,
    origin_insecure,
    send,
)
from gateway.session.events import Deadline, Event
from gateway.session.exchanges import Exchanges
from gateway.session.opaque import Opaque
from gateway.session.opening import Opening, Refused
from gateway.session.origin_tls import Insecure
from gateway.session.setting import Setting
from gateway.session.tables import PHASE, Cause, Phase


class UnexpectedEvent(Exception):
    """An event that came in a phase that does not take it: a mistake in this program."""


@attrs.define
class Judge:
    """One client, one origin, and the control connection between them.

    :param ended: whether the session is over; then it asks for nothing more.
    """

    setting: Setting = attrs.field(repr=False)
    ended: bool = attrs.field(default=False, init=False)
    _phase: Machine[Phase, Cause] = attrs.field(factory=lambda: Machine(PHASE, Phase.NEW), init=False)
    _client_tls: ClientTLS = attrs.field(init=False)
    _opening: Opening = attrs.field(init=False)
    _conversation: Conversation = attrs.field(init=False)
    _opaque: Opaque = attrs.field(factory=Opaque, init=False)

    def __attrs_post_init__(self) -> None:
        exchanges = Exchanges()
        self._client_tls = ClientTLS(self.setting.tls)
        self._opening = Opening(self.setting.banner, self.setting.tls, exchanges)
        self._conversation = Conversation(self.setting, self._client_tls, exchanges)

    @property
    def hungry(self) -> bool:
        """Whether it takes more commands; while it does not, the client is not read (back-pressure)."""
        return not self.ended and len(self._conversation.queue) < MAX_QUEUED

    @property
    def listens(self) -> bool:
        """Whether it takes more replies; while it does not, the origin is not read (back-pressure)."""
        return not self.ended and self._conversation.listens

    @property
    def user(self) -> str | None:
        """The name with which the client logged in; None before that, and where it cannot be read."""
        return self._conversation.login.user

    def receive(self, event: Event) -> Actions:
        """Judges one event; gives the actions that follow, in order.

        :raises UnexpectedEvent: where the phase takes no such event.
        """
        if self.ended:
            return []
        judge = _TAKES[self._phase.state].get(type(event))
        if judge is None:
            raise UnexpectedEvent(f"the judge, {self._phase.state.value}, takes no {type(event).__name__}")
        actions = judge(self, event)
        last = type(actions[-1]) if actions else None
        if self._conversation.queue and self._phase.state is Phase.OPEN and last is not do.Close:
            actions += self._conversation.go_on()
            last = type(actions[-1]) if actions else None
        if last is do.Close:
            self._phase.move(Cause.ENDED)
            self.ended = True
        elif last is do.GoOpaque:
            self._phase.move(Cause.OPAQUE)
        return actions

    # The opening

    def _start(self) -> Actions:
        actions: Actions = [do.Arm(Deadline.LOGIN)]
        if self.setting.tls.implicit:
            self._client_tls.implicit()
            actions.append(do.StartClientTLS(b""))
        return actions + self._choose_origin()

    def _choose_origin(self) -> Actions:
        self._phase.move(Cause.ORIGIN_CHOSEN)
        return [do.ConnectOrigin()]

    def _meet_origin(self, event: on.OriginConnected) -> Actions:
        self._phase.move(Cause.ORIGIN_CONNECTED)
        conversation, setting = self._conversation, self.setting
        conversation.scrubber = scrubber(event.address, setting.public, event.host, setting.name)
        conversation.transfers.ports = event.ports
        return self._opening.connected()

    def _greet(self, event: on.ReplyReceived) -> Actions:
        scrub = self._conversation.scrubber.scrub
        if event.reply.preliminary:
            return [send(scrub(event.reply))]
        try:
            actions = self._opening.greeted(event.reply)
        except Refused as error:
            return end(Outcome.ORIGIN_REFUSED, scrub(error.reply))
        if self._opening.greeting is None:
            self._phase.move(Cause.SECURE)
        return actions + self._open()

    def _agree(self, event: on.ReplyReceived) -> Actions:
        try:
            actions = self._opening.answered(event.reply)
        except Insecure as error:
            return origin_insecure(str(error))
        return actions + self._open()

    def _open(self) -> Actions:
        greeting, self._opening.greeting = self._opening.greeting, None
        if greeting is None:
            return []
        self._phase.move(Cause.GREETED)
        return [do.Arm(Deadline.IDLE), send(self._conversation.scrubber.scrub(greeting))]

    # The client

    def _hear(self, event: on.CommandReceived) -> Actions:
        if event.command.foreign:
            return end(Outcome.CLIENT_FOREIGN, NOT_FTP)
        actions = self._conversation.heard(event.command)
        return actions + self._conversation.rest() if self._phase.state is Phase.OPEN else actions

    def _secure_client(self) -> Actions:
        self._client_tls.secured()
        return []

    # The end

    def _break(self, outcome: Outcome, reason: str) -> Actions:
        return [origin_error(reason), *end(outcome, UNAVAILABLE)]

    def _drain_opaque(self) -> Actions:
        self._opaque.draining = True
        return self._opaque.drain()

    def _pass_deadline(self, event: on.DeadlinePassed) -> Actions:
        match event.deadline, self._phase.state:
            case Deadline.GRACE, _:
                return self._conversation.grace_is_over()
            case Deadline.IDLE, Phase.OPAQUE:
                return end(Outcome.IDLE_TIMEOUT)
            case Deadline.IDLE, _:
                return end(Outcome.IDLE_TIMEOUT, IDLE_TIMEOUT)
            case _, Phase.OPEN:
                return end(Outcome.LOGIN_TIMEOUT, LOGIN_TIMEOUT)
            case _, Phase.SECURING:
                return origin_insecure("not secure in time")
            case _:
                return self._break(Outcome.ORIGIN_SILENT, "no greeting in time")


_Takes = Mapping[type[Event], Callable[[Judge, Any], Actions]]

_ALWAYS: _Takes = {
    on.CommandReceived: Judge._hear,
    on.UncleanReceived: lambda judge, event: judge._conversation.heard(event.unclean),
    on.ForeignReceived: lambda judge, event: end(Outcome.CLIENT_FOREIGN, NOT_FTP),
    on.TelnetFlooded: lambda judge, event: end(Outcome.CLIENT_TELNET, TOO_MUCH_TELNET),
    on.ClientSecured: lambda judge, event: judge._secure_client(),
    on.ClientTLSFailed: lambda judge, event: [
        do.Note(TLSFailed(TLSSide.CLIENT, event.reason)),
        *end(Outcome.CLIENT_TLS),
    ],
    on.ClientLost: lambda judge, event: end(Outcome.CLIENT_LOST),
    on.Banned: lambda judge, event: end(Outcome.LOGIN_FAILURES, TOO_MANY_LOGINS),
    on.Injected: lambda judge, event: injected(),
    on.DeadlinePassed: Judge._pass_deadline,
    on.Draining: lambda judge, event: end(Outcome.DRAINED, STOPPING),
    on.Stopped: lambda judge, event: end(Outcome.DRAINED, STOPPING),
}
_ORIGIN: _Takes = {
    on.OriginTLSFailed: lambda judge, event: origin_insecure(event.reason),
    on.OriginBroke: lambda judge, event: judge._break(Outcome.ORIGIN_BROKE, event.reason),
    on.OriginLost: lambda judge, event: judge._break(Outcome.ORIGIN_LOST, "control connection lost"),
}

_TAKES: Mapping[Phase, _Takes] = {
    Phase.NEW: {on.Started: lambda judge, event: judge._start()},
    Phase.CONNECTING: {
        **_ALWAYS,
        on.OriginConnected: Judge._meet_origin,
        on.OriginFailed: lambda judge, event: judge._break(Outcome.ORIGIN_UNREACHABLE, event.reason),
    },
    Phase.GREETING: {
        **_ALWAYS,
        **_ORIGIN,
        on.OriginSecured: lambda judge, event: [],  # the greeting comes under TLS
        on.ReplyReceived: Judge._greet,
    },
    Phase.SECURING: {
        **_ALWAYS,
        **_ORIGIN,
        on.OriginSecured: lambda judge, event: judge._opening.secured() + judge._open(),
        on.ReplyReceived: Judge._agree,
        on.Injected: lambda judge, event: injected(UNAVAILABLE),
        on.OriginLost: lambda judge, event: origin_insecure("connection lost"),
    },
    Phase.OPEN: {
        **_ALWAYS,
        **_ORIGIN,
        on.ReplyReceived: lambda judge, event: judge._conversation.replied(event.reply),
        on.LoginAdmitted: lambda judge, event: judge._conversation.login_admitted(),
        on.FailedLoginCounted: lambda judge, event: judge._conversation.counted(event.last),
        on.DataReserved: lambda judge, event: judge._conversation.data_reserved(),
        on.DataDenied: lambda judge, event: judge._conversation.data_denied(event.limit),
        on.DataListening: lambda judge, event: judge._conversation.data_listening(event.host),
        on.DataConnected: lambda judge, event: judge._conversation.data_connected(),
        on.DataDelivered: lambda judge, event: judge._conversation.data_delivered(event.towards),
        on.DataEnded: lambda judge, event: judge._conversation.data_ended(event),
        on.OriginLost: lambda judge, event: judge._conversation.origin_lost(),
        on.Draining: lambda judge, event: judge._conversation.drains(),
    },
    Phase.OPAQUE: {
        **_ALWAYS,
        on.OpaqueMoved: lambda judge, event: judge._opaque.moved(),
        on.OpaqueChannels: lambda judge, event: judge._opaque.counted(event.count),
        on.OriginLost: lambda judge, event: end(Outcome.ORIGIN_CLOSED),
        on.Draining: lambda judge, event: judge._drain_opaque(),
        on.Stopped: lambda judge, event: end(Outcome.DRAINED),
        on.Banned: lambda judge, event: [],  # it cannot be seen whether its client is logged in
        # The last words of an earlier data channel, which is counted with the others now.
        **{
            ignored: lambda judge, event: []
            for ignored in (on.DataListening, on.DataConnected, on.DataDelivered, on.DataEnded)
        },
    },
    Phase.ENDED: {},
}
