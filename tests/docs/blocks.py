"""The code blocks of the documentation's pages, for the tests that check them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
README = ROOT / "README.rst"
PAGES = sorted((ROOT / "docs").glob("*.rst"))

_BLOCK = re.compile(
    r"^\.\. code-block:: (?P<language>\S+)\n(?P<options>(?: +:.*\n)*)\n(?P<lines>(?: +.*\n|\n)+)", re.MULTILINE
)


@attrs.frozen
class Block:
    """One code block.

    :param place: the file and the line where it begins, for messages.
    :param caption: what stands above it, or "".
    :param lines: without the indentation that all have.
    """

    place: str
    language: str
    caption: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines as a file would hold them."""
        return "".join(line + "\n" for line in self.lines)


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8") + "\n"
    found = []
    for match in _BLOCK.finditer(text):
        caption = re.search(r":caption: (.*)", match["options"])
        lines = textwrap.dedent(match["lines"]).strip("\n").split("\n")
        place = f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}"
        found.append(Block(place, match["language"], caption[1] if caption else "", tuple(lines)))
    assert len(found) == text.count("code-block::"), f"{page.name} has a code block that is not understood here"
    return found


def table(page: Path, name: str) -> list[list[str]]:
    """The cells of the list-table of that name, row by row, without its headers."""
    text = page.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"   :name: {name}\n\n")
    assert found, f"{page.name} has no table named {name}"
    rows = re.split(r"^   \* - ", re.split(r"^\S", rest, maxsplit=1, flags=re.MULTILINE)[0], flags=re.MULTILINE)[2:]
    return [[" ".join(cell.split()) for cell in re.split(r"^     -", row, flags=re.MULTILINE)] for row in rows]
