"""The page about performance: it shows the measured figures, and how they were measured."""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import chart, setups
from benchmarks.figures import FIGURES, GROUPS, TARGETS, Results, Target
from benchmarks.rows import PEERS
from tests.docs.blocks import ROOT
from tests.docs.pictures import picture

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import performance

PAGE = (ROOT / "docs" / "performance.rst").read_text()


@pytest.fixture(scope="module")
def kept() -> Results:
    return performance.results()


def cells(lines: Iterator[str]) -> list[str]:
    return [line[7:] for line in lines if re.match(r"   [ *] - ", line)]


def test_everything_was_measured(kept: Results) -> None:
    """A group of figures that is younger than the run is named as missing; a peer may not be."""
    groups = {group.title.partition(":")[0]: group.figures for group in GROUPS}
    younger = {figure.name for title in kept.missing for figure in groups[title]}
    assert {name for name, peers in kept.rounds.items() if "gateway" in peers} == set(FIGURES) - younger
    assert {peer for peers in kept.rounds.values() for peer in peers} == set(PEERS)
    assert all(target.bound(kept) is not None for target in TARGETS)


def test_every_median_is_in_the_tables(kept: Results) -> None:
    shown = [cell.partition(" ")[0] for cell in cells(performance.figures(kept))]
    for figure, peers in kept.rounds.items():
        for rounds in peers.values():
            assert f"{statistics.median(rounds):,.{FIGURES[figure].digits}f}" in shown


def test_every_target_is_told_of(kept: Results) -> None:
    shown = cells(performance.all_targets(kept))
    assert [shown.count("yes"), shown.count("**no**")] == [
        [target.reached(kept) for target in TARGETS].count(reached) for reached in (True, False)
    ]


def test_the_chart_has_the_medians(kept: Results) -> None:
    words = [text.words for text in picture(chart.draw(kept)).texts]
    for name in chart.SHOWN:
        for rounds in kept.rounds[name].values():
            shown = f"{statistics.median(rounds):,.{FIGURES[name].digits}f}"
            assert shown in words or f"{shown} →" in words  # the bar is longer than there is room


@pytest.mark.parametrize("shown", [chart.SHOWN, *((name,) for name in chart.SHOWN)])
def test_the_chart_can_be_read(kept: Results, shown: tuple[str, ...]) -> None:
    drawn = picture(chart.draw(kept, shown))
    assert len(drawn.texts) >= 2 * sum(len(kept.rounds[name]) for name in shown)  # each bar has a name and a number
    assert drawn.unreadable() == []


@pytest.mark.parametrize(
    ("name", "setup"),
    [
        ("HAProxy", setups.haproxy),
        ("HAProxy, tuned", setups.haproxy_tuned),
        ("nginx stream", setups.nginx),
        ("nginx, tuned", setups.nginx_tuned),
    ],
)
def test_the_settings_that_it_names_are_those_that_were_used(name: str, setup: setups.Setup, tmp_path: Path) -> None:
    row = re.search(rf"^   \* - {re.escape(name)}\n     - ((?:.+\n)+?)(?=   \*|\n)", PAGE, re.MULTILINE)
    assert row
    named = re.findall(r"``([^`]+)``", row[1])
    setup("127.0.0.1", tmp_path)
    (config,) = (path.read_text() for path in tmp_path.iterdir())
    assert named
    assert [each for each in named if each not in config] == []


def test_the_page_explains_every_peer() -> None:
    table = PAGE.partition("   * - Name\n")[2]
    assert re.findall(r"^   \* - (.*)$", table, re.MULTILINE) == list(PEERS)


ROUNDS = {
    "RETR rate": {"gateway": [1.3, 9.0, 1.0], "HAProxy": [1.0], "nginx stream": [0.5]},
    "NOOP CPU": {"gateway": [80.0], "HAProxy": [20.0]},
    "ready": {"gateway": [0.5]},
}


@pytest.mark.parametrize(
    ("target", "bound", "reached"),
    [
        (Target("RETR rate", "", 1.2, ("HAProxy", "nginx stream")), 1.2, True),
        (Target("RETR rate", "", 1.4, ("HAProxy", "nginx stream")), 1.4, False),
        (Target("RETR rate", "", 1.2, ("mod_proxy",)), None, None),
        (Target("NOOP CPU", "", 3.0, ("HAProxy",)), 60, False),
        (Target("NOOP CPU", "", 3.0, ("HAProxy",), limit=90), 90, True),
        (Target("NOOP CPU", "", 5.0, ("HAProxy",), limit=90), 100, True),
        (Target("ready", "", limit=0.4), 0.4, False),
        (Target("ready", "", 0.01, beside="NOOP CPU"), 0.8, True),
        (Target("idle memory", "", limit=8), 8, None),
    ],
)
def test_a_target(target: Target, bound: float | None, reached: bool | None) -> None:
    results = Results({}, rounds=ROUNDS)
    assert target.bound(results) == (bound if bound is None else pytest.approx(bound))
    assert target.reached(results) is reached
