"""The files that access rules use: how one kind of them is read, and the content of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import attrs

from gateway.files import FileCache

T = TypeVar("T")


class AccessFileError(ValueError):
    """A file that cannot be used. The text names the file and says why, in one clause."""


@attrs.frozen(eq=False)
class FileKind(Generic[T]):
    """A kind of files. A file that did not change is not read again, whoever asks.

    :param make: reads the file at a path; raises OSError or AccessFileError.
    """

    make: Callable[[str], T]
    _cache: FileCache[T] = attrs.field(factory=FileCache, init=False, repr=False)

    def read(self, path: str) -> T:
        """The content of a file as it is now; the same object while the file does not change.

        :raises AccessFileError: where the file cannot be used.
        """
        try:
            return self._cache.get((Path(path),), lambda: self.make(path))
        except OSError as error:
            raise AccessFileError(f"{path}: {error.strerror}") from error

    def forget_unused(self) -> None:
        """Lets go of the contents that nothing uses."""
        self._cache.forget_unused()


@attrs.define(eq=False)
class AccessFile(Generic[T]):
    """A file that access rules use.

    :param content: what was last read from it; it is replaced when the file changes.
    """

    path: str
    content: T = attrs.field(repr=False)
