"""Enumerations of the judge's."""

from __future__ import annotations

import enum


class Name(enum.Enum):
    """One of a few. Members are themselves alone, and hashed as such: Enum's own hash is slow Python."""

    __hash__ = object.__hash__
