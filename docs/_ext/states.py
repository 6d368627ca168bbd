"""The directive ``state-diagram``: a machine of `gateway.session.tables`, drawn, and as a table for those who read.

.. state-diagram:: PHASE
"""

from __future__ import annotations

from typing import Any

import chart
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gateway.session import tables


class StateDiagram(SphinxDirective):
    """Draws the table that it names; builders of other formats than HTML get the table alone."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        table: chart.Table = getattr(tables, self.arguments[0])
        rows = "".join(
            f"   * - {state.value}\n     - {cause.value}\n     - {target.value}\n"
            for (state, cause), target in table.items()
        )
        listed = self.parse_text_to_nodes(
            ".. list-table::\n   :header-rows: 1\n\n   * - In the state\n     - when\n     - goes to\n" + rows
        )
        return [
            nodes.raw("", chart.draw(table), format="html"),
            nodes.raw("", "<details><summary>The same as a table</summary>", format="html"),
            *listed,
            nodes.raw("", "</details>", format="html"),
        ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("state-diagram", StateDiagram)
    app.add_css_file("states.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
