"""Failed logins: the tarpit and the ban."""

from ipaddress import ip_address

from gateway.guard.logins import Consequence, FailedLogins, LoginLimits

A, B = ip_address("203.0.113.1"), ip_address("203.0.113.2")
LIMITS = LoginLimits(failures=5, window=300.0, ban=600.0)
MANY = LoginLimits(failures=100, window=300.0, ban=600.0)


def test_each_is_told_later_than_the_one_before() -> None:
    logins = FailedLogins()
    delays = [logins.count(A, MANY, float(moment)).delay for moment in range(10)]
    assert delays == [0, 1, 2, 4, 8, 16, 30, 30, 30, 30]


def test_a_thousand_are_no_harm() -> None:
    logins, limits = FailedLogins(), LoginLimits(failures=2000, window=300.0, ban=1.0)
    assert {logins.count(A, limits, 0.0).delay for _ in range(1999)} == {0, 1, 2, 4, 8, 16, 30}


def test_the_last_one_is_a_ban() -> None:
    logins = FailedLogins()
    assert [logins.count(A, LIMITS, 0.0).last for _ in range(4)] == [False] * 4
    assert not logins.banned(A, LIMITS, 0.0)
    assert logins.count(A, LIMITS, 0.0) == Consequence(delay=0.0, last=True, banned=5)
    assert logins.banned(A, LIMITS, 599.0) and not logins.banned(B, LIMITS, 0.0)
    assert not logins.banned(A, LIMITS, 600.0)


def test_after_a_ban_the_count_begins_anew() -> None:
    logins, limits = FailedLogins(), LoginLimits(failures=5, window=300.0, ban=10.0)
    for _ in range(5):
        logins.count(A, limits, 0.0)
    assert logins.count(A, limits, 10.0) == Consequence()


def test_another_session_of_a_banned_client_has_one_try_and_begins_no_new_ban() -> None:
    logins = FailedLogins()
    for _ in range(5):
        logins.count(A, LIMITS, 0.0)
    assert logins.count(A, LIMITS, 500.0) == Consequence(last=True)
    assert not logins.banned(A, LIMITS, 600.0)


def test_only_those_within_the_window_count() -> None:
    logins = FailedLogins()
    for moment in range(0, 3000, 75):  # four within any window of 300 s
        assert not logins.count(A, LIMITS, float(moment)).last
    logins = FailedLogins()
    for moment in (0, 100, 200, 250):
        logins.count(A, LIMITS, float(moment))
    assert not logins.count(A, LIMITS, 301.0).last
    assert logins.count(A, LIMITS, 399.0).last


def test_clients_are_counted_apart() -> None:
    logins = FailedLogins()
    for _ in range(4):
        logins.count(A, LIMITS, 0.0)
    assert logins.count(B, LIMITS, 0.0) == Consequence()


def test_without_a_ban_sessions_end_and_the_delay_stays() -> None:
    logins, limits = FailedLogins(), LoginLimits(failures=3, window=300.0, ban=0.0)
    found = [logins.count(A, limits, 0.0) for _ in range(5)]
    assert [one.last for one in found] == [False, False, True, True, True]
    assert [one.delay for one in found] == [0, 1, 2, 4, 4]
    assert {one.banned for one in found} == {None}
    assert not logins.banned(A, limits, 0.0)


def test_nothing_is_counted_where_the_limit_is_none() -> None:
    logins, none = FailedLogins(), LoginLimits(failures=0, window=300.0, ban=600.0)
    assert {logins.count(A, none, 0.0) for _ in range(20)} == {Consequence()}
    for _ in range(5):
        logins.count(A, LIMITS, 0.0)
    assert not logins.banned(A, none, 0.0), "and bans are lifted"
