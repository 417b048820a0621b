"""The paragraph on top, for somebody who reads nothing else: from the facts, with no number that is not among them."""

from __future__ import annotations

from agent.domain.incident import IncidentState
from agent.domain.wording import moment, names, shown, visible, words
from agent.reports.shape import IncidentFacts, ProposalFacts
from agent.reports.shape_period import PeriodFacts, Watched
from agent.reports.timeline import noun

MOST_TOLD = 4
"""Models whose figures the summary of a period says; the table has them all."""


def incident_summary(facts: IncidentFacts) -> str:
    """What happened, what was decided and by whom, did it help."""
    parts = [_noticed(facts), _found(facts), *_decided(facts), _ended(facts)]
    return " ".join(part for part in parts if part)


def _noticed(facts: IncidentFacts) -> str:
    effect, name = facts.effect, facts.model.name
    text = f"On {moment(facts.opened_at)} Watchkeeper opened an incident on {name}"
    onset = facts.times.onset
    if onset is not None and onset < facts.opened_at and facts.took.detect is not None:
        text += f", {facts.took.detect.text} after it began"
    if effect and effect.before and effect.during:
        before, during = shown(effect.before.value), shown(effect.during.value)
        up = (effect.during.value or 0) > (effect.before.value or 0)
        text += f"; {effect.name} ({effect.better} is better) "
        if before == during or up != (effect.better == "lower"):
            text += f"did not get worse: {before} before, {during} at worst"
        else:
            text += f"{'rose' if up else 'fell'} from {before} to {during} at worst"
    elif effect is None:
        text += "; there are no labelled rows to say how much worse the model became"
    return text + "."


def _found(facts: IncidentFacts) -> str:
    diagnosis = facts.diagnosis
    if diagnosis is None or not diagnosis.causes:
        return "It has not been diagnosed yet."
    lead = diagnosis.causes[0]
    where = f" in {names(lead.features)}" if lead.features else ""
    where += f" ({visible(lead.segment, 80)})" if lead.segment else ""
    cited = f" [{', '.join(visible(e, 12) for e in lead.supports[:4])}]" if lead.supports else ""
    meaning = f": {lead.meaning}" if lead.meaning else ""
    if diagnosis.verdict == "ok" and diagnosis.escalated is False:
        return f"The diagnosis: {words(lead.cause)}{where} ({lead.percent} %){meaning}{cited}."
    return f"The most likely cause is {words(lead.cause)}{where} ({lead.percent} %){meaning}{cited}."


def _decided(facts: IncidentFacts) -> list[str]:
    if not facts.proposals:
        if facts.diagnosis is None:
            return []
        if facts.diagnosis.escalated:
            return ["The evidence does not carry one action, so a person was asked to choose."]
        if facts.diagnosis.action in ("no_action", "wait_for_labels"):
            return [f"Nothing was proposed: {_clause(facts.diagnosis.why) or words(facts.diagnosis.action)}."]
        return ["Nothing has been proposed yet."]
    told = [_decision(proposal) for proposal in facts.proposals[-2:]]
    earlier = ["Earlier proposals came to nothing."] if len(facts.proposals) > len(told) else []
    unchanged = all(p.state in ("rejected", "expired", "superseded", "withdrawn") for p in facts.proposals)
    return earlier + told + (["Nothing was changed."] if unchanged else [])


def _decision(proposal: ProposalFacts) -> str:
    what = f"A {noun(proposal.kind)} ({proposal.id}) was proposed"
    yes = [visible(d.person, 60) for d in proposal.decisions if d.decision == "approve"]
    no = [d for d in proposal.decisions if d.decision == "reject"]
    if no:
        return f"{what} and rejected by {visible(no[-1].person, 60)}: {_clause(no[-1].reason)}."
    if proposal.state == "pending":
        so_far = f", approved so far by {names(yes)}" if yes else ""
        return f"{what} and waits for a decision until {moment(proposal.approve_by)}{so_far}."
    if proposal.state in ("expired", "superseded", "withdrawn"):
        ended = {"expired": "expired", "superseded": "was overtaken by events"}.get(proposal.state, "was withdrawn")
        return f"{what} and {ended}: {_clause(proposal.reason) or 'no reason recorded'}."
    text = f"{what} and approved by {names(yes) or 'nobody on record'}"
    execution = proposal.execution
    if proposal.verification is not None and execution is not None:
        return f"{text}; it was carried out" + (f" in {execution.took.text}." if execution.took else ".")
    if execution is not None and execution.error:
        return f"{text}, but was not carried out: {_clause(execution.error)}."
    return f"{text}; it has not been carried out yet."


def _ended(facts: IncidentFacts) -> str:
    proposal = facts.proposal
    verification = proposal.verification if proposal else None
    if verification is not None and verification.verdict is None:
        return f"Whether it helped is not known yet; the check is due by {moment(verification.due_at)}."
    text = _verdict(facts) if verification is not None else ""
    if facts.state == IncidentState.RESOLVED:
        since = f", {facts.took.recover.text} after it was detected" if facts.took.recover else ""
        closed = f"The incident was closed on {moment(facts.resolved_at)}{since}."
        return f"{text} {closed} {_still_beyond(facts)}".strip()
    return f"{text} The incident is still open.".strip()


