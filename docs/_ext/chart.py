"""Draws a table of transitions as a state diagram in SVG; the colours come from `_static/states.css`.

The states stand below one another in the order of their enumeration. A transition to the next state is an arrow in
between. All others run in lanes beside the states, one for each cause and target, which several states may enter:
on the left those that lead back, on the right those that lead on.
"""

from __future__ import annotations

import enum
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from xml.sax.saxutils import escape

import attrs

Table = Mapping[tuple[enum.Enum, enum.Enum], enum.Enum]

# Lengths are pixels, as long as the page is wide enough for the picture.
_BOX_WIDTH = 210
_BOX_LETTERS = 29
_LABEL_LETTERS = 17
_LETTER = 6.4
_LINE = 15
_GAP = 58
_PORT = 14  # between two lanes that end at the same side of a box
_STUB = 26  # between a box and its first lane
_HEAD = 8  # of an arrow
_MARGIN = 4


@attrs.frozen
class _Edge:
    """A cause, the state that it leads to, and the states that it leads there from, by their places."""

    label: tuple[str, ...]
    sources: tuple[int, ...]
    target: int

    @property
    def first(self) -> int:
        return min(*self.sources, self.target)

    @property
    def last(self) -> int:
        return max(*self.sources, self.target)

    @property
    def leads_back(self) -> bool:
        return self.target < self.last

    @property
    def short(self) -> bool:
        """Whether it can be an arrow between neighbours."""
        return len(self.sources) == 1 and abs(self.sources[0] - self.target) == 1

    @property
    def width(self) -> float:
        return max(map(len, self.label)) * _LETTER


@attrs.define
class _Box:
    label: list[str]
    top: float = 0
    height: float = 0

    @property
    def middle(self) -> float:
        return self.top + self.height / 2

    @property
    def bottom(self) -> float:
        return self.top + self.height


@attrs.define
class _Lane:
    """An edge beside the boxes; `slot` counts from the boxes outwards, `ports` are heights by the place of a box."""

    edge: _Edge
    slot: int = 0
    x: float = 0
    sources: dict[int, float] = attrs.field(factory=dict)
    target: float = 0

    @property
    def ends(self) -> list[float]:
        return sorted([*self.sources.values(), self.target])


def draw(table: Table) -> str:
    """The diagram, as an ``svg`` element that can stand in a page."""
    states = list(type(next(iter(table.values()))))
    boxes = [_Box(textwrap.wrap(str(state.value), _BOX_LETTERS)) for state in states]
    edges = list(_edges(table, states))
    short = [edge for edge in edges if edge.short]
    lanes = [_Lane(edge) for edge in edges if not edge.short]
    left = [lane for lane in lanes if lane.edge.leads_back]
    right = [lane for lane in lanes if not lane.edge.leads_back]
    left_width, right_width = _assign_slots(left), _assign_slots(right)
    _stack(boxes, _entries(left), _entries(right))
    box_left = _MARGIN + left_width
    box_right = box_left + _BOX_WIDTH
    for lane in left:
        lane.x = box_left - lane.x
    for lane in right:
        lane.x = box_right + lane.x

    parts: list[str] = []
    for lane in lanes:
        side = left if lane in left else right
        parts += _lane(lane, side, box_left if side is left else box_right)
    parts += [part for edge in short for part in _arrow(edge, boxes, box_left + _BOX_WIDTH / 2)]
    parts += [part for box in boxes for part in _box(box, box_left)]
    width, height = box_right + right_width + _MARGIN, boxes[-1].bottom + _MARGIN
    opening = f'<svg class="states" role="img" viewBox="0 0 {width:.0f} {height:.0f}" style="width: {width:.0f}px">'
    return opening + "".join(parts) + "</svg>"


def _edges(table: Table, states: list[enum.Enum]) -> Iterator[_Edge]:
    grouped: dict[tuple[enum.Enum, enum.Enum], list[int]] = defaultdict(list)
    for (state, cause), goal in table.items():
        grouped[cause, goal].append(states.index(state))
    for (cause, goal), sources in grouped.items():
        label, target = tuple(textwrap.wrap(str(cause.value), _LABEL_LETTERS)), states.index(goal)
        if target - 1 in sources and len(sources) > 1:  # the way straight on is never hidden in a lane
            yield _Edge(label, (target - 1,), target)
            sources = [source for source in sources if source != target - 1]
        yield _Edge(label, tuple(sources), target)


def _assign_slots(lanes: list[_Lane]) -> float:
    """Gives each lane a slot and its distance from the boxes, short ones inside; gives the width of them all."""
    slots: list[list[_Edge]] = []
    for lane in sorted(lanes, key=lambda lane: lane.edge.last - lane.edge.first):
        for slot in slots:
            if all(lane.edge.last < other.first or other.last < lane.edge.first for other in slot):
                break
        else:
            slots.append(slot := [])
        slot.append(lane.edge)
        lane.slot = slots.index(slot)
    distances = [float(_STUB)]
    for slot in slots:
        distances.append(distances[-1] + max(edge.width for edge in slot) + 18)
    for lane in lanes:
        lane.x = distances[lane.slot]
    return distances[-1] if slots else 0


