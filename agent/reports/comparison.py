"""A span of time beside the one before it, of the same length: performance, what happened, how fast, did it help."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from agent.domain.wording import figure, moment, shown, visible
from agent.reports import series
from agent.reports.judged import how_good
from agent.reports.language import count, say
from agent.reports.period import period_facts
from agent.reports.phrases import point
from agent.reports.shape_period import Compared, ComparisonFacts, PeriodFacts, Side, Watched
from agent.store import queries
from ml.spec import ModelSpec

MOST_CHARTS = 6


def comparison_facts(
    session: Session, *, model: str | None = None, start: datetime, end: datetime, only: Sequence[str] | None = None
) -> ComparisonFacts:
    """`[start, end]` beside the time of the same length before it. Raises: NotFound."""
    then = start - (end - start)
    before = period_facts(session, model=model, start=then, end=start, only=only)
    now = period_facts(session, model=model, start=start, end=end, only=only)
    specs, earlier = queries.specs(session), {w.model.name: w for w in before.models}
    drawn = {w.model.name for w in now.models if w.in_full or len(now.models) == 1}
    drawn = set(sorted(drawn)[:MOST_CHARTS])
    models = [
        _compared(session, specs[w.model.name], earlier[w.model.name], w, (then, start, end), w.model.name in drawn)
        for w in now.models
    ]
    facts = ComparisonFacts(at=end, model=model, before=_side(session, before), now=_side(session, now), models=models)
    return facts.model_copy(update={"summary": summary(facts)})


def summary(facts: ComparisonFacts) -> str:
    """What is different, and what only looks so."""
    now, before = facts.now, facts.before
    text = say(
        "{start} to {end}, beside the time before it from {then}: {incidents} after {earlier}, {helped} of {judged} "
        "actions that were judged helped (before: {helped_then} of {judged_then}).",
        start=moment(now.start), end=moment(now.end), then=moment(before.start),
        incidents=count("{n} incident", "{n} incidents", now.counts.incidents), earlier=before.counts.incidents,
        helped=now.helped, judged=now.judged, helped_then=before.helped, judged_then=before.judged,
    )  # fmt: skip
    clear = [c for c in facts.models if c.clear]
    for c in clear[:6]:
        text += " " + say(
            "{model}: {metric} {change}, from {then} to {now}.", model=visible(c.model.name, 80), metric=c.model.metric,
            change=say("got better") if c.better else say("got worse"), then=point(c.before), now=point(c.now),
        )  # fmt: skip
    unclear = [c for c in facts.models if c.change is not None and not c.clear]
    for c in unclear[: 4 if not clear else 1]:
        text += " " + say(
            "{model}: {metric} {now} after {then}, a difference within chance.", model=visible(c.model.name, 80),
            metric=c.model.metric, now=shown(c.now.value if c.now else None),
            then=shown(c.before.value if c.before else None),
        )  # fmt: skip
    unknown = sum(c.change is None for c in facts.models)
    if unknown:
        text += " " + say("Without a figure in both: {n}.", n=unknown)
    return text


def _side(session: Session, facts: PeriodFacts) -> Side:
    names = [w.model.name for w in facts.models]
    return Side(
        start=facts.start,
        end=facts.end,
        counts=facts.counts,
        speed=facts.speed,
        quality=facts.quality or how_good(session, names, facts.start, facts.end),
        judged=facts.judged,
        helped=facts.helped,
    )


def _compared(
    session: Session,
    spec: ModelSpec,
    before: Watched,
    now: Watched,
    times: tuple[datetime, datetime, datetime],
    drawn: bool,
) -> Compared:
    a, b = before.latest, now.latest
    if a is not None and b is not None and a.at == b.at:
        a = next((w for w in (before.first,) if w is not None and w.at != b.at), None)
    change = figure(b.value - a.value) if a and b and a.value is not None and b.value is not None else None
    clear = False
    if a and b and a.low is not None and a.high is not None and b.low is not None and b.high is not None:
        clear = a.high < b.low or b.high < a.low
    then, border, end = times
    return Compared(
        model=now.model,
        direction=now.better,
        before=a,
        now=b,
        change=change,
        clear=clear,
        better=None if change is None else (change < 0) == (now.better == "lower"),
        incidents_before=len(before.incidents),
        incidents_now=len(now.incidents),
        chart=series.performance(session, spec, then, end, border=border) if drawn else None,
    )
