"""The paragraph on top, for somebody who reads nothing else: from the facts, with no number that is not among them."""

from __future__ import annotations

from agent.domain.incident import IncidentState
from agent.domain.wording import moment, names, shown, visible, words
from agent.reports.judged import Outcome
from agent.reports.language import count, say
from agent.reports.phrases import ranged
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
    name, opened, onset = facts.model.name, moment(facts.opened_at), facts.times.onset
    if onset is not None and onset < facts.opened_at and facts.took.detect is not None:
        text = say(
            "On {at} Watchkeeper opened an incident on {model}, {length} after it began",
            at=opened, model=name, length=facts.took.detect.text,
        )  # fmt: skip
    else:
        text = say("On {at} Watchkeeper opened an incident on {model}", at=opened, model=name)
    return text + _harm(facts) + "."


def _harm(facts: IncidentFacts) -> str:
    """How much worse the model became, as the rest of a sentence."""
    effect = facts.effect
    if effect is None:
        return say("; there are no labelled rows to say how much worse the model became")
    if not effect.before or not effect.during:
        return ""
    lower = effect.better == "lower"
    name = effect.name
    metric = (
        say("{metric} (lower is better)", metric=name) if lower else say("{metric} (higher is better)", metric=name)
    )
    values = {"metric": metric, "before": shown(effect.before.value), "during": shown(effect.during.value)}
    rose = (effect.during.value or 0) > (effect.before.value or 0)
    if values["before"] == values["during"] or rose != lower:
        return say("; {metric} did not get worse: {before} before, {during} at worst", **values)
    if rose:
        return say("; {metric} rose from {before} to {during} at worst", **values)
    return say("; {metric} fell from {before} to {during} at worst", **values)


def _found(facts: IncidentFacts) -> str:
    diagnosis = facts.diagnosis
    if diagnosis is None or not diagnosis.causes:
        return say("It has not been diagnosed yet.")
    lead = diagnosis.causes[0]
    where = say(" in {places}", places=names(lead.features)) if lead.features else ""
    where += f" ({visible(lead.segment, 80)})" if lead.segment else ""
    cited = f" [{', '.join(visible(e, 12) for e in lead.supports[:4])}]" if lead.supports else ""
    meaning = f": {say(lead.meaning)}" if lead.meaning else ""
    cause = f"{say(words(lead.cause))}{where} ({lead.percent} %){meaning}{cited}"
    if diagnosis.verdict == "ok" and diagnosis.escalated is False:
        return say("The diagnosis: {cause}.", cause=cause)
    return say("The most likely cause is {cause}.", cause=cause)


def _decided(facts: IncidentFacts) -> list[str]:
    if not facts.proposals:
        if facts.diagnosis is None:
            return []
        if facts.diagnosis.escalated:
            return [say("The evidence does not carry one action, so a person was asked to choose.")]
        if facts.diagnosis.action in ("no_action", "wait_for_labels"):
            why = _clause(facts.diagnosis.why) or say(words(facts.diagnosis.action))
            return [say("Nothing was proposed: {why}.", why=why)]
        return [say("Nothing has been proposed yet.")]
    told = [_decision(proposal) for proposal in facts.proposals[-2:]]
    earlier = [say("Earlier proposals came to nothing.")] if len(facts.proposals) > len(told) else []
    unchanged = all(p.state in ("rejected", "expired", "superseded", "withdrawn") for p in facts.proposals)
    return earlier + told + ([say("Nothing was changed.")] if unchanged else [])


