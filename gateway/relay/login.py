"""The login of one session, as its hands perform it: the guard is asked, and answers to failures are delayed."""

from __future__ import annotations

from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gateway.addresses import Address
from gateway.guard.admission import Guard
from gateway.guard.applicants import Answer, Applicant
from gateway.guard.logins import Consequence
from gateway.net.clock import call_off
from gateway.observe.records import ClientBanned, Record
from gateway.session import events as on


class Session(Protocol):
    """The session that the client logs in to."""

    def tell(self, event: on.Event) -> None:
        """Gives the judge an event."""

    def note(self, record: Record) -> None:
        """Writes an event of the session down."""


@attrs.define(eq=False)
class Login:
    """A session's way to its login, from its beginning until ``close``.

    :param client: the client's address.
    """

    clock: IReactorTime = attrs.field(repr=False)
    guard: Guard = attrs.field(repr=False)
    client: Address
    session: Session = attrs.field(repr=False)
    _applicant: Applicant = attrs.field(init=False, repr=False)
    _tarpit: IDelayedCall | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._applicant = self.guard.applicant(self.client, self._admitted, self._banned)

    def attempt(self) -> None:
        """Asks to make an attempt; the judge is told once it may go, or that the client is banned."""
        match self._applicant.attempt():
            case Answer.GO:
                self._admitted()
            case Answer.BANNED:
                self._banned()
            case Answer.WAIT:
                pass

    def confirm(self) -> None:
        """Takes the attempt back: the origin let the client in."""
        self._applicant.succeeded()

    def reapply(self) -> None:
        """Takes the client for one that is not logged in: it logged out."""
        self._applicant.reapply()

    def withdraw(self) -> None:
        """Takes the attempt back: the origin tested no password."""
        self._applicant.taken_back()

    def fail(self) -> None:
        """Counts a failure; the judge is told once the client may be answered."""
        consequence = self._applicant.failed()
        self._write_down(consequence)
        counted = on.FailedLoginCounted(consequence.last)
        if consequence.delay:
            self._tarpit = self.clock.callLater(consequence.delay, self.session.tell, counted)
        else:
            self.session.tell(counted)

    def close(self) -> None:
        """Ends the login with the session. An attempt that was not answered has failed."""
        call_off(self._tarpit)
        self._tarpit = None
        self._write_down(self._applicant.leave())

    def _write_down(self, consequence: Consequence) -> None:
        if consequence.banned is not None:
            self.session.note(ClientBanned(consequence.banned, self.guard.limits.logins.ban))

    def _admitted(self) -> None:
        self.session.tell(on.LoginAdmitted())

    def _banned(self) -> None:
        self.session.tell(on.Banned())
