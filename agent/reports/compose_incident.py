"""The post-mortem of an incident: the summary and the figures first, then what happened, what was decided, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.domain.wording import moment, names, shown, visible, words
from agent.reports import phrases
from agent.reports.compose_period import footer
from agent.reports.document import (
    Block,
    Bullets,
    Card,
    Code,
    Document,
    Heading,
    Line,
    Pairs,
    Paragraph,
    Strong,
    Table,
    Tile,
    Tiles,
    Todo,
)
from agent.reports.language import say
from agent.reports.shape import DiagnosisFacts, IncidentFacts, ProposalFacts, RuledOut, Span
from agent.reports.timeline import noun


def compose(facts: IncidentFacts) -> Document:
    verdict = facts.proposal.verification.verdict if facts.proposal and facts.proposal.verification else None
    owner = f" · {visible(facts.model.owner, 80)}" if facts.model.owner else ""
    return Document(
        title=f"{visible(facts.model.name, 80)}: {visible(facts.title)}",
        over=say("Incident {id} · {model}", id=facts.id, model=visible(facts.model.name, 80)) + owner,
        badges=tuple(phrases.badge(state) for state in (facts.state, facts.severity, verdict) if state),
        blocks=[*_first_page(facts), *_happened(facts), *_decided(facts), *_timeline(facts)],
        footer=say("Report of {at}.", at=moment(facts.at)) + " " + footer(facts.summary_by),
    )


def _first_page(facts: IncidentFacts) -> Iterator[Block]:
    yield Paragraph((facts.summary,), "lead")
    if facts.needs_you:
        yield Todo(say("What needs you"), [(item,) for item in facts.needs_you])
    yield Tiles(_tiles(facts))
    if facts.chart is not None:
        yield phrases.chart_figure(facts.chart)
    else:
        metric = facts.model.metric or say("the metric")
        text = say("There is no chart: no look had enough labelled rows to measure {metric}.", metric=metric)
        yield Paragraph((text,), "muted")


def _tiles(facts: IncidentFacts) -> list[Tile]:
    effect, took, tiles = facts.effect, facts.took, list[Tile]()
    if effect is not None:
        for label, p in (("{metric} before", effect.before), ("at worst", effect.during)):
            tiles.append(Tile(say(label, metric=effect.name), phrases.point(p), moment(p.at) if p else ""))
        if effect.after is not None:
            note = say("{n} later rows", n=effect.n) if effect.n else ""
            tiles.append(Tile(say("after the action"), shown(effect.after), note))
        if effect.do_nothing is not None:
            note = say("the same rows, as they would have been")
            tiles.append(Tile(say("doing nothing"), shown(effect.do_nothing), note))
        if effect.gain is not None:
            gain = phrases.ranged(effect.gain, effect.gain_low, effect.gain_high)
            tiles.append(Tile(say("gain in the loss of a row"), gain))
        if effect.worth is not None:
            note = say("more, on {n} rows", n=effect.n)
            tiles.append(Tile(say("cost of doing nothing"), phrases.money(effect.worth), note))
    spans: list[tuple[str, Span | None, str]] = [
        (say("time to detect"), took.detect, say("since it began")),
        (say("time to decide"), took.decide, say("since it was proposed")),
        (say("time to carry out"), took.execute, ""),
        (say("time to recover"), took.recover, say("since it was detected")),
    ]
    return tiles + [Tile(label, span.text, note) for label, span, note in spans if span is not None]


def _happened(facts: IncidentFacts) -> Iterator[Block]:
    yield Heading(say("What happened"))
    diagnosis = facts.diagnosis
    if diagnosis is None or not diagnosis.causes:
        yield Paragraph((say("This incident has not been diagnosed."),))
    else:
        yield from _diagnosis(diagnosis)
    if facts.alerts:
        yield Heading(say("Alerts"), 3)
        rows: list[Sequence[Line]] = [
            [
                (moment(a.first_seen),), (visible(a.detail or a.monitor),),
                (say(a.severity) + (say(", cleared {at}", at=moment(a.cleared_at)) if a.cleared_at else ""),),
                (str(a.looks),),
            ]
            for a in facts.alerts
        ]  # fmt: skip
        yield Table([say("first seen"), say("alert"), say("severity"), say("looks")], rows, right=(3,), wide=(1,))


def _diagnosis(diagnosis: DiagnosisFacts) -> Iterator[Block]:
    lead = diagnosis.causes[0]
    text = say(", {percent} %", percent=lead.percent) + (f": {lead.meaning}" if lead.meaning else "") + "."
    text += say(" Features: {list}.", list=names(lead.features)) if lead.features else ""
    text += say(" Segment: {name}.", name=visible(lead.segment)) if lead.segment else ""
    text += say(" Since {at}.", at=moment(lead.onset)) if lead.onset else ""
    yield Paragraph((Strong(say(words(lead.cause))), text))
    if diagnosis.why:
        yield Paragraph((_sentence(diagnosis.why),))
    if diagnosis.evidence:
        yield Heading(say("Evidence"), 3)
        side = {**dict.fromkeys(lead.contradicts, say("against")), **dict.fromkeys(lead.supports, say("for"))}
        rows: list[Sequence[Line]] = [
            [(Strong(visible(e.id, 12)),), (visible(e.statement, 2000),), (side.get(e.id, ""),), (str(e.n or ""),)]
            for e in diagnosis.evidence
        ]
        yield Table(["", say("what was found"), say("for or against"), say("rows")], rows, right=(3,), wide=(1,))
    if diagnosis.causes[1:]:
        yield Heading(say("Other causes considered"), 3)
        yield Bullets(
            [
                (
                    f"{say(words(c.cause))}, {c.percent} %"
                    + _cited(c.supports, say("; for"))
                    + _cited(c.contradicts, say("; against")),
                )
                for c in diagnosis.causes[1:]
            ]
        )
    yield from _listed(say("Ruled out"), diagnosis.ruled_out)
    yield from _listed(say("Not checked"), diagnosis.not_checked)
    about = say(
        "Diagnosis {id} of {at}, on the rows from {start} to {end}", id=diagnosis.id, at=moment(diagnosis.at),
        start=moment(diagnosis.window_start), end=moment(diagnosis.window_end),
    )  # fmt: skip
    more = say("; diagnoses of this incident: {n}", n=diagnosis.made) if diagnosis.made > 1 else ""
    yield Paragraph((f"{about}{more}.",), "muted")


def _sentence(text: str) -> str:
    said = visible(text, 2000).strip()
    return f"{said[:1].upper()}{said[1:]}" + ("" if said.endswith((".", "!", "?")) else ".")


def _listed(title: str, items: Sequence[RuledOut]) -> Iterator[Block]:
    if items:
        yield Heading(title, 3)
        yield Bullets([(f"{words(i.what)}: {visible(i.why, 2000)}{_cited(i.evidence, '')}",) for i in items])


def _cited(ids: Sequence[str], lead: str) -> str:
    return f"{lead} [{', '.join(visible(i, 12) for i in ids)}]" if ids else ""


def _decided(facts: IncidentFacts) -> Iterator[Block]:
    yield Heading(say("What was decided"))
    for proposal in facts.proposals:
        yield Card([*_proposal(proposal)])
    if not facts.proposals:
        why = f": {visible(facts.diagnosis.why, 2000)}" if facts.diagnosis and facts.diagnosis.why else "."
        yield Paragraph((say("No action was proposed") + why,))


def _proposal(p: ProposalFacts) -> Iterator[Block]:
    yield Heading(noun(p.kind).capitalize(), 3, badge=phrases.badge(p.state))
    yield Paragraph((say("To {what}.", what=p.what),))
    if p.why:
        yield Paragraph((say("Why: {why}", why=visible(p.why, 2000)),), "muted")
    pairs: list[tuple[str, Line]] = [
        (say("Proposal"), (f"{p.id}, {moment(p.created_at)}, {say('by {who}', who=visible(p.requested_by, 80))}",)),
        (say("Risk"), (
            say("{risk}; reaches {reach}", risk=p.risk, reach=p.reach)
            + ("" if p.changes_model else say("; changes no model")),
        )),
        (say("Undo"), (p.undo,)),
    ]  # fmt: skip
    pairs += [(say("Trial"), (_trial(p),))] if p.trial is not None else []
    for d in p.decisions:
        verb = say("Approved") if d.decision == "approve" else say("Rejected")
        reason = f": “{visible(d.reason, 2000)}”" if d.reason else ""
        pairs.append((verb, (say("by {who}", who=visible(d.person, 80)) + f", {moment(d.at)}{reason}",)))
    if p.state == "pending":
        pairs.append((say("Waits"), (say("for a decision until {at}", at=moment(p.approve_by)),)))
    elif p.state in ("expired", "superseded", "withdrawn"):
        pairs.append((say(p.state.capitalize()), (visible(p.reason or say("no reason recorded"), 2000),)))
    if p.execution is not None:
        took = say(" in {time}", time=p.execution.took.text) if p.execution.took else ""
        error = f": {visible(p.execution.error, 2000)}" if p.execution.error else ""
        pairs.append((say("Execution"), (say(p.execution.state) + took + error,)))
    if p.verification is not None:
        v = p.verification
        said = f": {visible(v.statement, 2000)}" if v.statement else ""
        due = (say("being watched, due {at}", at=moment(v.due_at)),)
        pairs.append((say("Did it help?"), (phrases.badge(v.verdict), said) if v.verdict else due))
    told = "; ".join(f"{words(key)}: {phrases.plain(value)}" for key, value in p.parameters.items())
    pairs += [(say("Parameters"), (told,)), (say("Digest"), (Code(p.digest),))]
    yield Pairs(pairs)


def _trial(p: ProposalFacts) -> str:
    trial = p.trial
    assert trial is not None
    text = f"{trial.metric} {shown(trial.before)} → {shown(trial.after)}"
    text += say(" on {n} recent labelled rows", n=trial.n) if trial.n else ""
    if trial.gain is not None:
        lead = say("loss of a row lower by") if trial.clear else say("no clear gain in the loss of a row:")
        text += f"; {lead} {phrases.ranged(trial.gain, trial.low, trial.high)}"
    return text


def _timeline(facts: IncidentFacts) -> Iterator[Block]:
    yield Heading(say("Timeline"))
    rows: list[Sequence[Line]] = [
        [(moment(h.at),), (visible(h.text, 2000) + _again(h.times, moment(h.until)),), (visible(h.actor, 80),)]
        for h in facts.timeline
        if not h.minor
    ]
    if rows:
        yield Table([say("when"), say("what"), say("who")], rows, wide=(1,))
    else:
        yield Paragraph((say("The audit has no event of this incident."),))


def _again(times: int, until: str) -> str:
    return say(" (said {times} times, last {until})", times=times, until=until) if times > 1 else ""