def _entries(lanes: list[_Lane]) -> dict[int, list[tuple[_Lane, bool]]]:
    """For each box the lanes that end at it on this side, from the top, and whether they lead into it.

    Lanes that come from above end above those that go down, and each inside the next: so the fewest lines cross.
    """
    entries: dict[int, list[tuple[_Lane, bool]]] = defaultdict(list)
    for lane in lanes:
        for place in lane.edge.sources:
            entries[place].append((lane, False))
        entries[lane.edge.target].append((lane, True))

    def order(place: int, lane: _Lane, into: bool) -> tuple[int, int, bool]:
        up, down = lane.edge.first < place, lane.edge.last > place
        if up == down:
            return 1, 0, into
        return (0, lane.slot, into) if up else (2, -lane.slot, into)

    for place, ends in entries.items():
        ends.sort(key=lambda end: order(place, *end))
    return entries


def _stack(boxes: list[_Box], *sides: dict[int, list[tuple[_Lane, bool]]]) -> None:
    """Puts the boxes below one another, each as high as its text and its ports need, and places the ports."""
    top = float(_MARGIN)
    for place, box in enumerate(boxes):
        ports = max(len(side.get(place, ())) for side in sides)
        box.top, box.height = top, max(len(box.label) * _LINE + 16, (ports + 1) * _PORT)
        top = box.bottom + _GAP
        for side in sides:
            ends = side.get(place, [])
            for number, (lane, into) in enumerate(ends):
                port = box.middle + (number - (len(ends) - 1) / 2) * _PORT
                if into:
                    lane.target = port
                else:
                    lane.sources[place] = port


def _lane(lane: _Lane, side: list[_Lane], box: float) -> Iterator[str]:
    x = lane.x
    yield f'<path d="M{x} {lane.ends[0]}V{lane.ends[-1]}"/>'
    for y in lane.sources.values():
        yield f'<path d="M{box} {y}H{x}"/>'
        if lane.ends[0] < y < lane.ends[-1]:
            yield f'<circle cx="{x}" cy="{y}" r="2.5"/>'
    tail = _HEAD if x > box else -_HEAD
    yield f'<path d="M{x} {lane.target}H{box}"/>'
    yield f'<path class="head" d="M{box} {lane.target}l{tail} {_HEAD / 2}v{-_HEAD}z"/>'
    crossing = [y for other in side if other.slot > lane.slot for y in other.ends]
    outwards = 6 if x > box else -6
    yield from _text(lane.edge.label, x + outwards, _clear(lane, crossing), "start" if x > box else "end")


def _clear(lane: _Lane, crossing: Iterable[float]) -> float:
    """The height for a lane's label: within the lane, and as far as can be from the lines that cross it there."""
    low, high = lane.ends[0], lane.ends[-1]
    middle = (low + high) / 2
    room = len(lane.edge.label) * _LINE / 2 + 4
    crossing = list(crossing)
    choices = [low + step * (high - low) / 40 for step in range(41)]
    return max(
        choices,
        key=lambda y: (min([room, *(abs(y - other) for other in crossing)]), -abs(y - middle)),
    )


def _arrow(edge: _Edge, boxes: list[_Box], centre: float) -> Iterator[str]:
    source, target = boxes[edge.sources[0]], boxes[edge.target]
    if edge.leads_back:
        x, start, end = centre - 14, source.top, target.bottom
        yield from _text(edge.label, x - 6, (start + end) / 2, "end")
    else:
        x, start, end = centre, source.bottom, target.top
        yield from _text(edge.label, x + 6, (start + end) / 2, "start")
    tail = _HEAD if edge.leads_back else -_HEAD
    yield f'<path d="M{x} {start}V{end}"/>'
    yield f'<path class="head" d="M{x} {end}l{_HEAD / 2} {tail}h{-_HEAD}z"/>'


def _box(box: _Box, left: float) -> Iterator[str]:
    yield f'<rect x="{left}" y="{box.top}" width="{_BOX_WIDTH}" height="{box.height}" rx="6"/>'
    yield from _text(box.label, left + _BOX_WIDTH / 2, box.middle, "middle", "state")


def _text(lines: Iterable[str], x: float, middle: float, anchor: str, kind: str = "cause") -> Iterator[str]:
    lines = list(lines)
    top = middle - (len(lines) - 1) * _LINE / 2
    for number, line in enumerate(lines):
        y = top + number * _LINE
        yield f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}" dy=".35em">{escape(line)}</text>'
