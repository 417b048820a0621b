"""The house's chart: a metric over time.

Readable without colour: the value is a line with dots, its interval a band, the threshold dashed, and every marked
moment a line with a letter that the caption explains. No text from outside is drawn, so none can break the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from agent.reports.draw import ALARM, BAND, INK, LINE
from agent.reports.pictured import Chart, Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STROKES = {"onset": (":", 0.9), "detected": (":", 0.9), "border": ((0, (1, 0)), 2.4)}
"""How moments are drawn that nobody brought about: dotted; the border between two times: thick."""
EPOCH = datetime(1970, 1, 5, tzinfo=UTC)
"""A Monday, from which round times are counted."""
STEPS = [timedelta(days=d) for d in (1 / 24, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 7, 14, 28, 56, 91, 182, 365)]


def metric_over_time(axes: Axes, chart: Chart, narrow: bool) -> None:
    """Values with their intervals, the threshold, and the marked moments."""
    known: list[Any] = [p for p in chart.points if p.at is not None]
    times = [p.at for p in known]
    values = [_number(p.value) for p in known]
    axes.fill_between(
        times, [_number(p.low) for p in known], [_number(p.high) for p in known], color=BAND, alpha=0.45, linewidth=0
    )
    dots = 3.2 if len(known) <= 60 else 0
    axes.plot(times, values, color=LINE, linewidth=1.6, marker="o", markersize=dots)
    thresholds = [_number(p.threshold) for p in known]
    axes.step(times, thresholds, color=ALARM, linewidth=1.1, linestyle=(0, (5, 3)), where="post")
    axes.set_ylabel(f"{chart.metric} ({chart.better} is better)")
    axes.margins(x=0.03, y=0.12)
    ends = [p.at for p in known] + [m.at for m in chart.marks]
    first, last = min(ends), max(ends)
    pad = max((last - first) * 0.03, timedelta(hours=6))
    first, last = first - pad, last + pad
    axes.set_xlim(*_days([first, last]))
    _mark(axes, chart.marks)
    ticks, labels = _ticks(first, last, 4 if narrow else 7)
    axes.set_xticks(_days(ticks), labels)
    axes.tick_params(length=0)


def _days(times: Sequence[datetime]) -> list[float]:
    """Times as the axis counts them."""
    from matplotlib.dates import date2num

    return [float(number) for number in date2num(list(times))]  # type: ignore[no-untyped-call]


def _ticks(first: datetime, last: datetime, most: int) -> tuple[list[datetime], list[str]]:
    """At most `most` round times within a span, and what they are called; the year stands under the first."""
    span = last - first
    step = next((s for s in STEPS if span / s <= most), STEPS[-1] * math.ceil(span / (STEPS[-1] * most)))
    index = math.ceil((first - EPOCH) / step)
    times: list[datetime] = []
    while (time := EPOCH + index * step) <= last:
        times.append(time)
        index += 1
    form = "%d %b %H:%M" if step < timedelta(days=1) else "%d %b" if step < timedelta(days=300) else "%b %Y"
    labels = [f"{time:{form}}" for time in times]
    if labels and step < timedelta(days=300):
        labels = [
            label + (f"\n{time:%Y}" if i == 0 or time.year != times[i - 1].year else "")
            for i, (time, label) in enumerate(zip(times, labels, strict=True))
        ]
    return times, labels


def _mark(axes: Axes, marks: list[Mark]) -> None:
    """A line and a letter for each moment; letters that would touch stand on several floors."""
    low, high = axes.get_xlim()
    floors: list[float] = []
    for mark in marks:
        x = _days([mark.at])[0]
        floor = next((i for i, last in enumerate(floors) if x - last > 0.035 * (high - low)), len(floors))
        floors[floor:] = [x, *floors[floor + 1 :]]
        line, width = STROKES.get(mark.kind, ("-", 0.9))
        axes.axvline(x, color=INK, linewidth=width, linestyle=line, alpha=0.8)
        axes.annotate(
            mark.key, (x, 1.0), xycoords=axes.get_xaxis_transform(), xytext=(0, 3 + 11 * floor), color=INK, fontsize=9,
            textcoords="offset points", ha="center", va="bottom", fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def sparkline(chart: Chart) -> str:
    """The same series in one line of text; a gap where there is no value."""
    bars = "▁▂▃▄▅▆▇█"
    points = chart.points[:: max(len(chart.points) // 40, 1)]
    known = [p.value for p in points if p.value is not None]
    low, high = min(known), max(known)
    return "".join(" " if p.value is None else bars[int((p.value - low) / ((high - low) or 1) * 7)] for p in points)
