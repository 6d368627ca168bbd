"""The diagrams: each shows all of its source, and can be read."""

from __future__ import annotations

import sys

import graphviz
import pytest
from docutils import nodes

from gateway.data import tables as data_tables
from gateway.session import tables
from tests.docs.blocks import ROOT
from tests.docs.pictures import SVG, Picture, picture
from tests.kit.servers.requirements import require

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import diagrams
import rooms
import states

MACHINES = {
    "phase": tables.PHASE,
    "protection": tables.PROTECTION,
    "data": tables.DATA,
    "transfer": tables.TRANSFER,
    "a channel's client": data_tables.CLIENT,
    "a channel's origin": data_tables.ORIGIN,
    "a channel": data_tables.CHANNEL,
}


def drawn(graph: graphviz.Digraph) -> Picture:
    require("dot")
    return picture(diagrams.svg(graph))


def arrows(shown: Picture) -> set[tuple[str, str]]:
    """From where to where, by the names of the boxes; an arrow through a point leads on from there."""
    ends = [
        tuple((group.findtext(f"{SVG}title") or "").split("->"))
        for group in shown.root.iter(f"{SVG}g")
        if group.get("class", "").startswith("edge")
    ]
    boxes = {
        group.findtext(f"{SVG}title") for group in shown.root.iter(f"{SVG}g") if group.find(f"{SVG}text") is not None
    }
    onward = {source: target for source, target in ends if source not in boxes}
    return {(source, onward.get(target, target)) for source, target in ends if source in boxes}


@pytest.mark.parametrize("table", MACHINES.values(), ids=MACHINES)
class TestStates:
    def test_every_state_and_cause_is_there(self, table: states.Table) -> None:
        shown = drawn(states.graph(table)).words
        for state, cause in table:
            assert state.value in shown
            assert cause.value in shown
        assert all(state.value in shown for state in table.values())

    def test_every_transition_is_there_and_no_other(self, table: states.Table) -> None:
        expected = {(state.name, target.name) for (state, _), target in table.items()}
        assert arrows(drawn(states.graph(table))) == expected

    def test_it_can_be_read(self, table: states.Table) -> None:
        assert drawn(states.graph(table)).unreadable() == []


class TestRooms:
    def test_imports_are_read_from_the_code(self) -> None:
        found = rooms.imports()
        assert {"ftp", "session", "relay", "service", "tap"} <= set(found)
        assert found["ftp"] == set()
        assert "ftp" in found["session"]
        assert "origin" in found["demo"]

    def test_every_room_and_import_is_there_and_no_other(self) -> None:
        shown = drawn(rooms.graph(rooms.imports()))
        assert arrows(shown) == {(room, other) for room, others in rooms.imports().items() for other in others}
        assert {text.words for text in shown.texts} >= set(rooms.imports())

    def test_it_can_be_read(self) -> None:
        assert drawn(rooms.graph(rooms.imports())).unreadable() == []

    def test_an_import_that_others_imply_is_faint(self) -> None:
        source = rooms.graph({"a": {"b", "c"}, "b": {"c"}, "c": set()}).source
        faint = [line.split()[0::2][:2] for line in source.splitlines() if "implied" in line]
        assert faint == [["a", "c"]]


def test_without_graphviz_a_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    note = diagrams.shown(diagrams.diagram(), "nothing")
    assert isinstance(note, nodes.note)
    assert "Graphviz" in note.astext()
