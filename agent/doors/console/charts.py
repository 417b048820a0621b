"""Small charts as inline SVG. Colours come from the style sheet; every chart says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from agent.doors.console.words import metric_name, number
from agent.pipeline.trials import TrialView

WIDTH, HEIGHT, PAD = 320.0, 72.0, 6.0


@dataclass(frozen=True, slots=True)
class Point:
    """One look's headline metric; `value` is None where there was no data."""

    at: datetime
    value: float | None
    low: float | None = None
    high: float | None = None
    breach: bool = False
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A deployment on the axis of time."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """An incident on the axis of time; still open where `end` is None."""

    start: datetime
    end: datetime | None


def sparkline(metric: str, points: Sequence[Point], marks: Sequence[Mark] = (), spans: Sequence[Span] = ()) -> Markup:
    """The metric over time: its interval as a band, incidents shaded, deployments as ticks, breaches in red."""
    known = [p for p in points if p.value is not None and math.isfinite(p.value)]
    if len(known) < 2:
        return Markup("")
    first, last = points[0].at, points[-1].at
    seconds = max((last - first).total_seconds(), 1.0)
    lows = [v for p in known for v in (p.value, p.low) if v is not None and math.isfinite(v)]
    highs = [v for p in known for v in (p.value, p.high) if v is not None and math.isfinite(v)]
    bottom, top = min(lows), max(highs)
    room = (top - bottom) or abs(top) or 1.0

    def x(at: datetime) -> float:
        return round(PAD + (WIDTH - 2 * PAD) * min(max((at - first).total_seconds() / seconds, 0.0), 1.0), 1)

    def y(value: float) -> float:
        return round(HEIGHT - PAD - (HEIGHT - 2 * PAD) * (value - bottom) / room, 1)

    parts: list[Markup] = []
    for span in spans:
        if (span.end or last) >= first and span.start <= last:
            left, right = x(span.start), x(span.end or last)
            parts.append(_tag("rect", "span", x=left, y=0, width=max(right - left, 1.5), height=HEIGHT))
    banded = [
        p for p in known if p.low is not None and p.high is not None and math.isfinite(p.low) and math.isfinite(p.high)
    ]
    if len(banded) > 1:
        ring = [(x(p.at), y(p.high)) for p in banded] + [(x(p.at), y(p.low)) for p in reversed(banded)]  # type: ignore[arg-type]
        parts.append(_tag("polygon", "band", points=" ".join(f"{a},{b}" for a, b in ring)))
    shown = [m for m in marks if first <= m.at <= last]
    for mark in shown:
        parts.append(_tag("line", "deploy", mark.text, x1=x(mark.at), x2=x(mark.at), y1=0, y2=HEIGHT))
    path, broken = [], True
    for p in points:
        if p.value is None or not math.isfinite(p.value):
            broken = True
            continue
        path.append(f"{'M' if broken else 'L'}{x(p.at)} {y(p.value)}")
        broken = False
    parts.append(_tag("path", "line", d=" ".join(path)))
    for p in known:
        if p.breach:
            parts.append(_tag("path", "breach", d=f"M{x(p.at)} {y(p.value)}h0"))  # type: ignore[arg-type]
    end = known[-1]
    parts.append(_tag("path", "end breach" if end.breach else "end", d=f"M{x(end.at)} {y(end.value)}h0"))  # type: ignore[arg-type]
    said = (
        f"{metric_name(metric)} over {len(points)} looks, from {number(known[0].value)} to {number(end.value)}, "
        f"between {number(min(lows))} and {number(max(highs))}; {len(shown)} deployments, {len(spans)} incidents"
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {:g} {:g}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, said, Markup("").join(parts))


def bars(view: TrialView) -> tuple[Markup, Markup] | None:
    """A trial's two values, as lengths."""
    before, after = view.shown
    if before is None or after is None or not view.drawable:
        return None
    return bar(before, max(before, after), "before"), bar(after, max(before, after), "after")


def gain(view: TrialView, scale: float | None = None) -> Markup:
    """A trial's gain with its interval; nothing where it has none."""
    if view.gain is None or view.low is None or view.high is None:
        return Markup("")
    return whisker(view.gain, view.low, view.high, scale or max(abs(view.low), abs(view.high)) * 1.15)


def bar(value: float, most: float, kind: str) -> Markup:
    """A horizontal bar, `value` of `most`."""
    share = min(max(value / most, 0.0), 1.0) if most else 0.0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(_tag("rect", kind, x=0, y=0, width=round(max(share * 100, 0.8), 1), height=10))


def whisker(value: float, low: float, high: float, scale: float) -> Markup:
    """A gain with its interval on an axis from `-scale` to `scale`; zero is marked."""

    def x(at: float) -> float:
        return round(50 + 50 * min(max(at / scale, -1.0), 1.0), 1) if scale else 50.0

    kind = "good" if low > 0 else ("bad" if high < 0 else "unsure")
    return Markup(
        '<svg class="whisker" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{}{}{}</svg>'
    ).format(
        _tag("line", "zero", x1=50, x2=50, y1=0, y2=10),
        _tag("line", kind, x1=x(low), x2=x(high), y1=5, y2=5),
        _tag("path", f"dot {kind}", d=f"M{x(value)} 5h0"),
    )


def _tag(name: str, kind: str, title: str = "", **attributes: Any) -> Markup:
    given = Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in attributes.items())
    inside = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup('<{0} class="{1}"{2}>{3}</{0}>').format(name, kind, given, inside)
