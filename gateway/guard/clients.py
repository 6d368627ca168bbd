"""One client's identity, and short-lived records of clients."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address
from typing import Generic, TypeVar

import attrs

from gateway.addresses import Address

T = TypeVar("T")

# The most clients with a record of one kind: an attacker may come from 2^32 networks of the size /64.
MAX_CLIENTS = 1 << 16


def client_of(address: Address) -> Address:
    """The address that stands for a client: an IPv4 address itself, or an IPv6 address's /64: one host may own it."""
    return address if isinstance(address, IPv4Address) else IPv6Address(int(address) >> 64 << 64)


@attrs.define
class Remembered(Generic[T]):
    """A value for each client, kept for a time. When there are too many, the oldest go first.

    Times are seconds of a clock that only goes forward.
    """

    _entries: OrderedDict[Address, tuple[float, T]] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, client: Address, now: float) -> T | None:
        """The value of a client; None where there is none now."""
        entry = self._entries.get(client)
        return None if entry is None or entry[0] <= now else entry[1]

    def has(self, client: Address, now: float) -> bool:
        """Whether a client has a value now."""
        entry = self._entries.get(client)
        return entry is not None and entry[0] > now

    def put(self, client: Address, known: T, until: float, now: float) -> None:
        """Sets the value of a client, until the given time."""
        self._entries[client] = (until, known)
        self._entries.move_to_end(client)
        while self._entries and (len(self._entries) > MAX_CLIENTS or next(iter(self._entries.values()))[0] <= now):
            self._entries.popitem(last=False)

    def forget(self, client: Address) -> None:
        """Removes the value of a client."""
        self._entries.pop(client, None)
