"""State machines by table."""

import pytest

from gateway.machine import Machine, Name


class Light(Name):
    """The states of a test's machine."""

    RED = "red"
    GREEN = "green"


class Cause(Name):
    """Its causes."""

    GO = "go"


TABLE = {(Light.RED, Cause.GO): Light.GREEN}


def test_it_moves_by_its_table() -> None:
    machine = Machine(TABLE, Light.RED)
    machine.move(Cause.GO)
    assert machine.state is Light.GREEN


def test_another_move_is_a_mistake() -> None:
    machine = Machine(TABLE, Light.GREEN)
    with pytest.raises(KeyError):
        machine.move(Cause.GO)
    assert machine.state is Light.GREEN


def test_names_are_keys() -> None:
    assert {Light.RED: 1}[Light.RED] == 1
    assert Light("red") is Light.RED
