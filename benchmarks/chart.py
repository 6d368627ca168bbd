"""The chart of the medians: bars, in SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.figure import SubFigure

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

_COLUMNS = 2
_WIDTH, _BAR, _HEADS = 3.9, 0.22, 0.5  # inches: a panel, a bar with its gap, the two lines above the bars
_CUT = 6  # multiples of the gateway's value, beyond which a bar is cut off
_OURS, _THEIRS = "#3b7ddd", "#9aa0a8"  # colours for a white page and a black one


def draw(results: Results, shown: Sequence[str] = SHOWN) -> str:
    """An SVG file with a panel for each of the figures that were measured."""
    figures = [FIGURES[name] for name in shown if name in results.rounds]
    lines = [figures[start : start + _COLUMNS] for start in range(0, len(figures), _COLUMNS)]
    heights = [_HEADS + _BAR * max(len(results.rounds[figure.name]) for figure in line) for line in lines]
    columns = min(_COLUMNS, len(figures))
    file = io.StringIO()
    # Text stays text, and the same results give the same file.
    with matplotlib.rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "chart"}):
        canvas = Canvas(figsize=(columns * _WIDTH, sum(heights)), layout="constrained")
        panels = canvas.subfigures(len(lines), columns, squeeze=False, height_ratios=heights)
        for panel, figure in zip(panels.flat, figures, strict=False):
            _panel(panel, figure, results)
        canvas.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


def _panel(panel: SubFigure, figure: Figure, results: Results) -> None:
    values = {peer: value for peer in PEERS if (value := results.median(figure.name, peer)) is not None}
    longest = _longest(values)
    group = next(group for group in GROUPS if figure in group.figures).title.partition(":")[0]
    panel.suptitle(f"{group}: {figure.title}", x=0.01, horizontalalignment="left", fontsize=9, fontweight="bold")
    axes = panel.subplots()
    axes.set_title(f"{figure.unit}, {'more' if figure.more else 'less'} is better", loc="left", fontsize=9)
    bars = axes.barh(
        list(values),
        [min(value, longest) for value in values.values()],
        color=[_OURS if peer == GATEWAY else _THEIRS for peer in values],
    )
    labels = [number(figure, value) + (" →" if value > longest else "") for value in values.values()]
    axes.bar_label(bars, labels, padding=4)
    axes.set_xlim(0, longest * 1.3)
    axes.invert_yaxis()
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)


def _longest(values: dict[str, float]) -> float:
    """The value of the longest bar; a bar beyond several times the gateway's is cut off there, and has an arrow."""
    ours = values.get(GATEWAY)
    return max(value for value in values.values() if ours is None or value <= _CUT * ours)
