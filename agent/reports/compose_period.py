"""The report of a span of time: a page of summary first, what needs a person on top; the details after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from agent.domain.wording import moment, shown, visible, words
from agent.reports import phrases
from agent.reports.document import (
    Block,
    Bullets,
    Code,
    Document,
    Heading,
    Line,
    PageBreak,
    Paragraph,
    Quiet,
    Strong,
    Table,
    Tile,
    Tiles,
    Todo,
)
from agent.reports.judged import Quality
from agent.reports.language import count, say
from agent.reports.series import day
from agent.reports.shape_period import Happened, PeriodFacts, Watched
from agent.reports.talk import told
from agent.reports.timeline import noun

TITLES = {
    "daily": "Daily watch report",
    "weekly": "Weekly watch report",
    "monthly": "Monthly report",
    "": "Watch report",
}


def compose(facts: PeriodFacts) -> Document:
    title = say(TITLES[facts.cadence]) + (f": {visible(facts.model, 80)}" if facts.model else "")
    return Document(
        title=title,
        over=say("{start} to {end}", start=moment(facts.start), end=moment(facts.end)),
        badges=(),
        blocks=[*_first_page(facts), *_details(facts)],
        footer=footer(facts.summary_by),
    )


def footer(by: str) -> str:
    """Who wrote the summary, and what the numbers are."""
    text = say("Written by Watchkeeper from its records. Times are UTC.")
    if by and by != "template":
        text += " " + say("The summary was written by {by} and checked against the facts.", by=visible(by, 80))
    else:
        text += " " + say("The summary was written by a template.")
    return text + " " + say("Figures are rounded to three digits; the JSON of this report has every one of them.")


def _first_page(facts: PeriodFacts) -> Iterator[Block]:
    yield Paragraph((facts.summary,), "lead")
    if facts.waiting:
        yield Todo(say("What needs you"), [_waits(w.model, w.what, w.risk, w.approve_by, w.id) for w in facts.waiting])
    counts = facts.counts
    yield Tiles(
        [
            Tile(say("models"), str(counts.models), count("{n} look", "{n} looks", counts.looks)),
            Tile(say("incidents"), str(counts.incidents), _of_incidents(facts)),
            Tile(say("waiting for a person"), str(counts.waiting)),
            Tile(say("actions judged"), str(facts.judged), say("helped: {n}", n=facts.helped)),
            *phrases.speed_tile(say("time to detect"), facts.speed.get("detect")),
            *phrases.speed_tile(say("time to decide"), facts.speed.get("decide")),
            *phrases.speed_tile(say("time to recover"), facts.speed.get("recover")),
            *(
                Tile(say("cost of doing nothing"), phrases.money(w), say("more, on the rows judged"))
                for w in facts.worth
            ),
        ]
    )  # fmt: skip
    if facts.risks:
        yield Heading(say("At risk next"))
        yield Bullets([(Strong(visible(r.model, 80)), f": {r.text}") for r in facts.risks])
    if facts.outcomes:
        yield Heading(say("Did it help"))
        yield phrases.outcome_table(facts.outcomes)
    if facts.funnel is not None and any(bar.value for bar in facts.funnel.bars):
        yield Heading(say("From alerts to what helped"))
        yield phrases.bars_figure(facts.funnel)


def _of_incidents(facts: PeriodFacts) -> str:
    """Those that began earlier are told apart: the steps below count what began in this time."""
    text = say("still open: {n}", n=facts.counts.open)
    new = facts.quality.incidents if facts.quality is not None else facts.counts.incidents
    return text if new == facts.counts.incidents else text + say("; began in this time: {n}", n=new)


def _waits(model: str, what: str, risk: str, until: datetime, number: str) -> Line:
    by = moment(until)
    text = say(": {what} (risk {risk}), until {until}. ", what=what, risk=risk, until=by)
    return (Strong(visible(model, 80)), text, Code(f"watchkeeper approve {number}"))


def _details(facts: PeriodFacts) -> Iterator[Block]:
    if not facts.models:
        yield Paragraph((say("There is no model yet. Add one with "), Code("watchkeeper model add SPEC.yaml"), "."))
        return
    if len(facts.models) > 1 or facts.outcomes or facts.waiting:  # else the first page would be nearly empty
        yield PageBreak()
    if len(facts.models) > 1:
        yield Heading(say("All models"))
        yield _overview(facts.models)
    for watched in facts.models:
        if watched.in_full:
            yield from _model(watched)
    if facts.quality is not None:
        yield from _quality(facts.quality)
    if facts.cost is not None:
        yield Heading(say("What the watch cost"))
        cost = facts.cost
        yield Paragraph((
            say("Compute: {total} of this program's time, of which looks {looks} s, diagnoses {diagnoses} s and "
                "executions {executions} s.", total=cost.total, looks=shown(cost.looks),
                diagnoses=shown(cost.diagnoses), executions=shown(cost.executions)),
            " ",
            say("Language models: {calls} calls, {tokens} tokens", calls=cost.calls, tokens=cost.tokens),
            "." if cost.usd is None else say(", {usd} USD where the price is known.", usd=shown(cost.usd)),
        ))  # fmt: skip
    if facts.talk is not None:
        yield Heading(say("Conversation"))
        yield Paragraph((told(facts.talk),))


def _overview(models: Sequence[Watched]) -> Table:
    head = [
        say("model"),
        say("state"),
        say("metric"),
        say("latest (95 % interval)"),
        say("threshold"),
        say("incidents"),
    ]
    rows: list[Sequence[Line]] = [
        [
            (Strong(visible(w.model.name, 80)), *((Quiet(f" {visible(w.model.owner, 40)}"),) if w.model.owner else ())),
            (phrases.badge(w.state),),
            (w.model.metric,),
            (phrases.point(w.latest),),
            (shown(w.latest.threshold) if w.latest and w.latest.threshold is not None else "",),
            (str(w.happened),),
        ]
        for w in models
    ]
    return Table(head, rows, right=(3, 4, 5), wide=(0,))


def _model(w: Watched) -> Iterator[Block]:
    yield Heading(visible(w.model.name, 80), badge=phrases.badge(w.state))
    if w.latest is not None:
        yield Paragraph((
            f"{w.model.metric} ", Strong(phrases.point(w.latest)),
            say(" on {n} labelled rows, {at} ({better} is better).", n=w.latest.n, at=moment(w.latest.at),
                better=say(w.better)),
        ))  # fmt: skip
    else:
        why = say(" The last one says: {why}.", why=visible(w.blind, 300).rstrip(".")) if w.blind else ""
        yield Paragraph((say("No performance figure in this time: no look had enough labelled rows.") + why,))
    text = say("Looks: {n}", n=w.looks)
    text += say(", without enough labels: {n}", n=w.looks_without_data) if w.looks_without_data else ""
    text += say("; the latest on {at} over {rows} rows", at=moment(w.last_look), rows=w.rows) if w.last_look else ""
    text += say("; champion: version {version}", version=visible(w.champion, 40)) if w.champion else ""
    yield Paragraph((text + say("; alerts firing: {n}.", n=w.firing),), "muted")
    if w.chart is not None:
        yield phrases.chart_figure(w.chart)
    if w.incidents:
        yield Table(
            [say("opened"), say("incident"), say("what came of it")],
            [[(moment(i.opened_at),), _incident(i), _came(i)] for i in w.incidents[w.not_listed :]],
            wide=(1, 2),
        )
        if w.not_listed:
            yield Paragraph((say("Earlier incidents not shown: {n}.", n=w.not_listed),), "muted")
    else:
        yield Paragraph((say("No incident."),), "muted")
    if w.deployments:
        went = "; ".join(
            say("version {version} ({kind}) on {at}", version=visible(d.version, 40), kind=noun(d.kind), at=day(d.at))
            for d in w.deployments
        )
        yield Paragraph((say("Deployments: {list}.", list=went),))
    for data in (w.drift, w.slices):
        if data is not None:
            yield phrases.map_figure(data)
    if w.versions is not None and len(w.versions.bars) > 1:
        yield phrases.bars_figure(w.versions)


def _incident(incident: Happened) -> Line:
    title, number = visible(incident.title), incident.id
    cause, share = incident.cause, incident.percent
    said = (Quiet(f" {say(words(cause))}, {share} %"),) if cause else ()
    return (Strong(title), Quiet(f" {number}"), *said)


def _came(incident: Happened) -> Line:
    action, state = incident.action, incident.proposal_state
    text = (f" {noun(action)}" + (f": {say(words(state))}" if state else "")) if action else ""
    ended = incident.resolution
    return (phrases.badge(incident.state), text, *((Quiet(f" {visible(ended, 300)}"),) if ended else ()))


def _quality(q: Quality) -> Iterator[Block]:
    yield Heading(say("How good the watch was"))
    items: list[Line] = [
        (say("Incidents: {n}; called a false alarm by a person: {wrong}.", n=q.incidents, wrong=q.false_alarms),),
        (say("Proposals: {n}; accepted {yes}, rejected {no}, lapsed or overtaken {gone}.", n=q.proposals,
             yes=q.accepted,
             no=q.rejected, gone=q.lapsed),),
        (say("Thumbs on answers: {up} up, {down} down.", up=q.thumbs_up, down=q.thumbs_down),),
    ]  # fmt: skip
    items += [
        (say("Diagnoses that were {least} to {upto} % sure and acted on: {judged}; the action helped in {helped}.",
             least=c.least, upto=c.upto, judged=c.judged, helped=c.helped),)
        for c in q.confidence
    ]  # fmt: skip
    yield Bullets(items)
