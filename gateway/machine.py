"""State machines by table: a few states, the causes that move them, and no other moves."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Generic, TypeVar

import attrs


class Name(enum.Enum):
    """One of a few names. A member equals only itself, and is hashed by identity: Enum's own hash is slow Python."""

    __hash__ = object.__hash__


State = TypeVar("State", bound=Name)
Cause = TypeVar("Cause", bound=Name)


@attrs.define
class Machine(Generic[State, Cause]):
    """A state, and the table by which it moves."""

    table: Mapping[tuple[State, Cause], State] = attrs.field(repr=False)
    state: State

    def move(self, cause: Cause) -> None:
        """Moves to the next state in the table.

        :raises KeyError: where the table has no such transition: a mistake in this program.
        """
        self.state = self.table[self.state, cause]
