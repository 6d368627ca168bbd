"""Content for files that clients carry, and digests that show whether it arrived."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import attrs

MEBIBYTE = 1 << 20


def content(size: int, seed: int = 0) -> bytes:
    """Bytes that show whether some of them were lost, doubled or changed."""
    return random.Random(seed).randbytes(size)


@attrs.frozen
class LargeContent:
    """Content too large to keep in memory: blocks of a mebibyte, each different.

    :param size: bytes, in whole mebibytes.
    """

    size: int

    def blocks(self) -> Iterator[bytes]:
        """The content, in order."""
        block = content(MEBIBYTE)
        for number in range(self.size // MEBIBYTE):
            yield number.to_bytes(8, "big") + block[8:]

    def digest(self) -> str:
        """The SHA-256 of the content."""
        return _digest(self.blocks())


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return _digest(iter(lambda: file.read(MEBIBYTE), b""))


def _digest(blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def tree(root: Path, files: int, leading_spaces: bool = True) -> None:
    """Makes a tree of files, some of them empty, and some with names that are easily lost: spaces, UTF-8, quotes."""
    space = " " if leading_spaces else ""
    names = ["plain-{}", "two words {}", space + "leading space {}", "Größe {}", "日本語 {}", "quote' {}", "a&b;c {}"]
    folders = ["", "one", "one/two", space + "folder", "Ordner für Ä"]
    for number in range(files):
        folder = root / folders[number % len(folders)]
        folder.mkdir(parents=True, exist_ok=True)
        size = number * 977 % 20_000
        (folder / names[number % len(names)].format(number)).write_bytes(content(size, number))


def contents(root: Path) -> dict[str, str]:
    """The files of a tree: the SHA-256 of each by its path, and "" for each directory."""
    return {str(path.relative_to(root)): "" if path.is_dir() else digest_of(path) for path in sorted(root.rglob("*"))}
