"""A session that cannot be read: idle, and at its end."""

import pytest

from gateway.session import actions as do
from gateway.session.actions import Outcome
from gateway.session.events import Deadline
from gateway.session.opaque import Opaque


@pytest.fixture
def opaque() -> Opaque:
    return Opaque()


def test_bytes_begin_the_idle_time_anew(opaque: Opaque) -> None:
    assert opaque.moved() == [do.Arm(Deadline.IDLE)]


def test_it_is_not_idle_while_data_moves(opaque: Opaque) -> None:
    assert opaque.counted(1) == [do.Disarm(Deadline.IDLE)]
    assert opaque.moved() == [do.Disarm(Deadline.IDLE)]
    assert opaque.counted(0) == [do.Arm(Deadline.IDLE)]


def test_it_drains_behind_its_data_without_a_word(opaque: Opaque) -> None:
    opaque.counted(1)
    opaque.draining = True
    assert opaque.drain() == []
    assert opaque.counted(0) == [do.Arm(Deadline.IDLE), do.Close(Outcome.DRAINED)]
