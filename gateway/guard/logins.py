"""Failed logins: each is answered later than the one before (a tarpit), and too many lead to a ban."""

from __future__ import annotations

import attrs

from gateway.addresses import Address
from gateway.guard.clients import Remembered

# Seconds. The first failure, perhaps a mistyped password, is answered at once. From then on the delay doubles:
# RFC 2577 section 5 suggests 5 s, and clients give up after about a minute.
FIRST_DELAY = 1.0
MAX_DELAY = 30.0


@attrs.frozen
class LoginLimits:
    """The limits on failed logins. Times in seconds.

    :param failures: the number of failures that is one too many; 0: failures are not counted.
    :param window: the time within which failures are counted.
    :param ban: the length of the ban that follows; 0: no ban.
    """

    failures: int
    window: float
    ban: float


@attrs.frozen
class Consequence:
    """The consequence of one failed login.

    :param delay: seconds before the client is answered.
    :param last: whether it was one too many, so that the session ends.
    :param banned: the number of failures, where a ban begins now; else None.
    """

    delay: float = 0.0
    last: bool = False
    banned: int | None = None


@attrs.define
class FailedLogins:
    """The failed logins of each client, and its ban. A successful login resets nothing; otherwise an attacker with
    one valid account could go on guessing."""

    _failures: Remembered[tuple[float, ...]] = attrs.field(factory=Remembered, init=False)
    _bans: Remembered[None] = attrs.field(factory=Remembered, init=False)

    def banned(self, client: Address, limits: LoginLimits, now: float) -> bool:
        """Whether the client is banned now; never while failures are not counted."""
        return limits.failures > 0 and self._bans.has(client, now)

    def of(self, client: Address, limits: LoginLimits, now: float) -> int:
        """The number of a client's failures that count now."""
        return sum(moment > now - limits.window for moment in self._failures.get(client, now) or ())

    def count(self, client: Address, limits: LoginLimits, now: float) -> Consequence:
        """Counts one more failed login; gives its consequence."""
        if not limits.failures:
            return Consequence()
        if self._bans.has(client, now):  # another session of the client led to a ban
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
    """The delay, in seconds, of the answer to a client's nth failure."""
    doubled = min(failures - 2, 32)  # no more than a float can hold
    return min(FIRST_DELAY * 2**doubled, MAX_DELAY) if failures > 1 else 0.0
