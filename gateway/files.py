"""The files that an operator names: only regular ones are read, and a value made from files is kept while they are
unchanged and it is used."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import attrs

T = TypeVar("T")
State = tuple[tuple[Path, int, int, int, int], ...]


def read_regular(path: Path) -> bytes:
    """Reads a file. A FIFO, a socket or a device could block for ever, so it is refused unread.

    Standard input is read as ``/dev/stdin`` where it is a file, and refused where it is a pipe or a terminal.

    :raises OSError: where it cannot be read, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def state(files: Iterable[Path]) -> State:
    """The state of files and directories: it changes when they do, or their owner or their mode.

    :raises OSError: where a file cannot be looked at.
    """
    return tuple(
        (file, (seen := file.stat()).st_mtime_ns, seen.st_ctime_ns, seen.st_ino, seen.st_size) for file in files
    )


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
