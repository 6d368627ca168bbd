"""Thousands of sessions at once, and many that come and go: no error, and nothing stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.site import DESCRIPTORS, GATEWAY, PATIENCE, SPARE, Site, result, share, site

PER_SESSION = 6  # descriptors of the gateway: both control connections, both data connections, two to spare

SESSIONS = min(share(2000), (DESCRIPTORS - SPARE) // PER_SESSION)
CHURN = share(100)  # sessions that leave, and that come, each second
SECONDS = max(16, share(60))
KILLS = (SECONDS // 4, SECONDS // 2)  # seconds
DOWN = 2  # seconds from a kill to the restart
RECOVERY = max(2, SECONDS // 6)  # seconds at the end in which nobody is refused any more

pytestmark = pytest.mark.timeout(240)


def all_at_once(on: Site) -> tuple[int, int]:
    """Sessions come, and are gone again; gives the gateway's descriptors then, and its memory."""
    before = on.descriptors
    with on.program("load", *GATEWAY, SESSIONS, 0, 0) as load:
        load.out.wait("together", patience=PATIENCE)
        assert on.descriptors >= before + 4 * SESSIONS
        outcome = result(load)
    assert outcome["served"] == SESSIONS and not outcome["refused"] and not outcome["unexpected"]
    on.settle(before)
    return before, on.memory


def test_sessions_that_come_and_go(tmp_path: Path) -> None:
    with site(tmp_path) as on:
        descriptors, memory = all_at_once(on)
        with on.program("load", *GATEWAY, SESSIONS, CHURN, SECONDS) as load:
            outcome = result(load)
        assert not outcome["refused"] and not outcome["unexpected"]
        assert outcome["served"] >= SESSIONS + 0.9 * CHURN * SECONDS
        assert outcome["least"] >= 0.8 * SESSIONS
        on.settle(descriptors)
        print(f"memory: {memory} KiB, and {on.memory} KiB after; gateway's processor time {on.processor} s")
        assert on.memory <= 1.1 * memory


def test_an_origin_that_is_killed_and_comes_again(tmp_path: Path) -> None:
    with site(tmp_path) as on:
        descriptors, memory = all_at_once(on)
        with on.program("load", *GATEWAY, SESSIONS, CHURN, SECONDS) as load:
            load.out.wait("together", patience=PATIENCE)
            for second in range(SECONDS):
                load.out.wait(f"second {second}.")
                if second in KILLS:
                    on.kill_origin()
                if second - DOWN in KILLS:
                    on.start_origin()
            outcome = result(load)
        # An origin that is killed behind a QUIT has said no farewell that could be passed on.
        assert set(outcome["refused"]) <= {"421", "425", "426", "no farewell"} and not outcome["unexpected"]
        assert sum(outcome["refused"].values()) >= len(KILLS) * 0.5 * SESSIONS
        assert outcome["quiet"] >= RECOVERY and outcome["last"] >= 0.9 * SESSIONS
        on.settle(descriptors)
        print(f"memory: {memory} KiB, and {on.memory} KiB after; gateway's processor time {on.processor} s")
        assert on.memory <= 1.1 * memory
