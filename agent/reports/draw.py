"""The house's pictures beside the chart over time: heat maps, bars, importance. Readable without colour.

A cell says its value where there is room, and a crossed rule is a frame, never a colour alone. Shades run from light to
dark, so that they keep their order in black and white.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from agent.domain.wording import shown, visible
from agent.reports.pictured import Bars, HeatMap, Importance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID, LINE, BAND, ALARM = "#1b1f24", "#5b6570", "#d8dde3", "#0b5fa5", "#9cc4e4", "#b3261e"
SHADES = ("#f1f6fb", "#cfe1f1", "#9cc4e4", "#5e9bd0", "#2a6fab", "#0b3f70")
LONGEST_NAME = 26
PRINTED_CELLS, PRINTED_NARROW = 14, 7
PALE = 3
ON_SHADE = "#10151a"  # not of the page: a cell stays light at night


def heat_map(axes: Axes, data: HeatMap, *, narrow: bool = False) -> None:
    """Rows by time: darker is more; hatched: not measured; framed: a rule was crossed there.

    The cells of one kind are one collection: an artist for each of a thousand cells takes most of a report's time.
    """
    columns = len(data.ends)
    top = max((v for row in data.values for v in row if v is not None), default=0.0) or 1.0
    filled: list[tuple[int, int]] = []
    shades: list[str] = []
    empty: list[tuple[int, int]] = []
    for y, row in enumerate(data.values):
        for x, value in enumerate(row):
            if value is None:
                empty.append((x, y))
                continue
            level = _level(value, top)
            filled.append((x, y))
            shades.append(SHADES[level])
            if columns <= (PRINTED_NARROW if narrow else PRINTED_CELLS):
                colour = ON_SHADE if level <= PALE else "white"
                axes.text(x + 0.5, y + 0.5, shown(value), ha="center", va="center", fontsize=7, color=colour)
    framed = [(x, y) for y, flags in enumerate(data.breached) for x, breached in enumerate(flags) if breached]
    _cells(axes, empty, facecolors="none", edgecolors=GRID, hatch="////", linewidths=0)
    _cells(axes, filled, facecolors=shades, edgecolors="white", linewidths=0.6)
    _cells(axes, framed, inset=(0.06, 0.08), facecolors="none", edgecolors=ALARM, linewidths=1.3)
    for inside in (*axes.collections, *axes.texts):
        inside.set_in_layout(False)  # they are within the axes: measuring each would take seconds
    axes.set_xlim(0, max(columns, 1))
    axes.set_ylim(len(data.rows), 0)
    axes.set_yticks([y + 0.5 for y in range(len(data.rows))], [short(name) for name in data.rows])
    step = max(-(-columns // 8), 1)
    spots = list(range(0, columns, step))
    axes.set_xticks([x + 0.5 for x in spots], [_dated(data, x) for x in spots])
    axes.tick_params(length=0)
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(False)


def _cells(axes: Axes, spots: list[tuple[int, int]], *, inset: tuple[float, float] = (0, 0), **style: Any) -> None:
    """Squares of one style at these corners, drawn a little smaller where inset says so."""
    from matplotlib.collections import PolyCollection

    left, top = inset
    right, bottom = 1 - left, 1 - top
    squares = [
        [(x + left, y + top), (x + right, y + top), (x + right, y + bottom), (x + left, y + bottom)] for x, y in spots
    ]
    if squares:
        axes.add_collection(PolyCollection(squares, **style), autolim=False)


def bars(axes: Axes, data: Bars) -> None:
    """Horizontal bars with their value beside them, and the 95 % interval as a line."""
    for y, bar in enumerate(data.bars):
        value = bar.value
        if value is None:
            axes.text(0, y, " no data", va="center", ha="left", color=MUTED)
            continue
        axes.barh(y, value, height=0.55, color=BAND, edgecolor=LINE, linewidth=1.0)
        if bar.low is not None and bar.high is not None:
            axes.plot([bar.low, bar.high], [y, y], color=INK, linewidth=1.6)
            axes.plot([bar.low, bar.high], [y, y], color=INK, marker="|", markersize=8, linestyle="none")
        end = max(value, bar.high or value, 0.0)
        note = f"  {shown(value)}" + (f" ({visible(bar.note, 60)})" if bar.note else "")
        axes.annotate(note, (end, y), xytext=(3, 0), textcoords="offset points", va="center", ha="left", fontsize=8)
    axes.set_yticks(range(len(data.bars)), [short(bar.name) for bar in data.bars])
    axes.set_ylim(len(data.bars) - 0.4, -0.6)
    highest = max((max(b.value or 0, b.high or 0) for b in data.bars), default=0) or 1
    lowest = min((min(b.value or 0, b.low or 0, 0) for b in data.bars), default=0)
    noted = any(bar.note for bar in data.bars)
    axes.set_xlim(lowest * 1.1, highest * (1.55 if noted else 1.15))
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])


def importance(axes: Axes, data: Importance) -> None:
    """Two bars for each feature: then (hatched, light) and now (filled)."""
    for y, (then, now) in enumerate(zip(data.then, data.now, strict=True)):
        axes.barh(y - 0.2, then, height=0.36, color="white", edgecolor=LINE, hatch="////", linewidth=0.8)
        axes.barh(y + 0.2, now, height=0.36, color=LINE, edgecolor=LINE, linewidth=0.8)
        for value, spot in ((then, y - 0.2), (now, y + 0.2)):
            axes.annotate(
                f"{shown(value)} %", (value, spot), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7
            )
    axes.set_yticks(range(len(data.features)), [short(name) for name in data.features])
    axes.set_ylim(len(data.features) - 0.4, -0.6)
    axes.set_xlim(0, (max([*data.then, *data.now], default=0) or 1) * 1.2)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def size_of(data: HeatMap | Bars | Importance, *, narrow: bool = False) -> tuple[float, float]:
    """Inches; taller with more rows."""
    rows = len(data.rows) if isinstance(data, HeatMap) else len(data.bars) if isinstance(data, Bars) else 0
    each = 0.27 if isinstance(data, HeatMap) else 0.36
    if isinstance(data, Importance):
        rows, each = len(data.features), 0.42
    return (4.3 if narrow else 7.6), max(1.1, 0.6 + each * rows)


def short(name: str) -> str:
    """A name that fits beside a picture; the middle of a long one goes, since the ends tell names apart.

    >>> short("a" * 20 + "b" * 20)
    'aaaaaaaaaaaaa…bbbbbbbbbbbb'
    """
    text = visible(name, 200)
    half = LONGEST_NAME // 2
    return text if len(text) <= LONGEST_NAME else f"{text[:half]}…{text[-(half - 1) :]}"


def _level(value: float, top: float) -> int:
    share = max(value, 0.0) / top
    return min(int(share * len(SHADES)), len(SHADES) - 1)


def _dated(data: HeatMap, x: int) -> str:
    """The end of a span as its last day; the year under the first and where it changes."""
    day = data.ends[x] - timedelta(microseconds=1)
    step = max(-(-len(data.ends) // 8), 1)
    earlier = data.ends[x - step] - timedelta(microseconds=1) if x >= step else None
    return f"{day:%d %b}" + (f"\n{day:%Y}" if earlier is None or earlier.year != day.year else "")
