"""The cache of files: a value is made from files once, and kept while they are unchanged and it is used."""

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

    :raises OSError: where a file cannot be looked at.
    """
    return tuple((file, (seen := file.stat()).st_mtime_ns, seen.st_ino, seen.st_size) for file in files)


@attrs.define(eq=False)
class FileCache(Generic[T]):
    """The values made from files, by the files and their state.

    A check, and the start after it, ask for the same values before anything uses them. So the last value of each file
    is held until ``forget_unused``; from then on only its users keep a value alive.
    """

    _known: WeakValueDictionary[State, T] = attrs.field(factory=WeakValueDictionary, init=False, repr=False)
    _held: dict[tuple[Path, ...], T] = attrs.field(factory=dict, init=False, repr=False)

    def get(self, files: tuple[Path, ...], read: Callable[[], T]) -> T:
        """The value of these files as they are now; ``read`` makes it where there is none yet.

        :raises OSError: where a file cannot be looked at.
        """
        now = state(files)  # before they are read: a file that changes meanwhile is read again
        value = self._known.get(now)
        if value is None:
            value = self._known[now] = read()
        self._held[files] = value
        return value

    def forget_unused(self) -> None:
        """Lets go of the values that nothing else uses."""
        self._held.clear()
