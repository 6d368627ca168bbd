"""Hostile clients: in time they lose all that they hold, and other clients do not notice them.

The others' waits are measured while the attackers, the origin and the probe share the gateway's processors.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.programs import Program
from tests.soak.site import DESCRIPTORS, GATEWAY, OTHERS, PATIENCE, SPARE, Site, result, share, site

P99 = 50.0  # milliseconds that a NOOP of others may take, of a hundred the slowest

# Each holds two descriptors of the gateway: its own connection, and the one to the origin.
HALF_OPEN = min(share(10_000), (DESCRIPTORS - SPARE) // 2)
SLOW = share(500)
SPAMMERS = share(10)

LOGIN = IDLE = STALL = 10  # seconds
NICE = 5  # of the attackers and the origin, which stand for other machines: the gateway comes first
SPAM = max(5, share(20))  # seconds

pytestmark = pytest.mark.timeout(240)


@contextlib.contextmanager
def others(on: Site) -> Iterator[None]:
    """Sessions with an origin of their own that only say NOOP, and are answered in time."""
    with on.their_origin(), on.program("probe", *OTHERS) as probe:
        probe.out.wait("probing")
        yield
        times = result(probe, end=True)
        assert times["count"] > 100 and times["p99"] < P99


def attack(on: Site, kind: str, count: int) -> contextlib.AbstractContextManager[Program]:
    """So many attackers."""
    return on.program("attack", kind, *GATEWAY, count, NICE)


def test_half_open_connections(tmp_path: Path) -> None:
    """They are let go at the login's deadline. Ten thousand, or as many as the descriptors allow."""
    with site(tmp_path, f"timeouts = {{ login = {LOGIN} }}", NICE) as on, others(on):
        before = on.descriptors
        with attack(on, "silence", HALF_OPEN) as silence:
            outcome = result(silence)
        print(f"{HALF_OPEN} connections, of descriptors: {DESCRIPTORS}")
        assert outcome["ended"] == {"421": HALF_OPEN}
        on.settle(before)


def test_slow_loris_on_the_control_connection(tmp_path: Path) -> None:
    """A byte now and then holds neither the login's deadline up nor the idle one."""
    with site(tmp_path, f"timeouts = {{ login = {LOGIN}, idle = {IDLE} }}", NICE) as on, others(on):
        before = on.descriptors
        with attack(on, "dribble", SLOW) as dribble:
            outcome = result(dribble)
        assert outcome["ended"] == {"421": SLOW}
        assert outcome["lasted"] < outcome["made"] + max(LOGIN, IDLE) + 5
        on.settle(before)


def test_slow_loris_on_the_data_connection(tmp_path: Path) -> None:
    """Who takes nothing, or sends nothing, is cut; half of them do the one, half the other."""
    with site(tmp_path, f"timeouts = {{ data_stall = {STALL}, idle = {IDLE} }}", NICE) as on, others(on):
        before = on.descriptors
        with attack(on, "thirst", SLOW) as thirst:
            outcome = result(thirst)
        assert outcome["ended"] == {"426": SLOW}
        assert outcome["lasted"] < outcome["made"] + 3 * STALL
        on.settle(before)


def test_pasv_spam(tmp_path: Path) -> None:
    """A port a reply, and none of them stays open."""
    with site(tmp_path, nice=NICE) as on, others(on):
        before = on.descriptors
        with attack(on, "spam", SPAMMERS) as spam:
            spam.out.wait("standing", patience=PATIENCE)
            time.sleep(SPAM)
            assert on.descriptors <= before + 3 * SPAMMERS
            outcome = result(spam, end=True)
        assert outcome["ended"] == {"quit": SPAMMERS} and outcome["replies"] > 100 * SPAM
        on.settle(before)
