"""Files that are read once: what was made of them is kept for as long as it is true and used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import attrs

T = TypeVar("T")
State = tuple[tuple[Path, int, int, int], ...]


def state(files: Iterable[Path]) -> State:
    """The state of files and directories: it changes when they do.

    :raises OSError: where one cannot be looked at.
    """
    return tuple((file, (seen := file.stat()).st_mtime_ns, seen.st_ino, seen.st_size) for file in files)


@attrs.define(eq=False)
class FileCache(Generic[T]):
    """Values that were made of files, by the files and their state.

    A check, and the start behind it, ask for the same ones before anybody uses them. So the last value of each file
    is held until ``forget_unused``; from then on only users keep a value alive.
    """

    _known: WeakValueDictionary[State, T] = attrs.field(factory=WeakValueDictionary, init=False, repr=False)
    _held: dict[tuple[Path, ...], T] = attrs.field(factory=dict, init=False, repr=False)

    def get(self, files: tuple[Path, ...], read: Callable[[], T]) -> T:
        """The value of these files as they are now; ``read`` makes it where it is not known.

        :raises OSError: where a file cannot be looked at.
        """
        now = state(files)  # before they are read: one that changes meanwhile is read again
        value = self._known.get(now)
        if value is None:
            value = self._known[now] = read()
        self._held[files] = value
        return value

    def forget_unused(self) -> None:
        """Lets go of what is only held."""
        self._held.clear()
