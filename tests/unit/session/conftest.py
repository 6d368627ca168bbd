"""A session whose greeting is over, for all tests that play with one."""

import pytest

from tests.unit.session.playbook import Playbook


@pytest.fixture
def play() -> Playbook:
    return Playbook.opened()
