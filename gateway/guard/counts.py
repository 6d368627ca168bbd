"""How many and how often: what the limits are held against."""

from __future__ import annotations

from collections import Counter

import attrs

from gateway.addresses import Address
from gateway.guard.clients import Remembered

MINUTE = 60.0


@attrs.define
class Sessions:
    """How many there are now, in all and of each client.

    :param limit: how many there may be in all; 0 is no limit.
    """

    limit: int = attrs.field(default=0, init=False)
    total: int = attrs.field(default=0, init=False)
    _of_client: Counter[Address] = attrs.field(factory=Counter, init=False, repr=False)

    def of_client(self, client: Address) -> int:
        """How many that client has."""
        return self._of_client[client]

    def enter(self, client: Address) -> None:
        """One more."""
        self.total += 1
        self._of_client[client] += 1

    def leave(self, client: Address) -> None:
        """One less."""
        self.total -= 1
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]


@attrs.define
class Rates:
    """How often clients come, in one number for each: so many at once, and then one in each such part of a minute.

    That is the leaky bucket of ATM's traffic contracts (GCRA, ITU-T I.371): the number is when it would be empty.
    """

    _empty: Remembered[float] = attrs.field(factory=Remembered, init=False)

    def admits(self, client: Address, per_minute: int, now: float) -> bool:
        """Whether it may come once more; where so, that is counted."""
        interval = MINUTE / per_minute
        empty = max(self._empty.get(client, now) or now, now)
        if empty - now > MINUTE - interval / 2:  # a half, since sums of fractions are not exact
            return False
        self._empty.put(client, empty + interval, empty + interval, now)
        return True
