"""The events of one session: a bounded number of each kind, and the session's totals."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway.addresses import Address
from gateway.guard.admission import Guard
from gateway.guard.places import Place
from gateway.observe.records import Connected, Disconnected, EventsWithheld, Note, Record

MAX_EVENTS = 100  # events of one name that a session writes down, except those that are always written

TLSParameters = tuple[str, str]  # version and cipher


@attrs.define(eq=False)
class Notes:
    """The writer of one session's events, with the session's number and its client's address.

    :param note: writes an event of the application.
    :param session: the session's number.
    :param client: the client's address.
    :param seconds: the clock.
    :param guard: bounds the events of a client.
    :param origin: the origin's address, once it is known.
    :param client_tls: TLS on the client's control connection; None in the clear.
    :param origin_tls: TLS on the origin's control connection; None in the clear.
    """

    note: Note = attrs.field(repr=False)
    session: int
    client: Address
    seconds: Callable[[], float] = attrs.field(repr=False)
    guard: Guard = attrs.field(repr=False)
    origin: str | None = attrs.field(default=None, init=False)
    client_tls: TLSParameters | None = attrs.field(default=None, init=False)
    origin_tls: TLSParameters | None = attrs.field(default=None, init=False)
    _began: float = attrs.field(init=False, repr=False)
    _over: bool = attrs.field(default=False, init=False)
    _told: dict[str, int] | None = attrs.field(default=None, init=False, repr=False)  # events by name

    @_began.default
    def _now(self) -> float:
        return self.seconds()

    def __call__(self, record: Record) -> None:
        """Writes an event down, unless there were too many of its kind: so a scanner cannot fill the disk."""
        if not record.always and not self._admits(record.name):
            return
        self.note(record, session=self.session, client=str(self.client))

    def connected(self, proxy: str | None, place: Place) -> None:
        """Writes that the session begins.

        :param proxy: the load balancer that named the client; None where there is none.
        :param place: the client's country and AS number.
        """
        self(Connected(proxy, place.country, place.asn))

    def disconnected(self, outcome: str, user: str | None, to_client: int, to_origin: int, transfers: int) -> None:
        """Writes that the session is over; only the first word of the outcome counts.

        :param to_client: bytes of data that the client was sent.
        :param to_origin: bytes of data that the origin was sent.
        """
        if self._over:
            return
        self._over = True
        tls_version, tls_cipher = self.client_tls or (None, None)
        origin_tls_version, origin_tls_cipher = self.origin_tls or (None, None)
        self(
            Disconnected(
                outcome=outcome,
                duration=round(self.seconds() - self._began, 6),
                bytes_to_client=to_client,
                bytes_to_origin=to_origin,
                transfers=transfers,
                user=user,
                origin=self.origin,
                tls_version=tls_version,
                tls_cipher=tls_cipher,
                origin_tls_version=origin_tls_version,
                origin_tls_cipher=origin_tls_cipher,
            )
        )

    def _admits(self, name: str) -> bool:
        if self._told is None:
            self._told = {}
        told = self._told.get(name, 0)
        if told > MAX_EVENTS:
            return False
        if told == MAX_EVENTS or not self.guard.admits_event(self.client):
            self._told[name] = MAX_EVENTS + 1
            self(EventsWithheld(name))
            return False
        self._told[name] = told + 1
        return True
