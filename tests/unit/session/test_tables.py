"""The tables of the session's machines."""

import enum
from collections.abc import Mapping

import pytest

from gateway.session.tables import (
    DATA,
    LOGIN,
    PHASE,
    PROTECTION,
    TRANSFER,
    Cause,
    Data,
    Login,
    Machine,
    Phase,
    Protection,
    Transfer,
)

TABLES: list[tuple[Mapping[tuple[enum.Enum, Cause], enum.Enum], enum.Enum]] = [
    (PHASE, Phase.NEW),
    (LOGIN, Login.OUT),
    (DATA, Data.NONE),
    (TRANSFER, Transfer.NONE),
    (PROTECTION, Protection.CLEAR),
]


@pytest.mark.parametrize(("table", "first"), TABLES)
def test_every_state_can_be_reached(table: Mapping[tuple[enum.Enum, Cause], enum.Enum], first: enum.Enum) -> None:
    reached = {first}
    while more := {target for (state, _), target in table.items() if state in reached} - reached:
        reached |= more
    assert reached == set(type(first))


@pytest.mark.parametrize(("table", "first"), TABLES)
def test_every_state_can_be_left_but_the_end(
    table: Mapping[tuple[enum.Enum, Cause], enum.Enum], first: enum.Enum
) -> None:
    final = {state for state in type(first) if state not in {source for source, _ in table}}
    assert final == ({Phase.ENDED} if table is PHASE else set())


def test_every_cause_moves_something_and_is_named() -> None:
    assert {cause for table, _ in TABLES for _, cause in table} == set(Cause)
    assert len({cause.value for cause in Cause}) == len(Cause)


def test_a_machine_moves_by_its_table() -> None:
    machine = Machine(PHASE, Phase.NEW)
    machine.move(Cause.ORIGIN_CHOSEN)
    assert machine.state is Phase.CONNECTING
    with pytest.raises(KeyError):
        machine.move(Cause.GREETED)
    assert machine.state is Phase.CONNECTING
