"""What a table of states says, for those who test one."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.machine import Name

Table = Mapping[tuple[Name, Name], Name]


def reached(table: Table, first: Name) -> set[Name]:
    """The states that a machine may come to from its first one, and that one."""
    found = {first}
    while more := {target for (state, _), target in table.items() if state in found} - found:
        found |= more
    return found


def final(table: Table, first: Name) -> set[Name]:
    """The states that a machine does not leave."""
    return set(type(first)) - {source for source, _ in table}
