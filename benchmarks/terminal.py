"""The progress and the results of a run, on the terminal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.figures import GROUPS, Results
from benchmarks.rows import RATIO, TARGET_HEADS, heads, rows, targets

_CONSOLE = Console(width=None if os.isatty(1) else 160, highlight=False, markup=False)


@contextlib.contextmanager
def progress(steps: int) -> Iterator[Callable[[str], None]]:
    """Draws a progress bar; gives the function to call at the beginning of each step, with the step's name.

    The bar is drawn only then: drawing in between would take time from the programs that are measured.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_CONSOLE, auto_refresh=False) as bar:
        task = bar.add_task("", total=steps, completed=-1)

        def tell(step: str) -> None:
            bar.update(task, description=step, advance=1, refresh=True)

        yield tell
        tell("done")


def show(results: Results) -> None:
    """Prints all results."""
    for what, says in results.circumstances.items():
        _CONSOLE.print(f"{what}: {says}")
    _CONSOLE.print(RATIO)
    for group in GROUPS:
        _print(group.title, heads(group), list(rows(group, results)))
    _print("Targets", TARGET_HEADS, list(targets(results)))
    for what, why in results.missing.items():
        _CONSOLE.print(f"missing: {what}: {why}")


def _print(title: str, columns: Sequence[str], lines: list[list[str]]) -> None:
    if lines:
        table = Table(title=title, title_justify="left")
        for place, column in enumerate(columns):
            table.add_column(column, justify="right" if place else "left")
        for line in lines:
            table.add_row(*line)
        _CONSOLE.print(table)
