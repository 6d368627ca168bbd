"""The applicants: an attempt counts from its beginning, and a ban ends all who are not logged in."""

from __future__ import annotations

from ipaddress import ip_address

import attrs
import pytest

from gateway.guard.applicants import Answer, Applicant, Applicants
from gateway.guard.logins import Consequence, LoginLimits

A, B = ip_address("203.0.113.1"), ip_address("203.0.113.2")
GO, WAIT, BANNED = Answer
THREE = LoginLimits(failures=3, window=300.0, ban=600.0)


@attrs.define(eq=False)
class Place:
    """An application, its clients' sessions, and what these were told, in order.

    :param limits: three failures begin a ban.
    """

    limits: LoginLimits = THREE
    now: float = 1000.0
    told: list[str] = attrs.field(factory=list)
    applicants: Applicants = attrs.field(factory=Applicants)

    def come(self, name: str, client: object = A) -> Applicant:
        return Applicant(
            self.applicants,
            client,  # type: ignore[arg-type]
            self.limits,
            lambda: self.now,
            lambda: self.told.append(f"{name} admitted"),
            lambda: self.told.append(f"{name} banned"),
        )

    def crowd(self, number: int) -> list[Applicant]:
        return [self.come(str(index)) for index in range(number)]


@pytest.fixture
def place() -> Place:
    return Place()


def test_an_attempt_that_nobody_waits_for_has_failed(place: Place) -> None:
    for last in (False, False, True):
        session = place.come("x")
        assert session.attempt() is GO
        consequence = session.leave()
        assert consequence.last is last
    assert consequence.banned == 3
    assert place.come("x").attempt() is BANNED


def test_a_session_without_an_attempt_has_not_failed(place: Place) -> None:
    for _ in range(10):
        assert place.come("x").leave() == Consequence()
    assert len(place.applicants) == 0


def test_attempts_under_way_count(place: Place) -> None:
    crowd = place.crowd(5)
    assert [one.attempt() for one in crowd] == [GO, GO, GO, WAIT, WAIT]
    crowd[1].succeeded()
    assert place.told == ["3 admitted"]
    crowd[0].taken_back()
    assert place.told == ["3 admitted", "4 admitted"]


def test_failures_and_attempts_under_way_count_together(place: Place) -> None:
    crowd = place.crowd(4)
    assert crowd[0].attempt() is GO
    crowd[0].failed()
    assert [one.attempt() for one in crowd[1:]] == [GO, GO, WAIT]
    crowd[1].failed()
    assert place.told == [], "one is under way, two have failed"
    crowd[2].succeeded()
    assert place.told == ["3 admitted"], "with none under way one may always go"


def test_other_clients_do_not_wait(place: Place) -> None:
    for one in place.crowd(3):
        one.attempt()
    assert place.come("b", B).attempt() is GO


def test_a_session_that_waits_may_leave(place: Place) -> None:
    crowd = place.crowd(5)
    for one in crowd:
        one.attempt()
    assert crowd[3].leave() == Consequence(), "it tried nothing"
    crowd[0].succeeded()
    assert place.told == ["4 admitted"]


def test_a_ban_ends_all_who_are_not_logged_in(place: Place) -> None:
    inside, idle, trying, waiting, guessing = place.crowd(5)
    other = place.come("other", B)
    assert inside.attempt() is GO
    inside.succeeded()
    for _ in range(2):
        assert guessing.attempt() is GO
        guessing.failed()
    assert guessing.attempt() is GO
    assert trying.attempt() is WAIT
    assert waiting.attempt() is WAIT
    assert guessing.failed().banned == 3
    assert sorted(place.told) == ["1 banned", "2 banned", "3 banned"]
    for one in (idle, trying, waiting, guessing, inside, other):
        one.leave()
    assert sorted(place.told) == ["1 banned", "2 banned", "3 banned"], "nobody is admitted any more"
    assert len(place.applicants) == 0


def test_a_second_login_during_a_ban(place: Place) -> None:
    inside, guessing = place.crowd(2)
    inside.attempt()
    inside.succeeded()
    for _ in range(3):
        guessing.attempt()
        guessing.failed()
    assert place.told == []
    assert inside.attempt() is BANNED


def test_a_second_login_that_waits_is_ended_by_a_ban(place: Place) -> None:
    inside, *crowd = place.crowd(4)
    inside.attempt()
    inside.succeeded()
    for one in crowd:
        one.attempt()
    assert inside.attempt() is WAIT
    for one in crowd:
        one.failed()
    assert "0 banned" in place.told


def test_a_login_that_failed_is_no_login_any_more(place: Place) -> None:
    inside, guessing = place.crowd(2)
    inside.attempt()
    inside.succeeded()
    inside.attempt()
    inside.failed()
    for _ in range(2):
        guessing.attempt()
        guessing.failed()
    assert place.told == ["0 banned"]


def test_a_window_ends(place: Place) -> None:
    crowd = place.crowd(2)
    for _ in range(2):
        crowd[0].attempt()
        crowd[0].failed()
    place.now += 300
    assert [one.attempt() for one in crowd] == [GO, GO]


def test_without_a_ban_one_at_a_time_may_always_go() -> None:
    place = Place(LoginLimits(failures=2, window=300.0, ban=0.0))
    one, other = place.crowd(2)
    for last in (False, True, True, True):
        assert one.attempt() is GO
        assert one.failed().last is last
    assert [one.attempt(), other.attempt()] == [GO, WAIT]


def test_nothing_is_counted_where_the_limit_is_none() -> None:
    place = Place(LoginLimits(failures=0, window=300.0, ban=600.0))
    crowd = place.crowd(50)
    assert {one.attempt() for one in crowd} == {GO}
    assert {one.leave() for one in crowd} == {Consequence()}


def test_nothing_is_kept_of_those_who_left(place: Place) -> None:
    crowd = place.crowd(3)
    crowd[0].attempt()
    crowd[0].succeeded()
    for one in crowd:
        one.leave()
    assert len(place.applicants) == 0


def test_a_login_without_a_password(place: Place) -> None:
    """The origin may accept a USER, or refuse it, before any PASS."""
    inside, guessing = place.crowd(2)
    inside.succeeded()
    assert [guessing.failed().banned for _ in range(3)] == [None, None, 3]
    assert place.told == [], "who is logged in goes on"


def test_who_logged_out_is_ended_by_a_ban(place: Place) -> None:
    outside, guessing = place.crowd(2)
    outside.attempt()
    outside.succeeded()
    outside.reapply()
    for _ in range(3):
        guessing.failed()
    assert place.told == ["0 banned"]
