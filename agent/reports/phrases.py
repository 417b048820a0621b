"""Pieces of a report that several kinds share: values, states, figures with their captions, decisions in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.domain.wording import moment, names, shown, visible, words
from agent.reports.document import Badge, Figure, Line, Strong, Table, Tile
from agent.reports.judged import Outcome, Speed, Worth
from agent.reports.language import say
from agent.reports.pictured import Bars, Chart, HeatMap, Importance, Point
from agent.reports.series import day
from agent.reports.timeline import noun

TABLE_POINTS = 12
GOOD = ("resolved", "succeeded", "done", "ok")
BAD = ("failed", "open", "diagnosed", "critical", "breach")
WAITS = ("pending", "waiting", "inconclusive", "warning", "no data", "not looked at")


def point(value: Point | None) -> str:
    """A value with its interval.

    >>> point(Point(at=None, value=0.81, low=0.78, high=0.84))
    '0.81 (0.78 to 0.84)'
    """
    if value is None or value.value is None:
        return say("no data")
    return ranged(value.value, value.low, value.high)


def ranged(value: float | None, low: float | None, high: float | None) -> str:
    """A value, and its interval where there is one."""
    if low is None or high is None:
        return shown(value)
    return say("{value} ({low} to {high})", value=shown(value), low=shown(low), high=shown(high))


def money(worth: Worth) -> str:
    """An amount with its currency and interval.

    >>> money(Worth(amount=1200.0, low=900.0, high=1500.0, currency="EUR"))
    'EUR 1200 (900 to 1500)'
    """
    return f"{worth.currency} {ranged(worth.amount, worth.low, worth.high)}"


def badge(state: str) -> Badge:
    """A state with its tone."""
    tone = "good" if state in GOOD else "bad" if state in BAD else "waits" if state in WAITS else "neutral"
    return Badge(say(words(state)), tone)


def plain(value: Any) -> str:
    """One parameter as text: exact, not rounded, not abridged beyond what is visible."""
    if isinstance(value, Mapping):
        return "; ".join(f"{visible(key, 80)}: {plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    if value is None:
        return "none"
    text = str(value)
    try:
        return (
            moment(datetime.fromisoformat(text))
            if "T" in text and text.endswith(("Z", "+00:00"))
            else visible(text, 2000)
        )
    except ValueError:
        return visible(text, 2000)


def speed_tile(label: str, speed: Speed | None) -> list[Tile]:
    """The median, with the longest and how many as a note; nothing where there was none."""
    if speed is None:
        return []
    note = say("median of {n}, longest {longest}", n=speed.n, longest=speed.longest) if speed.n > 1 else ""
    return [Tile(label, speed.median, note)]


def outcome_row(outcome: Outcome) -> list[Line]:
    """Action, who, metric with and without, gain with interval, verdict."""
    value = shown(outcome.after)
    if outcome.do_nothing is not None:
        value = say("{after}, without it {nothing}", after=value, nothing=shown(outcome.do_nothing))
    gain = "" if outcome.gain is None else ranged(outcome.gain, outcome.low, outcome.high)
    worth = (f"; {money(outcome.worth)}",) if outcome.worth is not None else ()
    return [
        (Strong(visible(outcome.model, 80)), f": {noun(outcome.kind)} ({outcome.proposal_id})"),
        (names(outcome.decided_by) or say("nobody on record"),),
        (f"{outcome.metric} {value}" if outcome.after is not None else say("no figure"),),
        (gain, *worth),
        (badge(outcome.verdict),),
    ]


def outcome_table(outcomes: Sequence[Outcome]) -> Table:
    """What was carried out and what came of it."""
    head = [
        say("action"), say("approved by"), say("metric on the later rows"), say("gain in the loss of a row"),
        say("did it help"),
    ]  # fmt: skip
    return Table(head, [outcome_row(o) for o in outcomes], wide=(0, 2, 3))


def chart_figure(chart: Chart) -> Figure:
    """The metric over time."""
    caption = say(
        "{metric} on labelled rows ({better} is better), with its 95 % interval; dashed: its threshold. {looks} looks.",
        metric=chart.metric, better=say(chart.better), looks=chart.looks,
    )  # fmt: skip
    step = max(-(-len(chart.points) // TABLE_POINTS), 1)
    chosen = chart.points[::-1][::step][::-1]
    rows: list[Sequence[Line]] = [
        [
            (moment(p.at),), (point(p),), (shown(p.threshold),), ("" if p.n is None else str(p.n),),
            (say(words(p.status)),),
        ]
        for p in chosen
    ]  # fmt: skip
    head = [
        say("window to"), say("{metric} (95 % interval)", metric=chart.metric), say("threshold"), say("rows"),
        say("state"),
    ]  # fmt: skip
    return Figure(chart, caption, Table(head, rows, right=(1, 2, 3)))


def map_figure(data: HeatMap) -> Figure:
    """Drift, or slices."""
    if data.kind == "drift":
        text = say("How far each input moved from the reference (population stability index).")
    else:
        text = say("Mean loss of a row in each slice.")
    text += " " + say("Each column is the last look until that day; framed: beyond its bound; hatched: not measured.")
    if data.left_out:
        text += " " + say("Quieter rows not shown: {n}.", n=data.left_out)
    head = [say("input") if data.kind == "drift" else say("slice"), *(day(end) for end in data.ends[-4:])]
    rows = [
        [(visible(name, 80),), *((shown(v) + (" !" if bad else ""),) for v, bad in zip(vs[-4:], bs[-4:], strict=True))]
        for name, vs, bs in zip(data.rows, data.values, data.breached, strict=True)
    ]
    return Figure(data, text, Table(head, rows, right=tuple(range(1, len(head)))))


def bars_figure(data: Bars) -> Figure:
    """Versions compared, or the funnel."""
    if data.kind == "versions":
        text = say(
            "{measure}: each version's last look while it answered, with its 95 % interval.", measure=data.measure
        )
    else:
        text = say("What began in this time, step by step; what began earlier and ended in it is not counted here.")
    head = [say("version"), data.measure, ""] if data.kind == "versions" else [say("step"), say("count")]
    rows: list[Sequence[Line]] = [
        [(say(b.name),), (ranged(b.value, b.low, b.high),), *([(b.note,)] if data.kind == "versions" else [])]
        for b in data.bars
    ]
    return Figure(data, text, Table(head, rows, right=(1,)))


def importance_figure(data: Importance) -> Figure:
    """Importance then and now."""
    text = say(
        "How much each feature moves the answers, in percent. Hatched: {then}; filled: {now}.",
        then=data.then_label, now=data.now_label,
    )  # fmt: skip
    if data.left_out:
        text += " " + say("Features that matter less: {n}.", n=data.left_out)
    rows = [
        [(visible(name, 80),), (shown(a),), (shown(b),)]
        for name, a, b in zip(data.features, data.then, data.now, strict=True)
    ]
    return Figure(data, text, Table([say("feature"), data.then_label, data.now_label], rows, right=(1, 2)))
