"""A span of time beside the one before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.domain.wording import moment, shown, visible
from agent.reports import phrases
from agent.reports.compose_period import footer
from agent.reports.document import Badge, Block, Document, Heading, Line, Paragraph, Strong, Table
from agent.reports.judged import Speed
from agent.reports.language import say
from agent.reports.series import day
from agent.reports.shape_period import Compared, ComparisonFacts, Side


def compose(facts: ComparisonFacts) -> Document:
    now, before = facts.now, facts.before
    spans = say(
        "{start} to {end}, compared with {then} to {start}", start=moment(now.start), end=moment(now.end),
        then=moment(before.start),
    )  # fmt: skip
    return Document(
        title=say("Comparison with the time before") + (f": {visible(facts.model, 80)}" if facts.model else ""),
        over=spans,
        badges=(),
        blocks=list(_blocks(facts)),
        footer=footer(facts.summary_by),
    )


def _blocks(facts: ComparisonFacts) -> Iterator[Block]:
    yield Paragraph((facts.summary,), "lead")
    then, now = (f"{day(side.start)} {say('to')} {day(side.end)}" for side in (facts.before, facts.now))
    rows: list[Sequence[Line]] = [
        [(Strong(visible(c.model.name, 80)), f" {c.model.metric}"), (phrases.point(c.before),), (phrases.point(c.now),),
         _change(c)]
        for c in facts.models
    ]  # fmt: skip
    if rows:
        yield Heading(say("Performance, at the last look of each"))
        yield Table([say("model"), then, now, say("change")], rows, right=(1, 2), wide=(0,))
    yield Heading(say("What happened"))
    yield Table(["", then, now], list(_counted(facts.before, facts.now)), right=(1, 2), wide=(0,))
    for compared in facts.models:
        if compared.chart is not None:
            yield Heading(visible(compared.model.name, 80), 3)
            yield phrases.chart_figure(compared.chart)


def _change(c: Compared) -> Line:
    if c.change is None:
        return (say("not known"),)
    sign = "+" if c.change > 0 else ""
    if not c.clear:
        return (f"{sign}{shown(c.change)} ", Badge(say("within chance"), "neutral"))
    return (
        f"{sign}{shown(c.change)} ",
        Badge(say("better") if c.better else say("worse"), "good" if c.better else "bad"),
    )


def _counted(before: Side, now: Side) -> Iterator[Sequence[Line]]:
    named = {
        say("looks"): (before.counts.looks, now.counts.looks),
        say("incidents"): (before.counts.incidents, now.counts.incidents),
        say("called a false alarm"): (before.quality.false_alarms, now.quality.false_alarms),
        say("proposals"): (before.quality.proposals, now.quality.proposals),
        say("accepted"): (before.quality.accepted, now.quality.accepted),
        say("actions judged"): (before.judged, now.judged),
        say("helped"): (before.helped, now.helped),
        say("deployments"): (before.counts.deployments, now.counts.deployments),
    }
    for name, (then, later) in named.items():
        yield [(name,), (str(then),), (str(later),)]
    for key, name in (("detect", say("time to detect")), ("decide", say("time to decide")),
                      ("recover", say("time to recover"))):  # fmt: skip
        yield [(say("{what}, median", what=name),), (_speed(before.speed.get(key)),), (_speed(now.speed.get(key)),)]


def _speed(speed: Speed | None) -> str:
    return say("none") if speed is None else speed.median
