"""Failed logins: answered later and later (a tarpit), and in the end with a ban."""

from __future__ import annotations

import attrs

from gateway.addresses import Address
from gateway.guard.clients import Remembered

# A person who mistypes a password is told at once. From then on the delay doubles: RFC 2577 section 5 suggests 5 s,
# and clients give up at about a minute. In seconds.
FIRST_DELAY = 1.0
MAX_DELAY = 30.0


@attrs.frozen
class LoginLimits:
    """How much is borne. Times in seconds.

    :param failures: the failed login that is one too many; 0: they are not counted.
    :param window: within which they are counted.
    :param ban: how long a client is refused then; 0: not at all.
    """

    failures: int
    window: float
    ban: float


@attrs.frozen
class Consequence:
    """What a failed login leads to.

    :param delay: seconds before the client is told.
    :param last: whether it was one too many, and the session is to end.
    :param banned: after how many failures a ban begins now; None where none does.
    """

    delay: float = 0.0
    last: bool = False
    banned: int | None = None


@attrs.define
class FailedLogins:
    """Of each client. A login that succeeds forgets nothing: else an account of one's own were a way to go on."""

    _failures: Remembered[tuple[float, ...]] = attrs.field(factory=Remembered, init=False)
    _bans: Remembered[None] = attrs.field(factory=Remembered, init=False)

    def banned(self, client: Address, limits: LoginLimits, now: float) -> bool:
        """Whether it is refused now; nobody is while failures are not counted."""
        return limits.failures > 0 and self._bans.has(client, now)

    def count(self, client: Address, limits: LoginLimits, now: float) -> Consequence:
        """One more failed login."""
        if not limits.failures:
            return Consequence()
        if self._bans.has(client, now):  # another session of a client that was banned while it ran
            return Consequence(last=True)
        before = self._failures.get(client, now) or ()
        failures = (*(moment for moment in before if moment > now - limits.window), now)
        if len(failures) >= limits.failures and limits.ban:
            self._failures.forget(client)
            self._bans.put(client, None, now + limits.ban, now)
            return Consequence(last=True, banned=len(failures))
        self._failures.put(client, failures[-limits.failures :], now + limits.window, now)
        return Consequence(_delay(len(failures)), last=len(failures) >= limits.failures)


def _delay(failures: int) -> float:
    """Of the answer to the so-manieth failure."""
    doubled = min(failures - 2, 32)  # no more than a float can hold
    return min(FIRST_DELAY * 2**doubled, MAX_DELAY) if failures > 1 else 0.0
