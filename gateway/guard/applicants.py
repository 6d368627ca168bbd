"""The applicants: sessions whose client is not logged in, and their attempts to log in.

An attempt counts from the moment that it goes to the origin, until the origin accepts it. So a client that hangs up
before the answer gains nothing, and one that guesses in many sessions at once has no more attempts than one that
waits for each answer.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs

from gateway.addresses import Address
from gateway.guard.logins import Consequence, FailedLogins, LoginLimits


class Answer(enum.Enum):
    """The answers to an applicant that asks to make an attempt."""

    GO = enum.auto()
    WAIT = enum.auto()  # until another attempt of the client's was answered
    BANNED = enum.auto()


def _nothing() -> None:
    """Does nothing: the session is over."""


@attrs.define(eq=False)
class _Crowd:
    """The applicants of one client.

    :param present: all of them.
    :param waiting: those that wait to make an attempt, in the order in which they asked.
    :param trying: the number of attempts that the origin has not answered.
    """

    present: set[Applicant] = attrs.field(factory=set, init=False)
    waiting: dict[Applicant, None] = attrs.field(factory=dict, init=False)
    trying: int = attrs.field(default=0, init=False)


@attrs.define(eq=False)
class Applicants:
    """All applicants of one application, and the failed logins of its clients."""

    failed_logins: FailedLogins = attrs.field(factory=FailedLogins, init=False)
    _crowds: dict[Address, _Crowd] = attrs.field(factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._crowds)

    def crowd(self, client: Address) -> _Crowd:
        """The applicants of a client."""
        crowd = self._crowds.get(client)
        if crowd is None:
            crowd = self._crowds[client] = _Crowd()
        return crowd

    def tidy(self, client: Address) -> None:
        """Forgets a client without applicants and attempts."""
        crowd = self._crowds.get(client)
        if crowd is not None and not crowd.present and not crowd.waiting and not crowd.trying:
            del self._crowds[client]


@attrs.define(eq=False)
class Applicant:
    """One session, from its beginning to its end; while its client is logged in it applies for nothing.

    :param client: the address that stands for the client.
    :param admitted: called when the attempt that had to wait may go to the origin.
    :param banned: called when a ban of the client begins that another session caused.
    """

    applicants: Applicants = attrs.field(repr=False)
    client: Address
    limits: LoginLimits = attrs.field(repr=False)
    clock: Callable[[], float] = attrs.field(repr=False)
    admitted: Callable[[], None] = attrs.field(repr=False)
    banned: Callable[[], None] = attrs.field(repr=False)
    _trying: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._crowd.present.add(self)

    def attempt(self) -> Answer:
        """Asks to make an attempt, and counts it from now on if it may go."""
        if self.applicants.failed_logins.banned(self.client, self.limits, self.clock()):
            return Answer.BANNED
        if self._full:
            self._crowd.waiting[self] = None
            return Answer.WAIT
        self._try()
        return Answer.GO

    def succeeded(self) -> None:
        """Takes the attempt back: the client is logged in."""
        self._crowd.present.discard(self)
        self.taken_back()

    def reapply(self) -> None:
        """Applies again: the client logged out."""
        self._crowd.present.add(self)

    def taken_back(self) -> None:
        """Takes the attempt back: the origin tested no password."""
        self._answered()
        self._admit()

    def failed(self) -> Consequence:
        """Counts a login that the origin refused. A ban that begins ends every other applicant of the client."""
        self._answered()
        crowd = self._crowd
        crowd.present.add(self)
        consequence = self.applicants.failed_logins.count(self.client, self.limits, self.clock())
        if consequence.banned is None:
            self._admit()
            return consequence
        others = (crowd.present | crowd.waiting.keys()) - {self}
        crowd.waiting.clear()
        for other in others:
            other.banned()
        return consequence

    def leave(self) -> Consequence:
        """Ends the session; it is told nothing any more. An attempt that the origin has not answered has failed."""
        consequence = self.failed() if self._trying else Consequence()
        self.admitted = self.banned = _nothing  # the session's own hold the session
        crowd = self._crowd
        crowd.present.discard(self)
        crowd.waiting.pop(self, None)
        self.applicants.tidy(self.client)
        return consequence

    @property
    def _crowd(self) -> _Crowd:
        return self.applicants.crowd(self.client)

    @property
    def _full(self) -> bool:
        """Whether one attempt more could be one too many. With none under way, one may always go."""
        failures, trying = self.limits.failures, self._crowd.trying
        if not failures or not trying:
            return False
        return self.applicants.failed_logins.of(self.client, self.limits, self.clock()) + trying >= failures

    def _try(self) -> None:
        self._trying = True
        self._crowd.trying += 1

    def _answered(self) -> None:
        if self._trying:
            self._trying = False
            self._crowd.trying -= 1

    def _admit(self) -> None:
        """Lets those go that wait, as far as they may."""
        waiting = self._crowd.waiting
        while waiting and not (first := next(iter(waiting)))._full:
            del waiting[first]
            first._try()
            first.admitted()
        self.applicants.tidy(self.client)