def _decision(proposal: ProposalFacts) -> str:
    what = say("A {kind} ({id}) was proposed", kind=noun(proposal.kind), id=proposal.id)
    yes = [visible(d.person, 60) for d in proposal.decisions if d.decision == "approve"]
    no = [d for d in proposal.decisions if d.decision == "reject"]
    if no:
        person, why = visible(no[-1].person, 60), _clause(no[-1].reason)
        return say("{proposed} and rejected by {person}: {why}.", proposed=what, person=person, why=why)
    if proposal.state == "pending":
        until = moment(proposal.approve_by)
        text = say("{proposed} and waits for a decision until {at}", proposed=what, at=until)
        return text + (say(", approved so far by {people}", people=names(yes)) if yes else "") + "."
    why = _clause(proposal.reason) or say("no reason recorded")
    match proposal.state:
        case "expired":
            return say("{proposed} and expired: {why}.", proposed=what, why=why)
        case "superseded":
            return say("{proposed} and was overtaken by events: {why}.", proposed=what, why=why)
        case "withdrawn":
            return say("{proposed} and was withdrawn: {why}.", proposed=what, why=why)
    people = names(yes) or say("nobody on record")
    return say("{proposed} and approved by {people}", proposed=what, people=people) + _carried_out(proposal)


def _carried_out(proposal: ProposalFacts) -> str:
    """Whether what was approved was done, as the rest of a sentence."""
    execution = proposal.execution
    if proposal.verification is not None and execution is not None:
        took = execution.took
        return say("; it was carried out in {length}.", length=took.text) if took else say("; it was carried out.")
    if execution is not None and execution.error:
        return say(", but was not carried out: {why}.", why=_clause(execution.error))
    return say("; it has not been carried out yet.")


def _ended(facts: IncidentFacts) -> str:
    proposal = facts.proposal
    verification = proposal.verification if proposal else None
    if verification is not None and verification.verdict is None:
        return say("Whether it helped is not known yet; the check is due by {at}.", at=moment(verification.due_at))
    text = _verdict(facts) if verification is not None else ""
    if facts.state != IncidentState.RESOLVED:
        return f"{text} {say('The incident is still open.')}".strip()
    closed = moment(facts.resolved_at)
    if facts.took.recover:
        length = facts.took.recover.text
        ended = say("The incident was closed on {at}, {length} after it was detected.", at=closed, length=length)
    else:
        ended = say("The incident was closed on {at}.", at=closed)
    return f"{text} {ended} {_still_beyond(facts)}".strip()


VERDICTS = {
    "succeeded": "It helped",
    "failed": "It did not help",
    "inconclusive": "Whether it helped could not be told",
}


def _verdict(facts: IncidentFacts) -> str:
    effect, proposal = facts.effect, facts.proposal
    assert proposal is not None
    assert proposal.verification is not None
    verdict = proposal.verification.verdict or ""
    lead = say(VERDICTS.get(verdict, words(verdict)))
    if effect is None or effect.after is None:
        return f"{lead}: {_clause(proposal.verification.statement)}." if proposal.verification.statement else f"{lead}."
    text = say("{verdict}: {metric} is {value}", verdict=lead, metric=effect.name, value=shown(effect.after))
    text += say(" on {n} later rows", n=effect.n) if effect.n else ""
    if effect.do_nothing is not None:
        text += say(", where it would have been {value} without the action", value=shown(effect.do_nothing))
    if effect.gain is not None and effect.gain_low is not None and effect.gain_high is not None:
        gain = ranged(effect.gain, effect.gain_low, effect.gain_high)
        text += say("; judged by the loss of each row, the gain is {gain}", gain=gain)
    return text + "."


def _still_beyond(facts: IncidentFacts) -> str:
    """A closed incident is not the same as a good figure: say so."""
    last = facts.effect.at_close if facts.effect else None
    if facts.effect is None or last is None or last.status != "breach":
        return ""
    beyond = f"{facts.effect.name} {shown(last.value)}"
    beyond += say(", threshold {value}", value=shown(last.threshold)) if last.threshold is not None else ""
    return say("At that time the latest look was still beyond its threshold ({beyond}).", beyond=beyond)


