"""The counts of sessions and connections: how many, and how often."""

from ipaddress import ip_address

import pytest

from gateway.guard.counts import Counts, Rates

A, B = ip_address("203.0.113.1"), ip_address("203.0.113.2")


def test_sessions_are_counted() -> None:
    sessions = Counts()
    for client in (A, A, B):
        sessions.enter(client)
    assert (sessions.total, sessions.of_client(A), sessions.of_client(B)) == (3, 2, 1)
    sessions.leave(A)
    sessions.leave(B)
    assert (sessions.total, sessions.of_client(A), sessions.of_client(B)) == (1, 1, 0)


def test_clients_that_left_take_no_memory() -> None:
    sessions = Counts()
    for client in (A, B):
        sessions.enter(client)
        sessions.leave(client)
        assert sessions.of_client(client) == 0
    assert sessions == Counts()


@pytest.mark.parametrize("per_minute", [1, 3, 7, 60, 1000])
def test_so_many_at_once_and_then_one_in_each_part_of_a_minute(per_minute: int) -> None:
    rates = Rates()
    for _ in range(per_minute):
        assert rates.admits(A, per_minute, 1000.0)
    assert not rates.admits(A, per_minute, 1000.0)
    part = 60.0 / per_minute
    assert not rates.admits(A, per_minute, 1000.0 + part / 3)  # and that was not counted
    assert rates.admits(A, per_minute, 1000.0 + part)
    assert not rates.admits(A, per_minute, 1000.0 + part * 1.3)


def test_a_minute_later_all_is_as_before() -> None:
    rates = Rates()
    for now in (0.0, 60.0, 120.0):
        assert [rates.admits(A, 5, now) for _ in range(6)] == [True] * 5 + [False]


def test_each_client_has_a_rate_of_its_own() -> None:
    rates = Rates()
    assert rates.admits(A, 1, 0.0) and not rates.admits(A, 1, 0.0)
    assert rates.admits(B, 1, 0.0)


def test_a_steady_client_within_the_limit_is_never_refused() -> None:
    rates = Rates()
    assert all(rates.admits(A, 20, number * 3.0) for number in range(1000))
