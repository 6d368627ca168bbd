"""The tables of the session's machines."""

from typing import Any

import pytest

from gateway.machine import Name
from gateway.session.tables import (
    DATA,
    PHASE,
    PROTECTION,
    TRANSFER,
    Cause,
    Data,
    Phase,
    Protection,
    Transfer,
)
from tests.kit.tables import Table, final, reached

TABLES: list[tuple[Any, Name]] = [
    (PHASE, Phase.NEW),
    (DATA, Data.NONE),
    (TRANSFER, Transfer.NONE),
    (PROTECTION, Protection.CLEAR),
]


@pytest.mark.parametrize(("table", "first"), TABLES)
def test_every_state_can_be_reached(table: Table, first: Name) -> None:
    assert reached(table, first) == set(type(first))


@pytest.mark.parametrize(("table", "first"), TABLES)
def test_every_state_can_be_left_but_the_end(table: Table, first: Name) -> None:
    assert final(table, first) == ({Phase.ENDED} if table is PHASE else set())


def test_every_cause_moves_something_and_is_named() -> None:
    assert {cause for table, _ in TABLES for _, cause in table} == set(Cause)
    assert len({cause.value for cause in Cause}) == len(Cause)