def needs_you(facts: IncidentFacts) -> list[str]:
    """What a person has to do now; empty when nothing."""
    todo = [
        say(
            "Decide on {id} ({kind}) by {at}: watchkeeper approve {id}, or reject it with a reason.",
            id=p.id, kind=noun(p.kind), at=moment(p.approve_by),
        )
        for p in facts.proposals
        if p.state == "pending"
    ]  # fmt: skip
    if facts.state == IncidentState.RESOLVED or todo:
        return todo
    if facts.diagnosis is not None and facts.diagnosis.escalated:
        todo.append(say("Look at the evidence and choose: it does not carry one action."))
    latest = facts.proposals[-1] if facts.proposals else None
    if latest is not None and latest.state in ("failed", "inconclusive"):
        ended = {"id": latest.id, "kind": noun(latest.kind), "state": say(latest.state)}
        todo.append(say("Look at {id}: its {kind} ended {state}.", **ended))
    return todo


def period_summary(facts: PeriodFacts) -> str:
    """What the watch saw, what happened, what waits."""
    counts = facts.counts
    scope = visible(facts.model) if facts.model else count("{n} model", "{n} models", counts.models)
    looked = count("{n} time", "{n} times", counts.looks)
    span = {"start": moment(facts.start), "end": moment(facts.end)}
    text = say("From {start} to {end} Watchkeeper looked {times} at {scope}.", **span, times=looked, scope=scope)
    if counts.incidents:
        opened = {"n": counts.incidents, "open": counts.open}
        text += say(" Incidents in that time: {n}, of which still open: {open}.", **opened)
    elif counts.looks:
        text += say(" There was no incident.")
    text += _judged(facts)
    measured = [w for w in facts.models if w.latest is not None]
    worst = [w for w in measured if w.latest is not None and w.latest.status == "breach"]
    if worst:
        beyond = names([w.model.name for w in worst])
        text += say(" Beyond the threshold at the last look: {models}.", models=beyond)
    told = [*worst, *(w for w in measured if w not in worst)]
    text += "".join(f" {_trend(w)}" for w in told[:MOST_TOLD])
    blind = [w.model.name for w in facts.models if w.latest is None]
    if blind:
        text += say(" Without a performance figure, so not known to be well: {models}.", models=names(blind))
    if counts.waiting:
        queue = count("{n} proposal", "{n} proposals", counts.waiting)
        text += say(" Waiting for a decision: {proposals}.", proposals=queue)
    else:
        text += say(" Nothing waits for a decision.")
    if facts.frozen:
        text += say(" The kill switch is on: {why}.", why=_clause(facts.frozen))
    return text


def _judged(facts: PeriodFacts) -> str:
    """What was carried out and judged: how many, the latest in words, and what it was worth."""
    if not facts.judged:
        return ""
    judged = {"n": facts.judged, "helped": facts.helped}
    text = say(" Actions judged in that time: {n}, of which helped: {helped}.", **judged) + _latest(facts.outcomes[-1])
    for worth in facts.worth:
        amount = f"{worth.currency} {shown(worth.amount)}"
        text += say(" Doing nothing would have cost {amount} more on the rows judged.", amount=amount)
    return text


def _latest(last: Outcome) -> str:
    """The latest action and what it did; "" where nothing was measured after it."""
    if last.after is None:
        return ""
    text = say(" The latest, a {kind} of {model}", kind=noun(last.kind), model=visible(last.model, 80))
    text += say(" approved by {people}", people=names(last.decided_by)) if last.decided_by else ""
    text += f": {last.metric} {shown(last.after)}"
    if last.do_nothing is not None:
        text += say(", where it would have been {value} without it", value=shown(last.do_nothing))
    return text + "."


def _trend(watched: Watched) -> str:
    latest = watched.latest
    assert latest is not None
    value = f"{watched.model.name}: {watched.model.metric} {ranged(latest.value, latest.low, latest.high)}"
    if watched.better == "lower":
        return say("{value}, lower is better.", value=value)
    return say("{value}, higher is better.", value=value)


def _clause(text: str) -> str:
    """Untrusted text as part of a sentence."""
    return visible(text.strip(), 300).rstrip(".")
