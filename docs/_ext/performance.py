"""The directive ``measured``: the results of a run of the benchmark, from the file beside the pages.

.. measured:: circumstances
.. measured:: targets
.. measured:: figures
.. measured:: chart
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from diagrams import inline
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from benchmarks import chart
from benchmarks.figures import GROUPS, Results
from benchmarks.rows import NOTHING, TARGET_HEADS, heads, rows, targets

_SHOWN = {"no": "**no**", NOTHING: ""}
KEPT = Path(__file__).parents[1] / "performance.json"


def results() -> Results:
    """The results of the run that the pages describe."""
    return Results.from_json(json.loads(KEPT.read_text()))


class Measured(SphinxDirective):
    """One part of the results."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(KEPT))
        if self.arguments[0] == "chart":
            return [nodes.raw("", chart_of(results()), format="html")]
        part = {"circumstances": circumstances, "targets": all_targets, "figures": figures}[self.arguments[0]]
        return self.parse_text_to_nodes("\n".join(part(results())))


def chart_of(run: Results) -> str:
    """The drawings, one for each figure, so that a small screen shows them below one another."""
    panels = "".join(inline(chart.draw(run, (name,))) for name in chart.SHOWN if name in run.rounds)
    return f'<div class="chart" role="img" aria-label="Medians as bars; tables below have them all">{panels}</div>'


def circumstances(run: Results) -> Iterator[str]:
    """The circumstances of the run, and the figures that could not be measured."""
    yield from (f":{what}: {says}" for what, says in run.circumstances.items())
    yield from (f":Missing: {what}: {why}" for what, why in run.missing.items())


def all_targets(run: Results) -> Iterator[str]:
    """The targets, and whether each was reached."""
    yield from _table(TARGET_HEADS, targets(run))


def figures(run: Results) -> Iterator[str]:
    """The medians of all figures."""
    for group in GROUPS:
        if lines := list(rows(group, run)):
            yield from ("", f".. rubric:: {group.title}", "")
            yield from _table(heads(group), lines)


def _table(columns: Sequence[str], lines: Iterable[list[str]]) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "   :stub-columns: 1", "")
    for line in (columns, *lines):
        for place, cell in enumerate(line):
            yield f"   {' ' if place else '*'} - {_SHOWN.get(cell, cell)}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the directive."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
