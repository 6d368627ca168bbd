"""The results as text: in a table on the terminal, or for the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from benchmarks.figures import FIGURES, GATEWAY, GROUPS, TARGETS, Figure, Group, Results
from benchmarks.peers import PLAIN, TUNED

PEERS = tuple(peer.name for peer in (*PLAIN, *TUNED))
NOTHING = "-"


def number(figure: Figure, value: float | None) -> str:
    """As it is shown."""
    return NOTHING if value is None else f"{value:,.{figure.digits}f}"


def measured(group: Group, results: Results) -> list[str]:
    """The peers that have a figure in it."""
    return [peer for peer in PEERS if any(results.median(figure.name, peer) is not None for figure in group.figures)]


def rows(group: Group, results: Results, peers: list[str]) -> Iterator[list[str]]:
    """A row for each figure: its title, and for each peer its median, with what the gateway's is of it."""
    for figure in group.figures:
        ours = results.median(figure.name, GATEWAY)
        cells = []
        for peer in peers:
            value = results.median(figure.name, peer)
            ratio = f" ({ours / value:.2f})" if value and ours is not None and peer != GATEWAY else ""
            cells.append(number(figure, value) + ratio)
        if any(cell != NOTHING for cell in cells):
            yield [f"{figure.title}, {figure.unit}", *cells]


def targets(results: Results) -> Iterator[list[str]]:
    """A row for each target whose figure was measured: what, how it is set, the limit, the gateway's figure, whether it is reached."""
    for target in TARGETS:
        ours = results.median(target.figure, GATEWAY)
        if ours is None:
            continue
        figure = FIGURES[target.figure]
        group = next(group for group in GROUPS if figure in group.figures)
        reached = {True: "yes", False: "no", None: "not measured"}[target.reached(results)]
        yield [
            f"{group.title}: {figure.title}, {figure.unit}",
            f"at {'least' if figure.more else 'most'} {target.says}",
            number(figure, target.bound(results)),
            number(figure, ours),
            reached,
        ]


def show(results: Results, console: Console) -> None:
    """Prints all of it."""
    for what, says in results.circumstances.items():
        console.print(f"{what}: {says}", highlight=False, markup=False)
    for group in GROUPS:
        if peers := measured(group, results):
            _print(console, group.title, ["", *peers], list(rows(group, results, peers)))
    _print(console, "Targets", ["", "target", "limit", "gateway", "reached"], list(targets(results)))
    for what, why in results.missing.items():
        console.print(f"missing: {what}: {why}", highlight=False, markup=False)


def _print(console: Console, title: str, heads: list[str], lines: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left")
    for line in lines:
        table.add_row(*line)
    console.print(table)
