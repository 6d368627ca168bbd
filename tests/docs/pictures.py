"""Pictures in SVG, for the tests that look at them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import attrs

SVG = "{http://www.w3.org/2000/svg}"
_LETTER = 0.45
"""The least width of a letter, in font sizes."""


@attrs.frozen
class Text:
    """One line of text, and the room that it takes."""

    words: str
    left: float
    right: float
    bottom: float
    size: float

    def overlaps(self, other: Text) -> bool:
        apart = abs(self.bottom - other.bottom)
        return self.left < other.right and other.left < self.right and apart < min(self.size, other.size)


@attrs.frozen
class Picture:
    """A picture's root element, and the texts in it."""

    root: ElementTree.Element
    texts: tuple[Text, ...]

    @property
    def words(self) -> str:
        """All texts, as one line."""
        return " ".join(text.words for text in self.texts)

    def unreadable(self) -> list[Text]:
        """Texts that lie over others, or reach out of the picture."""
        left, top, width, height = map(float, self.root.attrib["viewBox"].split())
        outside = [
            text
            for text in self.texts
            if text.left < left
            or text.right > left + width
            or text.bottom - text.size < top - 1
            or text.bottom > top + height
        ]
        ordered = sorted(self.texts, key=lambda text: text.left)
        return outside + [one for place, one in enumerate(ordered) if any(map(one.overlaps, ordered[place + 1 :]))]


def picture(svg: str) -> Picture:
    """Reads the element."""
    root = ElementTree.fromstring(svg)
    return Picture(root, tuple(_texts(root)))


def _texts(root: ElementTree.Element) -> Iterator[Text]:
    across, down = _moved(root)
    for element in root.iter(f"{SVG}text"):
        given = {**element.attrib, **dict(re.findall(r"([\w-]+): ([^;]+)", element.get("style", "")))}
        font = given.get("font", "") + given.get("font-size", "")
        (size,) = map(float, re.findall(r"(\d+(?:\.\d+)?)(?:px|$)", font))
        words = (element.text or "").strip()
        width = len(words) * _LETTER * size
        left = float(given["x"]) + across - width * {"start": 0, "middle": 0.5, "end": 1}[given["text-anchor"]]
        yield Text(words, left, left + width, float(given["y"]) + down, size)


def _moved(root: ElementTree.Element) -> tuple[float, float]:
    """By how much Graphviz moves the whole."""
    for group in root.findall(f"{SVG}g"):
        if found := re.search(r"translate\((\S+) (\S+)\)", group.get("transform", "")):
            return float(found[1]), float(found[2])
    return 0.0, 0.0
