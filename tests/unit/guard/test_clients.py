"""One client's identity, and the records of clients."""

from ipaddress import IPv4Address, ip_address

import pytest

from gateway.guard import clients
from gateway.guard.clients import Remembered, client_of

A, B, C = (ip_address(f"203.0.113.{number}") for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.1", "203.0.113.1", True),
        ("203.0.113.1", "203.0.113.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("0.0.0.0", "::", False),
    ],
)
def test_who_is_one_client(one: str, other: str, same: bool) -> None:
    assert (client_of(ip_address(one)) == client_of(ip_address(other))) == same


def test_it_is_known_until_its_moment() -> None:
    known = Remembered[str]()
    known.put(A, "a", until=10.0, now=0.0)
    assert (known.get(A, 9.9), known.has(A, 9.9)) == ("a", True)
    assert (known.get(A, 10.0), known.has(A, 10.0)) == (None, False)
    assert (known.get(B, 0.0), known.has(B, 0.0)) == (None, False)


def test_it_can_be_noted_anew_and_forgotten() -> None:
    known = Remembered[str]()
    known.put(A, "a", until=10.0, now=0.0)
    known.put(A, "b", until=20.0, now=5.0)
    assert known.get(A, 15.0) == "b"
    known.forget(A)
    known.forget(B)
    assert not known.has(A, 15.0)


def test_what_is_over_takes_no_memory() -> None:
    known = Remembered[int]()
    for number in range(1000):
        known.put(IPv4Address(number), number, until=number + 10.0, now=float(number))
    assert len(known) == 10


def test_what_is_over_at_once_is_not_kept() -> None:
    known = Remembered[int]()
    known.put(A, 1, until=5.0, now=5.0)
    assert len(known) == 0


def test_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_CLIENTS", 2)
    known = Remembered[str]()
    known.put(A, "a", until=10.0, now=0.0)
    known.put(B, "b", until=10.0, now=1.0)
    known.put(A, "A", until=10.0, now=2.0)
    known.put(C, "c", until=10.0, now=3.0)  # B is the one that was noted longest ago
    assert [known.get(client, 4.0) for client in (A, B, C)] == ["A", None, "c"]
    assert len(known) == 2
