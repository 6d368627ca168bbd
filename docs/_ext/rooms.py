"""The directive ``import-diagram``: the rooms of the gateway, and which rooms import which.

It reads the source of the installed package.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import diagrams
import graphviz
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import gateway

Imports = Mapping[str, set[str]]

_GROUND = {"addresses", "files", "machine"}  # the ground, on which all rooms stand, is left out


class ImportDiagram(SphinxDirective):
    """The diagram of the rooms, each above those that it imports."""

    def run(self) -> list[nodes.Node]:
        return [diagrams.shown(graph(imports()), "The rooms of the gateway, each above those that it imports")]


def imports() -> dict[str, set[str]]:
    """The rooms that each room's modules import, itself left out."""
    assert gateway.__file__ is not None
    root = Path(gateway.__file__).parent
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(root.rglob("*.py")):
        room = path.relative_to(root).with_suffix("").parts[0]
        if room not in ("__init__", "dropin", *_GROUND):
            found[room].update(set(_imported(ast.parse(path.read_text(encoding="utf-8")))) - {room} - _GROUND)
    return found


def _imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "gateway":
                yield rest.partition(".")[0]
            elif package == "origin":
                yield package


def graph(found: Imports) -> graphviz.Digraph:
    """A box for each room, an arrow for each import; the imports that others imply are faint."""
    drawn = diagrams.diagram()
    for room, others in found.items():
        drawn.node(room)
        for other in sorted(others):
            implied = any(other in _below(found, between) for between in others - {other})
            drawn.edge(room, other, **({"class": "implied", "style": "dashed"} if implied else {}))
    return drawn


def _below(found: Imports, room: str) -> set[str]:
    """All rooms that a room imports, directly or through others."""
    direct = found.get(room, set())
    return direct.union(*(_below(found, other) for other in direct))


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the directive."""
    app.add_directive("import-diagram", ImportDiagram)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