def _verdict(facts: IncidentFacts) -> str:
    effect, proposal = facts.effect, facts.proposal
    assert proposal is not None
    assert proposal.verification is not None
    verdict = proposal.verification.verdict or ""
    lead = {
        "succeeded": "It helped",
        "failed": "It did not help",
        "inconclusive": "Whether it helped could not be told",
    }.get(verdict, words(verdict))
    if effect is None or effect.after is None:
        return f"{lead}: {_clause(proposal.verification.statement)}." if proposal.verification.statement else f"{lead}."
    text = f"{lead}: {effect.name} is {shown(effect.after)}"
    text += f" on {effect.n} later rows" if effect.n else ""
    if effect.do_nothing is not None:
        text += f", where it would have been {shown(effect.do_nothing)} without the action"
    if effect.gain is not None and effect.gain_low is not None and effect.gain_high is not None:
        interval = f"({shown(effect.gain_low)} to {shown(effect.gain_high)})"
        text += f"; judged by the loss of each row, the gain is {shown(effect.gain)} {interval}"
    return text + "."


def _still_beyond(facts: IncidentFacts) -> str:
    """A closed incident is not the same as a good figure: say so."""
    last = facts.effect.at_close if facts.effect else None
    if facts.effect is None or last is None or last.status != "breach":
        return ""
    beyond = f"{facts.effect.name} {shown(last.value)}"
    beyond += f", threshold {shown(last.threshold)}" if last.threshold is not None else ""
    return f"At that time the latest look was still beyond its threshold ({beyond})."


def needs_you(facts: IncidentFacts) -> list[str]:
    """What a person has to do now; empty when nothing."""
    todo = [
        f"Decide on {p.id} ({noun(p.kind)}) by {moment(p.approve_by)}: "
        f"watchkeeper approve {p.id}, or reject it with a reason."
        for p in facts.proposals
        if p.state == "pending"
    ]
    if facts.state == IncidentState.RESOLVED or todo:
        return todo
    if facts.diagnosis is not None and facts.diagnosis.escalated:
        todo.append("Look at the evidence and choose: it does not carry one action.")
    latest = facts.proposals[-1] if facts.proposals else None
    if latest is not None and latest.state in ("failed", "inconclusive"):
        todo.append(f"Look at {latest.id}: its {noun(latest.kind)} ended {latest.state}.")
    return todo


def period_summary(facts: PeriodFacts) -> str:
    """What the watch saw, what happened, what waits."""
    counts = facts.counts
    scope = visible(facts.model) if facts.model else _many(counts.models, "model")
    looked = _many(counts.looks, "time")
    text = f"From {moment(facts.start)} to {moment(facts.end)} Watchkeeper looked {looked} at {scope}."
    if counts.incidents:
        text += f" Incidents in that time: {counts.incidents}, of which still open: {counts.open}."
    elif counts.looks:
        text += " There was no incident."
    text += _judged(facts)
    blind = [w.model.name for w in facts.models if w.latest is None]
    measured = [w for w in facts.models if w.latest is not None]
    worst = [w for w in measured if w.latest is not None and w.latest.status == "breach"]
    if worst:
        text += f" Beyond the threshold at the last look: {names([w.model.name for w in worst])}."
    told = [*worst, *(w for w in measured if w not in worst)]
    text += "".join(f" {_trend(w)}" for w in told[:MOST_TOLD])
    if blind:
        text += f" Without a performance figure, so not known to be well: {names(blind)}."
    if counts.waiting:
        text += f" Waiting for a decision: {_many(counts.waiting, 'proposal')}."
    else:
        text += " Nothing waits for a decision."
    if facts.frozen:
        text += f" The kill switch is on: {_clause(facts.frozen)}."
    return text


def _judged(facts: PeriodFacts) -> str:
    """What was carried out and judged: how many, the latest in words, and what it was worth."""
    if not facts.judged:
        return ""
    last = facts.outcomes[-1]
    text = f" Actions judged in that time: {facts.judged}, of which helped: {facts.helped}."
    if last.after is not None:
        text += f" The latest, a {noun(last.kind)} of {visible(last.model, 80)}"
        text += f" approved by {names(last.decided_by)}" if last.decided_by else ""
        text += f": {last.metric} {shown(last.after)}"
        text += f", where it would have been {shown(last.do_nothing)} without it" if last.do_nothing is not None else ""
        text += "."
    for worth in facts.worth:
        text += f" Doing nothing would have cost {worth.currency} {shown(worth.amount)} more on the rows judged."
    return text


def _trend(watched: Watched) -> str:
    latest = watched.latest
    assert latest is not None
    text = f"{watched.model.name}: {watched.model.metric} {shown(latest.value)}"
    if latest.low is not None and latest.high is not None:
        text += f" ({shown(latest.low)} to {shown(latest.high)})"
    return f"{text}, {watched.better} is better."


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _clause(text: str) -> str:
    """Untrusted text as part of a sentence."""
    return visible(text.strip(), 300).rstrip(".")
