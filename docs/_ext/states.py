"""The directive ``state-diagram``: a machine of a room's ``tables``, drawn, and as a table.

.. state-diagram:: session.PHASE
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import diagrams
import graphviz
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Table = Mapping[tuple[enum.Enum, enum.Enum], enum.Enum]

_JOINED = 3
"""From this many states on, the arrows of one cause to one target meet in a point before they reach it."""


class StateDiagram(SphinxDirective):
    """The diagram and the table of the machine that it names; other builders than HTML's get only the table."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        room, _, constant = name.partition(".")
        table: Table = getattr(import_module(f"gateway.{room}.tables"), constant)
        rows = "".join(
            f"   * - {state.value}\n     - {cause.value}\n     - {target.value}\n"
            for (state, cause), target in table.items()
        )
        listed = self.parse_text_to_nodes(
            ".. list-table::\n   :header-rows: 1\n\n   * - In the state\n     - when\n     - goes to\n" + rows
        )
        return [
            diagrams.shown(graph(table), f"State diagram {name}; the table below says the same"),
            nodes.raw("", "<details><summary>The same as a table</summary>", format="html"),
            *listed,
            nodes.raw("", "</details>", format="html"),
        ]


def graph(table: Table) -> graphviz.Digraph:
    """A box for each state, and an arrow for each transition."""
    drawn = diagrams.diagram()
    for state in type(next(iter(table.values()))):
        drawn.node(state.name, diagrams.wrapped(state.value, 26))
    arrows: dict[tuple[enum.Enum, enum.Enum], list[str]] = defaultdict(list)
    for (state, cause), target in table.items():
        arrows[cause, target].append(state.name)
    for (cause, target), sources in arrows.items():
        if len(sources) >= _JOINED:
            point = f"{cause.name} {target.name}"
            drawn.node(point, "", shape="point", width="0.05")
            for source in sources:
                drawn.edge(source, point, arrowhead="none")
            sources = [point]
        for source in sources:
            drawn.edge(source, target.name, diagrams.wrapped(cause.value, 20))
    return drawn


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the directive."""
    app.add_directive("state-diagram", StateDiagram)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
