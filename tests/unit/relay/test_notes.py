"""The events of one session: bounded, and with its totals."""

from __future__ import annotations

from ipaddress import ip_address

import attrs
import pytest

from gateway.guard import admission
from gateway.guard.access import AccessRules
from gateway.guard.admission import AdmissionLimits, Guard, Known
from gateway.guard.counts import Counts
from gateway.guard.logins import LoginLimits
from gateway.guard.places import Place
from gateway.observe.records import (
    Connected,
    Disconnected,
    EventsWithheld,
    OriginError,
    Record,
    TLSFailed,
    TLSSide,
)
from gateway.relay import notes
from gateway.relay.notes import Notes

CLIENT = ip_address("192.0.2.7")


@attrs.define
class Book:
    """Everything that was noted, and a clock."""

    now: float = 100.0
    noted: list[Record] = attrs.field(factory=list)

    def note(self, record: Record, session: int | None = None, client: str | None = None) -> None:
        assert (session, client) == (7, "192.0.2.7")
        self.noted.append(record)

    def notes(self, guard: Guard | None = None) -> Notes:
        return Notes(self.note, 7, CLIENT, lambda: self.now, guard or self.guard())

    def guard(self) -> Guard:
        limits = AdmissionLimits(0, 0, 0, 0, LoginLimits(0, 0.0, 0.0))
        return Guard(AccessRules.of([]), False, limits, Known(Counts()), lambda: self.now)


def test_events_of_one_name_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_EVENTS", 2)
    book = Book()
    session = book.notes()
    session.connected("192.0.2.1", Place("DE", 64496))
    for number in range(5):
        session(OriginError(str(number)))
    session.disconnected("quit", None, 0, 0, 0)
    expected = [
        Connected("192.0.2.1", "DE", 64496),
        OriginError("0"),
        OriginError("1"),
        EventsWithheld("originError"),
    ]
    assert book.noted[:-1] == expected
    assert isinstance(book.noted[-1], Disconnected)


def test_events_of_one_client_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "EVENTS_PER_MINUTE", 3)
    book = Book()
    guard = book.guard()
    one, other = book.notes(guard), book.notes(guard)
    for session in (one, other):
        session.connected(None, Place())
        for _ in range(2):
            session(OriginError("x"))
            session(TLSFailed(TLSSide.CLIENT, "x"))
    names = [record.name for record in book.noted]
    withheld = ["eventsWithheld"] * 3
    assert names == ["connect", "originError", "tlsError", "originError", withheld[0], "connect", *withheld[1:]]
    book.now += 60
    book.notes(guard)(OriginError("later"))
    assert book.noted[-1] == OriginError("later")


def test_the_totals() -> None:
    book = Book()
    session = book.notes()
    book.now += 1.5
    session.origin, session.client_tls, session.origin_tls = "198.51.100.1", ("TLSv1.3", "A"), ("TLSv1.2", "B")
    session.disconnected("quit", "anna", 4, 2, 1)
    assert book.noted == [
        Disconnected("quit", 1.5, 4, 2, 1, "anna", "198.51.100.1", "TLSv1.3", "A", "TLSv1.2", "B"),
    ]


def test_a_session_is_over_once() -> None:
    book = Book()
    session = book.notes()
    session.disconnected("quit", None, 0, 0, 0)
    session.disconnected("internal error", None, 0, 0, 0)
    assert [record.fields()["outcome"] for record in book.noted] == ["quit"]
