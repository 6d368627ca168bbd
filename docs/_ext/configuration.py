"""The directive ``configuration-reference``: every table and key, from the classes that read the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_origin

import attrs
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gateway.config.keys import key, tables
from gateway.config.reference import Entry, Section, reference


class ConfigurationReference(SphinxDirective):
    """A section for each table, with an entry for each key in it."""

    def run(self) -> list[nodes.Node]:
        text = "\n".join(line for section in reference() if section.entries for line in _section(section))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _section(section: Section) -> Iterator[str]:
    heading = f"``[[{section.path}]]``" if _repeated(section.path) else f"``[{section.path}]``"
    yield from (f".. _configuration-{section.path}:", "", heading, "-" * len(heading), "", _literal(section.doc), "")
    for entry in section.entries:
        yield from (f".. confval:: {section.path}.{entry.key}", "")
        yield from (f"   | {_literal(entry.doc)}", f"   | {_value(entry)}", "")


def _value(entry: Entry) -> str:
    match entry.default:
        case None:
            return f"Value: {entry.form}. Required."
        case "left out":
            return f"Value: {entry.form}. May be left out."
        case default:
            return f"Value: {entry.form}. Default: ``{default}``."


def _literal(text: str) -> str:
    """The text with its names, in backquotes in the code, as literals."""
    return re.sub(r"`([^`]+)`", r"``\1``", text)


def _repeated(path: str) -> bool:
    """Whether the table may stand several times, in double brackets."""
    parent, _, name = path.rpartition(".")
    kinds = {key(attribute): attribute.type for attribute in attrs.fields(dict(tables())[parent])}
    return get_origin(kinds[name]) is tuple


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the directive."""
    app.add_directive("configuration-reference", ConfigurationReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
