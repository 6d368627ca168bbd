"""Who counts as one client, and what is remembered of clients for a while."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address
from typing import Generic, TypeVar

import attrs

from gateway.addresses import Address

T = TypeVar("T")

# Of how many clients something is remembered at most: an attacker may come from 2^32 networks of the size /64.
MAX_CLIENTS = 1 << 16


def client_of(address: Address) -> Address:
    """What stands for a client: an IPv4 address itself, and an IPv6 address's /64, all of which one host may have."""
    return address if isinstance(address, IPv4Address) else IPv6Address(int(address) >> 64 << 64)


@attrs.define
class Remembered(Generic[T]):
    """Something of each client, for a time. Where there are too many, those that were noted longest ago go first.

    Moments are seconds, of a clock that only goes forward.
    """

    _entries: OrderedDict[Address, tuple[float, T]] = attrs.field(factory=OrderedDict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, client: Address, now: float) -> T | None:
        """What is known of it now."""
        entry = self._entries.get(client)
        return None if entry is None or entry[0] <= now else entry[1]

    def has(self, client: Address, now: float) -> bool:
        """Whether anything is known of it now."""
        entry = self._entries.get(client)
        return entry is not None and entry[0] > now

    def put(self, client: Address, known: T, until: float, now: float) -> None:
        """Notes it, in the place of what was known, until a moment."""
        self._entries[client] = (until, known)
        self._entries.move_to_end(client)
        while self._entries and (len(self._entries) > MAX_CLIENTS or next(iter(self._entries.values()))[0] <= now):
            self._entries.popitem(last=False)

    def forget(self, client: Address) -> None:
        """Knows nothing of it any more."""
        self._entries.pop(client, None)
