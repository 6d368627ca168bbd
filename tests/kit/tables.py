"""Reading of tables of states, for their tests."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.machine import Name

Table = Mapping[tuple[Name, Name], Name]


def reached(table: Table, first: Name) -> set[Name]:
    """The states that a machine can reach from its first one, and that one."""
    found = {first}
    while more := {target for (state, _), target in table.items() if state in found} - found:
        found |= more
    return found


def final(table: Table, first: Name) -> set[Name]:
    """The states that a machine never leaves."""
    return set(type(first)) - {source for source, _ in table}
