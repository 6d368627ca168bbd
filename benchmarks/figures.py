"""The figures that are measured, and the targets for some of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import attrs

GATEWAY = "gateway"
RELOADED = {1: "1 application", 100: "100 applications"}


@attrs.frozen
class Figure:
    """A quantity, under its name in the results.

    :param more: whether more is better.
    """

    name: str
    title: str
    unit: str
    more: bool = False
    digits: int = 2


@attrs.frozen
class Group:
    """A group of figures that are measured together."""

    title: str
    figures: tuple[Figure, ...]


def _large(prefix: str) -> tuple[Figure, ...]:
    return tuple(
        figure
        for verb in ("RETR", "STOR")
        for figure in (
            Figure(f"{prefix}{verb} rate", f"{verb}", "GB/s", more=True),
            Figure(f"{prefix}{verb} CPU", f"{verb}, CPU", "s/GB"),
        )
    )


def _idle(prefix: str) -> tuple[Figure, ...]:
    return (
        Figure(f"{prefix}idle memory", "memory of each", "KiB", digits=1),
        *(
            Figure(f"{prefix}NOOP {percentile} beside {which}", f"NOOP {percentile}, {others}", "µs", digits=0)
            for percentile in ("p50", "p99")
            for which, others in (("few", "10 idle"), ("many", "all idle"))
        ),
    )


GROUPS = (
    Group("One large file", _large("")),
    Group("One large file, TLS to the client", _large("TLS ")),
    Group(
        "Sessions: connect, log in, retrieve 1 KiB, quit",
        (
            Figure("session CPU", "CPU", "ms"),
            Figure("session rate", "one at a time", "1/s", more=True, digits=0),
            Figure("32 sessions CPU", "32 at once, CPU", "ms"),
            Figure("32 sessions rate", "32 at once", "1/s", more=True, digits=0),
            Figure("32 sessions failed", "32 at once, failed", "%", digits=1),
        ),
    ),
    Group(
        "Small files: 1 KiB each, one after another in one session",
        (
            Figure("small file CPU", "CPU of each", "ms"),
            Figure("small file rate", "files", "1/s", more=True, digits=0),
        ),
    ),
    Group(
        "NOOP: round trips in one session",
        (
            Figure("NOOP CPU", "CPU of each", "µs", digits=0),
            Figure("NOOP p50", "p50", "µs", digits=0),
            Figure("NOOP p99", "p99", "µs", digits=0),
        ),
    ),
    Group("Idle sessions", _idle("")),
    Group("Idle sessions, TLS to the client", _idle("TLS ")),
    Group("Start", (Figure("ready", "from start to ready", "s"),)),
    Group(
        "Reload: every certificate renewed",
        tuple(
            figure
            for applications, those in RELOADED.items()
            for figure in (
                Figure(f"reload {applications}", those, "ms", digits=0),
                Figure(f"reload {applications} pause", f"{those}, longest NOOP meanwhile", "ms", digits=1),
            )
        ),
    ),
)
FIGURES = {figure.name: figure for group in GROUPS for figure in group.figures}


@attrs.frozen
class Results:
    """The results of one run.

    :param circumstances: the machine, the programs, and the way of measuring.
    :param missing: the reasons why a peer, or one of its abilities, has no figures.
    :param rounds: for each figure and each peer, the value of each round.
    """

    circumstances: dict[str, str]
    missing: dict[str, str] = attrs.field(factory=dict)
    rounds: dict[str, dict[str, list[float]]] = attrs.field(factory=dict)

    def add(self, figure: str, peer: str, value: float) -> None:
        """Adds the value of one round."""
        self.rounds.setdefault(figure, {}).setdefault(peer, []).append(value)

    def median(self, figure: str, peer: str) -> float | None:
        """The median of the rounds; None where there was none."""
        values = self.rounds.get(figure, {}).get(peer)
        return statistics.median(values) if values else None

    def json(self) -> dict[str, Any]:
        """The results in the form in which they are kept."""
        short = {
            figure: {peer: [float(f"{value:.5g}") for value in values] for peer, values in peers.items()}
            for figure, peers in self.rounds.items()
        }
        return attrs.asdict(attrs.evolve(self, rounds=short))

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Results:
        """The results from the form that `json` gives."""
        return cls(**kept)


@attrs.frozen
class Target:
    """The value that the gateway's figure must reach.

    :param factor: of the best of the `others`, or of the gateway's own other figure `beside`.
    :param limit: in the figure's unit; with `others` as well, the laxer of the two counts.
    """

    figure: str
    says: str
    factor: float = 1.0
    others: tuple[str, ...] = ()
    beside: str | None = None
    limit: float | None = None

    def bound(self, results: Results) -> float | None:
        """The value that the figure is compared with; None where it was not measured."""
        more = FIGURES[self.figure].more
        name, peers = (self.beside, (GATEWAY,)) if self.beside else (self.figure, self.others)
        measured = [value for peer in peers if (value := results.median(name, peer)) is not None]
        bounds = [] if self.limit is None else [self.limit]
        if measured:
            bounds.append(self.factor * (max(measured) if more else min(measured)))
        if not bounds:
            return None
        return min(bounds) if more else max(bounds)

    def reached(self, results: Results) -> bool | None:
        """Whether the target is reached; None where that is not known."""
        value, bound = results.median(self.figure, GATEWAY), self.bound(results)
        if value is None or bound is None:
            return None
        return value >= bound if FIGURES[self.figure].more else value <= bound


_PEERS = ("HAProxy", "nginx stream")
TARGETS = (
    *(
        target
        for verb in ("RETR", "STOR")
        for target in (
            Target(f"{verb} rate", "1.2 times the better of HAProxy and nginx", 1.2, _PEERS),
            Target(f"{verb} rate", "0.95 times the bare splice loop", 0.95, ("splice loop",)),
            Target(f"{verb} CPU", "half of the better of HAProxy and nginx", 0.5, _PEERS),
        )
    ),
    *(
        target
        for verb in ("RETR", "STOR")
        for target in (
            Target(f"TLS {verb} rate", "HAProxy's", 1.0, ("HAProxy",)),
            Target(f"TLS {verb} CPU", "HAProxy's", 1.0, ("HAProxy",)),
        )
    ),
    Target("session CPU", "2.5 times HAProxy's", 2.5, ("HAProxy",)),
    Target("session CPU", "a fifteenth of mod_proxy's", 1 / 15, ("mod_proxy",)),
    Target("NOOP CPU", "90 µs, or 3 times HAProxy's, whichever is more", 3.0, ("HAProxy",), limit=90.0),
    Target("idle memory", "8 KiB", limit=8.0),
    Target("TLS idle memory", "64 KiB", limit=64.0),
    Target("NOOP p50 beside many", "1.2 times that beside 10", 1.2, beside="NOOP p50 beside few"),
    Target("ready", "0.6 s", limit=0.6),
)
