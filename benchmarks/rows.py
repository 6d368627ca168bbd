"""The results as rows of text, for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import FIGURES, GATEWAY, GROUPS, TARGETS, Figure, Group, Results
from benchmarks.peers import PLAIN, TUNED

PEERS = tuple(peer.name for peer in (*PLAIN, *TUNED))
"""The peers in the order in which they are shown."""
NOTHING = "-"
RATIO = "In brackets: the gateway's figure divided by that one."
TARGET_HEADS = ("Figure", "Target", "Bound", "Gateway", "Reached")


def number(figure: Figure, value: float | None) -> str:
    """A value in the form in which it is shown."""
    return NOTHING if value is None else f"{value:,.{figure.digits}f}"


def heads(group: Group) -> list[str]:
    """The heads of the columns."""
    return ["", *(f"{figure.title}, {figure.unit}" for figure in group.figures)]


def rows(group: Group, results: Results) -> Iterator[list[str]]:
    """A row for each peer that has any of the group's figures: its medians, and their ratio to the gateway's."""
    for peer in PEERS:
        values = [results.median(figure.name, peer) for figure in group.figures]
        if any(value is not None for value in values):
            yield [
                peer,
                *(
                    number(figure, value) + _ratio(figure, value, peer, results)
                    for figure, value in zip(group.figures, values, strict=True)
                ),
            ]


def targets(results: Results) -> Iterator[list[str]]:
    """A row for each target whose figure was measured: see `TARGET_HEADS`."""
    for target in TARGETS:
        figure = FIGURES[target.figure]
        ours = results.median(target.figure, GATEWAY)
        if ours is None:
            continue
        group = next(group for group in GROUPS if figure in group.figures)
        yield [
            f"{group.title.partition(':')[0]}: {figure.title}, {figure.unit}",
            f"at {'least' if figure.more else 'most'} {target.says}",
            number(figure, target.bound(results)),
            number(figure, ours),
            {True: "yes", False: "no", None: "not known"}[target.reached(results)],
        ]


def _ratio(figure: Figure, value: float | None, peer: str, results: Results) -> str:
    ours = results.median(figure.name, GATEWAY)
    if not value or ours is None or peer == GATEWAY:
        return ""
    ratio = ours / value
    return f" ({ratio:.0f})" if ratio >= 10 else f" ({ratio:.2f})" if ratio >= 0.1 else f" ({ratio:.1g})"
