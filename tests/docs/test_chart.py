"""The state diagrams show the whole of their tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

import attrs
import pytest

from gateway.session import tables
from tests.docs.blocks import ROOT

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import chart

MACHINES = {
    "phase": tables.PHASE,
    "protection": tables.PROTECTION,
    "login": tables.LOGIN,
    "data": tables.DATA,
    "transfer": tables.TRANSFER,
}
LETTER, LINE = 5.0, 11.0  # what a letter takes at the least


@attrs.frozen
class Text:
    """One line of text, and the room that it takes."""

    words: str
    left: float
    right: float
    middle: float

    def overlaps(self, other: Text) -> bool:
        return self.left < other.right and other.left < self.right and abs(self.middle - other.middle) < LINE


def texts(svg: ElementTree.Element) -> Iterator[Text]:
    for element in svg.iter("text"):
        words, x, y = element.text or "", float(element.attrib["x"]), float(element.attrib["y"])
        width = len(words) * LETTER
        left = x - width * {"start": 0, "middle": 0.5, "end": 1}[element.attrib["text-anchor"]]
        yield Text(words, left, left + width, y)


@pytest.mark.parametrize("table", MACHINES.values(), ids=MACHINES)
class TestDraw:
    def test_all_is_there(self, table: chart.Table) -> None:
        shown = " ".join(text.words for text in texts(ElementTree.fromstring(chart.draw(table))))
        for state, cause in table:
            assert state.value in shown
            assert cause.value in shown
        assert all(state.value in shown for state in table.values())

    def test_an_arrow_for_each_cause_and_target(self, table: chart.Table) -> None:
        svg = ElementTree.fromstring(chart.draw(table))
        arrows = [path for path in svg.iter("path") if path.get("class") == "head"]
        assert len(arrows) >= len({(cause, target) for (_, cause), target in table.items()})

    def test_it_can_be_read(self, table: chart.Table) -> None:
        svg = ElementTree.fromstring(chart.draw(table))
        _, _, width, height = map(float, svg.attrib["viewBox"].split())
        found = list(texts(svg))
        assert all(text.left >= 0 and text.right <= width and 0 < text.middle < height for text in found)
        assert not [pair for pair in combinations(found, 2) if pair[0].overlaps(pair[1])]
