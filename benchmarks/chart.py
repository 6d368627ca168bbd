"""Draws the results as bars, in SVG that stands alone as well as in a page, where it takes the theme's colours."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from benchmarks.figures import FIGURES, GATEWAY, GROUPS, Figure, Results
from benchmarks.rows import PEERS, number

SHOWN = (
    "RETR rate",
    "RETR CPU",
    "STOR rate",
    "STOR CPU",
    "TLS RETR rate",
    "TLS RETR CPU",
    "session CPU",
    "NOOP CPU",
    "idle memory",
    "NOOP p50",
)

# Lengths are pixels.
_WIDTH = 760
_COLUMNS = 2
_BAR, _STEP = 13, 19
_NAMES, _NUMBERS, _GUTTER = 100, 60, 20
_HEAD, _FOOT = 34, 16
_CUT = 6  # times the gateway's value
_STYLE = """
svg.bars { font-family: var(--font-stack, sans-serif); font-size: 12px; max-width: 100%; height: auto; }
svg.bars text { fill: var(--color-foreground-primary, #333); }
svg.bars text.title { font-weight: 600; }
svg.bars rect { fill: var(--color-foreground-border, #b0b4ba); }
svg.bars path.cut { stroke: var(--color-background-primary, #fff); stroke-width: 4; }
svg.bars rect.gateway { fill: var(--color-brand-primary, #0a4bff); }
"""


def draw(results: Results) -> str:
    """An ``svg`` element."""
    figures = [FIGURES[name] for name in SHOWN if name in results.rounds]
    panels: list[str] = []
    top = 0.0
    for start in range(0, len(figures), _COLUMNS):
        heights = []
        for column, figure in enumerate(figures[start : start + _COLUMNS]):
            values = [(peer, value) for peer in PEERS if (value := results.median(figure.name, peer)) is not None]
            panels += _panel(figure, values, column * (_WIDTH + _GUTTER) / _COLUMNS, top)
            heights.append(_HEAD + len(values) * _STEP + _FOOT)
        top += max(heights)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="bars" role="img" viewBox="0 0 {_WIDTH} {top:.0f}"'
        f' width="{_WIDTH}" height="{top:.0f}"><style>{_STYLE}</style>{"".join(panels)}</svg>'
    )


def _panel(figure: Figure, values: list[tuple[str, float]], left: float, top: float) -> Iterator[str]:
    group = next(group for group in GROUPS if figure in group.figures).title.partition(":")[0]
    title = f"{group}: {figure.title}, {figure.unit} ({'more' if figure.more else 'less'} is better)"
    yield f'<text class="title" x="{left:.1f}" y="{top + 18:.1f}">{escape(title)}</text>'
    room = (_WIDTH - _GUTTER) / _COLUMNS - _NAMES - _NUMBERS
    longest = _longest(values)
    for place, (peer, value) in enumerate(values):
        y = top + _HEAD + place * _STEP
        width = room * min(value / longest, 1)
        kind = ' class="gateway"' if peer == GATEWAY else ""
        yield f'<text x="{left + _NAMES - 6:.1f}" y="{y + _BAR - 2:.1f}" text-anchor="end">{escape(peer)}</text>'
        yield f'<rect{kind} x="{left + _NAMES:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}"/>'
        if value > longest:
            x = left + _NAMES + width * 0.9
            yield f'<path class="cut" d="M{x:.1f} {y + _BAR + 2:.1f}l6 {-_BAR - 4}"/>'
        x = left + _NAMES + width + 5
        yield f'<text x="{x:.1f}" y="{y + _BAR - 2:.1f}">{number(figure, value)}</text>'


def _longest(values: list[tuple[str, float]]) -> float:
    """The value of the longest bar; what is beyond several times the gateway's is cut off."""
    ours = dict(values).get(GATEWAY)
    return max(value for _, value in values if ours is None or value <= _CUT * ours)
