"""The counts that the limits are compared with: how many, and how often."""

from __future__ import annotations

from collections import Counter

import attrs

from gateway.addresses import Address
from gateway.guard.clients import Remembered

MINUTE = 60.0


@attrs.define
class Counts:
    """The number of things that there are now, in all and for each client: sessions, or data ports.

    :param limit: how many there may be in all; 0 is no limit.
    """

    limit: int = attrs.field(default=0, init=False)
    total: int = attrs.field(default=0, init=False)
    _of_client: Counter[Address] = attrs.field(factory=Counter, init=False, repr=False)

    def of_client(self, client: Address) -> int:
        """The number of one client's."""
        return self._of_client[client]

    def enter(self, client: Address) -> None:
        """Counts one more."""
        self.total += 1
        self._of_client[client] += 1

    def leave(self, client: Address) -> None:
        """Counts one less."""
        self.total -= 1
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]


@attrs.define
class Rates:
    """The rate at which each client does a thing, such as to connect: a burst at once, then one every 60/n seconds.

    Each client's state is one number, the time when its bucket will be empty: the leaky bucket of ATM's traffic
    contracts (GCRA, ITU-T I.371).
    """

    _empty: Remembered[float] = attrs.field(factory=Remembered, init=False)

    def admits(self, client: Address, per_minute: int, now: float) -> bool:
        """Whether the client may do it once more; if so, it is counted."""
        interval = MINUTE / per_minute
        empty = max(self._empty.get(client, now) or now, now)
        if empty - now > MINUTE - interval / 2:  # a half, since sums of fractions are not exact
            return False
        self._empty.put(client, empty + interval, empty + interval, now)
        return True
