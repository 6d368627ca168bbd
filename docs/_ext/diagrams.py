"""Diagrams that Graphviz lays out, as SVG in the page itself, so that they take the colours of the theme.

Where the program ``dot`` is not installed, the page says so in the place of the diagram.
"""

from __future__ import annotations

import re
import textwrap

import graphviz
from docutils import nodes

_TEXT = {"fontname": "Helvetica,Arial,sans-serif", "fontsize": "10"}
_BOX = {"shape": "box", "style": "rounded", "margin": "0.14,0.07", "height": "0.3", **_TEXT}
_MISSING = "The diagram is missing: Graphviz draws it, and its program dot was not there when the page was built."


def diagram() -> graphviz.Digraph:
    """An empty diagram with boxes as nodes, from top to bottom."""
    spaces = {"bgcolor": "transparent", "nodesep": "0.3", "ranksep": "0.35", "pad": "0.1"}
    return graphviz.Digraph(graph_attr=spaces, node_attr=_BOX, edge_attr={"arrowsize": "0.7", **_TEXT})


def wrapped(text: str, letters: int) -> str:
    """A label in lines of so many letters; a space keeps each line away from the arrow beside it."""
    return "\n".join(f" {line} " for line in textwrap.wrap(text, letters))


def svg(graph: graphviz.Digraph) -> str:
    """The SVG that ``dot`` draws.

    :raises graphviz.ExecutableNotFound: without that program.
    """
    return graph.pipe(format="svg", encoding="utf-8")


def inline(file: str) -> str:
    """The element ``svg`` of a file, for a page: without the ids of its groups, which must be unique in a page."""
    _, tag, rest = file.partition("<svg")
    return re.sub(r'<g id="[^"]*"', "<g", tag + rest)


def shown(graph: graphviz.Digraph, title: str) -> nodes.Node:
    """The diagram for a page; other builders than that of HTML leave it out.

    :param title: the text for readers who cannot see it.
    """
    try:
        drawn = svg(graph)
    except graphviz.ExecutableNotFound:
        return nodes.note("", nodes.paragraph(text=_MISSING))
    return nodes.raw("", f'<div class="diagram" role="img" aria-label="{title}">{inline(drawn)}</div>', format="html")
