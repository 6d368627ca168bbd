"""The admission of clients."""

from ipaddress import ip_address, ip_network

import attrs
import pytest

from gateway.guard.access import AccessRules, Rule
from gateway.guard.access_files import AccessFile
from gateway.guard.admission import NOTES_PER_MINUTE, WORDS, AdmissionLimits, Guard, Known, Reason
from gateway.guard.counts import Counts
from gateway.guard.lists import NetworkList
from gateway.guard.logins import LoginLimits
from gateway.guard.places import Place

A, B, C = (ip_address(f"203.0.113.{number}") for number in (1, 2, 3))
NONE = AdmissionLimits(0, 0, 0, 0, LoginLimits(0, 0.0, 0.0))


@attrs.define
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def guard(clock: Clock, known: Known | None = None, access: AccessRules | None = None, **limits: object) -> Guard:
    return Guard(
        access=access or AccessRules.of([]),
        silent=False,
        limits=attrs.evolve(NONE, **limits),
        known=known or Known(Counts()),
        clock=clock,
    )


def reasons(guard: Guard, *clients: object) -> list[Reason | None]:
    refusals = [guard.admit(client) for client in clients]  # type: ignore[arg-type]
    return [None if refusal is None else refusal.reason for refusal in refusals]


def fail(guard: Guard) -> bool:
    """A login of A's fails; gives whether it was the last."""
    applicant = guard.applicant(A, lambda: None, lambda: None)
    applicant.attempt()
    return applicant.leave().last


def test_without_rules_and_limits_everyone_is_let_in(clock: Clock) -> None:
    assert reasons(guard(clock), *[A] * 1000) == [None] * 1000


def test_who_is_denied(clock: Clock) -> None:
    rules = AccessRules.of([Rule(True, (ip_network("203.0.113.1"),))])
    refusal = guard(clock, access=rules).admit(A)
    assert refusal is not None
    assert (refusal.reason, refusal.network) == (Reason.ACCESS, "203.0.113.1/32")
    assert refusal.words == WORDS[Reason.ACCESS]
    silent = attrs.evolve(guard(clock, access=rules), silent=True).admit(A)
    assert silent is not None and silent.words is None
    assert guard(clock, access=rules).admit(B) is None


def test_who_is_denied_takes_up_nothing(clock: Clock) -> None:
    rules = AccessRules.of([Rule(True, (ip_network("203.0.113.1"),))])
    door = guard(clock, access=rules, sessions=1)
    assert reasons(door, A, A, B) == [Reason.ACCESS, Reason.ACCESS, None]


def test_a_client_is_denied_by_its_place_or_by_a_list(clock: Clock) -> None:
    file = AccessFile("blocked.txt", NetworkList.of(["203.0.113.2"], "blocked.txt"))
    door = guard(clock, access=AccessRules.of([Rule(True, countries=("DE",)), Rule(True, lists=(file,))]))
    by_place, by_list = door.admit(A, Place("DE")), door.admit(B, Place("FR"))
    assert by_place is not None and (by_place.reason, by_place.network, by_place.list) == (Reason.ACCESS, None, None)
    assert by_list is not None and (by_list.network, by_list.list) == ("203.0.113.2/32", "blocked.txt")
    assert door.admit(A, Place("FR")) is None


def test_sessions_of_an_application(clock: Clock) -> None:
    door = guard(clock, sessions=2)
    assert reasons(door, A, B, C) == [None, None, Reason.SESSIONS]
    door.leave(A)
    assert reasons(door, C, A) == [None, Reason.SESSIONS]


def test_sessions_of_a_client(clock: Clock) -> None:
    door = guard(clock, sessions_per_client=2)
    assert reasons(door, A, A, A, B) == [None, None, Reason.CLIENT_SESSIONS, None]
    door.leave(A)
    assert reasons(door, A, A) == [None, Reason.CLIENT_SESSIONS]


def test_sessions_of_all_applications(clock: Clock) -> None:
    together = Counts()
    together.limit = 2
    one, other = (guard(clock, Known(together)) for _ in range(2))
    assert reasons(one, A) + reasons(other, B) == [None, None]
    assert reasons(one, C) + reasons(other, C) == [Reason.ALL_SESSIONS] * 2
    other.leave(B)
    assert reasons(one, C) == [None]


def test_an_ipv6_client_is_a_network(clock: Clock) -> None:
    one, other, elsewhere = map(ip_address, ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"))
    door = guard(clock, sessions_per_client=1)
    assert reasons(door, one, other, elsewhere) == [None, Reason.CLIENT_SESSIONS, None]
    door.leave(one)
    assert reasons(door, other) == [None]


def test_connects_per_minute(clock: Clock) -> None:
    door = guard(clock, connects_per_minute_per_client=2)
    assert reasons(door, A, A, A, B) == [None, None, Reason.CONNECTS, None]
    clock.now += 30
    assert reasons(door, A, A) == [None, Reason.CONNECTS]


def test_who_is_banned_for_a_while(clock: Clock) -> None:
    door = guard(clock, logins=LoginLimits(2, 300.0, 600.0))
    assert [fail(door) for _ in range(2)] == [False, True]
    assert reasons(door, A, B) == [Reason.BANNED, None]
    clock.now += 600
    assert reasons(door, A) == [None]


def test_data_ports_of_a_client(clock: Clock) -> None:
    door = guard(clock, data_ports_per_client=2)
    assert [door.reserve_data_port(client) for client in (A, A, A, B)] == [True, True, False, True]
    door.free_data_port(A)
    assert [door.reserve_data_port(A) for _ in range(2)] == [True, False]
    assert all(guard(clock).reserve_data_port(A) for _ in range(1000))


def test_what_is_known_outlives_a_reload(clock: Clock) -> None:
    limits = LoginLimits(1, 300.0, 600.0)
    before = guard(clock, sessions=1, logins=limits)
    fail(before)
    assert reasons(before, B) == [None]
    after = guard(clock, before.known, sessions=1, logins=limits)
    assert reasons(after, A, C) == [Reason.BANNED, Reason.SESSIONS]
    before.leave(B)
    assert reasons(after, C) == [None]


def test_a_flood_of_refusals_is_noted_now_and_then(clock: Clock) -> None:
    door = guard(clock, sessions_per_client=1)
    assert reasons(door, A, B) == [None, None]

    def noted(client: object) -> int:
        refusals = [door.admit(client) for _ in range(1000)]  # type: ignore[arg-type]
        return sum(refusal is not None and refusal.noted for refusal in refusals)

    assert noted(A) == noted(B) == NOTES_PER_MINUTE
    clock.now += 60
    assert noted(A) == NOTES_PER_MINUTE


def test_every_reason_has_words() -> None:
    assert set(WORDS) == set(Reason)
    assert len({reason.value for reason in Reason}) == len(Reason)
