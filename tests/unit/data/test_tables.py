"""The tables of the data channel's machines."""

from typing import Any

import pytest

from gateway.data.tables import CHANNEL, CLIENT, ORIGIN, Cause, Channel, Client, OriginSide
from gateway.machine import Name
from tests.kit.tables import Table, final, reached

TABLES: list[tuple[Any, Name, Name]] = [
    (CLIENT, Client.AWAITED, Client.ENDED),
    (ORIGIN, OriginSide.UNDIALLED, OriginSide.READY),
    (CHANNEL, Channel.OPEN, Channel.ENDED),
]


@pytest.mark.parametrize(("table", "first", "last"), TABLES)
def test_every_state_can_be_reached(table: Table, first: Name, last: Name) -> None:
    assert reached(table, first) == set(type(first))


@pytest.mark.parametrize(("table", "first", "last"), TABLES)
def test_every_state_can_be_left_but_the_last(table: Table, first: Name, last: Name) -> None:
    assert final(table, first) == {last}


def test_every_cause_moves_something_and_is_named() -> None:
    assert {cause for table, *_ in TABLES for _, cause in table} == set(Cause)
    assert len({cause.value for cause in Cause}) == len(Cause)
