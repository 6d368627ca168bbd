"""The login of one session: what the judge is told, and when."""

from __future__ import annotations

from ipaddress import ip_address

import attrs
import pytest
from twisted.internet.task import Clock

from gateway.guard.access import AccessRules
from gateway.guard.admission import AdmissionLimits, Guard, Known
from gateway.guard.counts import Counts
from gateway.guard.logins import LoginLimits
from gateway.observe.records import ClientBanned, Record
from gateway.relay.login import Login
from gateway.session import events as on

CLIENT = ip_address("203.0.113.9")


@attrs.define(eq=False)
class Session:
    """Writes down what it is told."""

    events: list[on.Event] = attrs.field(factory=list)
    notes: list[Record] = attrs.field(factory=list)

    def tell(self, event: on.Event) -> None:
        self.events.append(event)

    def note(self, record: Record) -> None:
        self.notes.append(record)


@attrs.define(eq=False)
class Place:
    """Logins of one client, where three failures are too many."""

    clock: Clock = attrs.field(factory=Clock)
    guard: Guard = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        limits = AdmissionLimits(0, 0, 0, 0, LoginLimits(3, 300.0, 600.0))
        self.guard = Guard(AccessRules.of([]), False, limits, Known(Counts()), self.clock.seconds)

    def login(self) -> tuple[Login, Session]:
        session = Session()
        return Login(self.clock, self.guard, CLIENT, session), session


@pytest.fixture
def place() -> Place:
    return Place()


def test_an_attempt_may_go_at_once(place: Place) -> None:
    login, session = place.login()
    login.attempt()
    assert session.events == [on.LoginAdmitted()]
    login.confirm()
    login.close()
    assert session.notes == []


def test_a_failure_is_answered_later_than_the_one_before(place: Place) -> None:
    login, session = place.login()
    login.attempt()
    login.fail()
    assert session.events == [on.LoginAdmitted(), on.FailedLoginCounted(last=False)]
    login.attempt()
    login.fail()
    assert session.events[2:] == [on.LoginAdmitted()]
    place.clock.advance(1)
    assert session.events[3:] == [on.FailedLoginCounted(last=False)]
    login.close()
    assert place.clock.getDelayedCalls() == []


def test_the_delay_ends_with_the_session(place: Place) -> None:
    login, session = place.login()
    for _ in range(2):
        login.attempt()
        login.fail()
    told = list(session.events)
    login.close()
    assert place.clock.getDelayedCalls() == []
    place.clock.advance(60)
    assert session.events == told


def test_a_ban_is_written_down_once(place: Place) -> None:
    one, its = place.login()
    other, others = place.login()
    for _ in range(2):
        one.attempt()
        one.fail()
    other.attempt()
    other.close()
    assert others.notes == [ClientBanned(3, 600.0)], "an attempt that was not answered has failed"
    assert its.events[-1] == on.Banned()
    one.close()
    assert its.notes == []
    other.close()
    assert len(others.notes) == 1, "a second close does nothing"


def test_an_attempt_that_tested_no_password_does_not_count(place: Place) -> None:
    for _ in range(10):
        login, session = place.login()
        login.attempt()
        login.withdraw()
        login.close()
        assert session.events == [on.LoginAdmitted()]
        assert session.notes == []


def test_an_attempt_of_a_client_that_is_banned_meanwhile(place: Place) -> None:
    inside, its = place.login()
    inside.attempt()
    inside.confirm()
    for _ in range(3):
        login, _ = place.login()
        login.attempt()
        login.close()
    assert on.Banned() not in its.events
    inside.attempt()
    assert its.events[-1] == on.Banned()
