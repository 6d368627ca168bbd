"""The admission of clients, in the order of the questions: access rules, bans, connections a minute, sessions."""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs

from gateway.addresses import Address
from gateway.guard.access import AccessRules
from gateway.guard.applicants import Applicant, Applicants
from gateway.guard.clients import client_of
from gateway.guard.counts import Counts, Rates
from gateway.guard.logins import LoginLimits
from gateway.guard.places import UNKNOWN, Place, Places

# The number of one client's refusals that are written down at once, and then in each minute.
NOTES_PER_MINUTE = 10

# The number of events of one client's sessions, besides those that are always written, at once and in each minute.
EVENTS_PER_MINUTE = 1000


class Reason(enum.Enum):
    """The reasons for which a client is not let in. Events and the log carry the value."""

    ACCESS = "access"
    BANNED = "banned"
    CONNECTS = "connects per minute"
    CLIENT_SESSIONS = "sessions per client"
    SESSIONS = "sessions"
    ALL_SESSIONS = "sessions of the gateway"


WORDS = {
    Reason.ACCESS: "Access from your address is denied.",
    Reason.BANNED: "Too many failed logins from your address; try again later.",
    Reason.CONNECTS: "Too many connections from your address in a minute; try again later.",
    Reason.CLIENT_SESSIONS: "Too many connections from your address; close one and try again.",
    Reason.SESSIONS: "Too many users; try again later.",
    Reason.ALL_SESSIONS: "Too many users; try again later.",
}


@attrs.frozen
class Refusal:
    """The refusal of a client.

    :param words: the text that the client is sent; None for nothing.
    :param network: the network that an access rule or its list names; None where no network refused.
    :param noted: whether the refusal is written down as an event.
    :param list: the file of the list that names the network; None where the rule itself does.
    """

    reason: Reason
    words: str | None
    network: str | None
    noted: bool
    list: str | None = None


@attrs.frozen
class AdmissionLimits:
    """The limits of one application; 0 is no limit."""

    sessions: int
    sessions_per_client: int
    connects_per_minute_per_client: int
    data_ports_per_client: int
    logins: LoginLimits


@attrs.frozen
class Known:
    """The records of one application's clients. They outlive a reload.

    :param all_sessions: the sessions of all applications together, and their limit; the same object for each.
    """

    all_sessions: Counts
    sessions: Counts = attrs.field(factory=Counts, init=False)
    data_ports: Counts = attrs.field(factory=Counts, init=False)
    connects: Rates = attrs.field(factory=Rates, init=False)
    notes: Rates = attrs.field(factory=Rates, init=False)
    events: Rates = attrs.field(factory=Rates, init=False)
    applicants: Applicants = attrs.field(factory=Applicants, init=False)


@attrs.frozen
class Guard:
    """The guard of one application, as it is configured.

    :param silent: whether a client that a rule denies is sent nothing.
    :param clock: the time in seconds; it only goes forward.
    :param places: tells the places of clients.
    """

    access: AccessRules = attrs.field(repr=False)
    silent: bool
    limits: AdmissionLimits
    known: Known = attrs.field(repr=False)
    clock: Callable[[], float] = attrs.field(repr=False)
    places: Places = attrs.field(factory=Places, repr=False)

    def admit(self, address: Address, place: Place = UNKNOWN) -> Refusal | None:
        """Lets a client in, which then has to ``leave``; or says why not."""
        match = self.access.denying(address, place)
        if match is not None:
            words = None if self.silent else WORDS[Reason.ACCESS]
            network = None if match.network is None else str(match.network)
            return Refusal(Reason.ACCESS, words, network, self._noted(address), match.list)
        reason = self._over(client_of(address))
        if reason is not None:
            return Refusal(reason, WORDS[reason], None, self._noted(address))
        for sessions in (self.known.all_sessions, self.known.sessions):
            sessions.enter(client_of(address))
        return None

    def leave(self, address: Address) -> None:
        """Counts a client out that was let in and is gone."""
        for sessions in (self.known.all_sessions, self.known.sessions):
            sessions.leave(client_of(address))

    def admits_event(self, address: Address) -> bool:
        """Whether one more event of a client's session is written down; if so, it is counted."""
        return self.known.events.admits(client_of(address), EVENTS_PER_MINUTE, self.clock())

    def reserve_data_port(self, address: Address) -> bool:
        """Counts a data port that a client awaits, which later has to be freed; false where it has enough."""
        ports, client = self.known.data_ports, client_of(address)
        if 0 < self.limits.data_ports_per_client <= ports.of_client(client):
            return False
        ports.enter(client)
        return True

    def free_data_port(self, address: Address) -> None:
        """Counts a data port out that was reserved."""
        self.known.data_ports.leave(client_of(address))

    def applicant(self, address: Address, admitted: Callable[[], None], banned: Callable[[], None]) -> Applicant:
        """A session of a client that was let in, as it applies for a login."""
        limits = self.limits.logins
        return Applicant(self.known.applicants, client_of(address), limits, self.clock, admitted, banned)

    def _over(self, client: Address) -> Reason | None:
        """The limit that one more connection of the client would exceed."""
        limits, known, now = self.limits, self.known, self.clock()
        if known.applicants.failed_logins.banned(client, limits.logins, now):
            return Reason.BANNED
        per_minute = limits.connects_per_minute_per_client
        if per_minute and not known.connects.admits(client, per_minute, now):
            return Reason.CONNECTS
        if 0 < limits.sessions_per_client <= known.sessions.of_client(client):
            return Reason.CLIENT_SESSIONS
        if 0 < limits.sessions <= known.sessions.total:
            return Reason.SESSIONS
        if 0 < known.all_sessions.limit <= known.all_sessions.total:
            return Reason.ALL_SESSIONS
        return None

    def _noted(self, address: Address) -> bool:
        return self.known.notes.admits(client_of(address), NOTES_PER_MINUTE, self.clock())
