"""The directive ``event-catalogue``: every event and its fields, from the classes of the records."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gateway.observe.records import RECORDS, Record, Scope, written_as

_SCOPES = {
    Scope.SESSION: "",
    Scope.CLIENT: " Not of a session: it has ``application`` and ``client``.",
    Scope.APPLICATION: " Not always of a session: it has ``application``.",
    Scope.GATEWAY: " Not of a session.",
}
_FIELD = re.compile(r"^:param (\w+): ", re.MULTILINE)


class EventCatalogue(SphinxDirective):
    """A table with a row for each event."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(_table()))


def _table() -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "   :name: table-of-events", "")
    yield from ("   * - Event", "     - When", "     - Fields of its own")
    for record in RECORDS:
        when, fields = _told(record)
        yield from (f"   * - ``{record.name}``", f"     - {when}{_SCOPES[record.scope]}", f"     - {fields}")


def _told(record: type[Record]) -> tuple[str, str]:
    """The time when an event is written, and the meaning of its fields, each on one line."""
    when, *fields = _FIELD.split(inspect.getdoc(record) or "")
    pairs = zip(fields[::2], fields[1::2], strict=True)
    meanings = (f"``{written_as(name)}``: {_sentence(text)}" for name, text in pairs)
    return " ".join(when.split()), " ".join(meanings)


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".") + "."


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the directive."""
    app.add_directive("event-catalogue", EventCatalogue)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
