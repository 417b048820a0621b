"""The sentences of an answer, each from records and with the ids of what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import InvalidInput, NotFound
from agent.domain.incident import IncidentState
from agent.domain.proposal import ProposalState
from agent.domain.wording import DONE, figure, in_order_to, length, moment, names, percent, shown, visible, words
from agent.store import queries
from agent.store.tables import (
    Approval,
    Diagnosis,
    Execution,
    Incident,
    MeasurementRow,
    Proposal,
    Verification,
)

MOST = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an answer, the ids it rests on, and the figures in it."""

    text: str
    sources: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


def what_is_wrong(session: Session, models: Sequence[str], now: datetime) -> list[Line]:
    """Every unresolved incident; where there is none, whether that is known or only not seen."""
    open_now = [i for model in models if (i := queries.unresolved_incident(session, model)) is not None]
    lines = [_incident_line(session, incident, now) for incident in open_now]
    quiet = [model for model in models if model not in {i.model for i in open_now}]
    return lines + [_quiet_line(session, model) for model in quiet]


def status(session: Session, models: Sequence[str], now: datetime) -> list[Line]:
    """Each model in a line, then what waits."""
    lines = []
    for model in models:
        incident = queries.unresolved_incident(session, model)
        lines.append(_incident_line(session, incident, now) if incident else _quiet_line(session, model))
    return [*lines, *what_waits(session, models, now), *_frozen(session)]


def what_waits(session: Session, models: Sequence[str], now: datetime) -> list[Line]:
    """The queue, the one that expires first on top."""
    query = select(Proposal).where(Proposal.state == ProposalState.PENDING, Proposal.model.in_(models))
    rows = session.scalars(query.order_by(Proposal.approve_by, Proposal.id)).all()
    if not rows:
        return [Line("Nothing waits for a decision.")]
    return [_waiting_line(row, now) for row in rows]


def _waiting_line(row: Proposal, now: datetime) -> Line:
    if row.approve_by > now:
        left = length(row.approve_by - now)
        until = f"until {moment(row.approve_by)} ({left} left)"
    else:
        left, until = "", f"its time ended on {moment(row.approve_by)}"
    text = f"{row.model}: to {in_order_to(row.action)}; risk {row.risk}, {until} [{row.id}]."
    text += f" Decide: watchkeeper approve {row.id}."
    return Line(
        text,
        (row.id,),
        {"proposal": row.id, "approve_by": row.approve_by.isoformat(), "left": left, "action": row.action},
    )


def why(session: Session, models: Sequence[str], now: datetime) -> list[Line]:
    """The diagnosis of the unresolved incident of each model, else of its latest one."""
    lines: list[Line] = []
    for model in models:
        incident = queries.unresolved_incident(session, model) or _latest_incident(session, model)
        if incident is None:
            lines.append(_quiet_line(session, model))
        else:
            lines += _explained(session, incident, now)
    return lines


def of_record(session: Session, record: str, now: datetime) -> list[Line]:
    """What an incident or a proposal is about, by its id or the start of it."""
    try:
        if record.startswith("i-"):
            return _explained(session, queries.by_id(session, Incident, record), now)
        return _proposal_explained(session, queries.by_id(session, Proposal, record), now)
    except (NotFound, InvalidInput) as error:
        return [Line(str(error))]


def what_happened(session: Session, models: Sequence[str], now: datetime) -> list[Line]:
    """The latest incidents of each model and what came of them, the newest first."""
    lines: list[Line] = []
    for model in models:
        rows = session.scalars(
            select(Incident).where(Incident.model == model).order_by(Incident.opened_at.desc(), Incident.id).limit(MOST)
        ).all()
        if not rows:
            lines.append(_quiet_line(session, model))
        lines += [_incident_line(session, row, now) for row in rows]
    return lines


def what_was_done(session: Session, models: Sequence[str], now: datetime) -> list[Line]:
    """The actions that were carried out, the newest first, and whether they helped."""
    rows = session.execute(
        select(Proposal, Execution)
        .join(Execution, Execution.proposal_id == Proposal.id)
        .where(Proposal.model.in_(models), Execution.state.in_(("done", "failed")))
        .order_by(Proposal.approved_at.desc(), Proposal.id)
        .limit(MOST)
    ).all()
    if not rows:
        return [Line("I have carried out no action; without an approval nothing is carried out.")]
    return [_done_line(session, proposal, execution) for proposal, execution in rows]


def _done_line(session: Session, proposal: Proposal, execution: Execution) -> Line:
    by = session.scalars(
        select(Approval.person).where(Approval.proposal_id == proposal.id, Approval.decision == "approve")
    ).all()
    verification = session.get(Verification, proposal.id)
    noun = DONE.get(proposal.kind, proposal.kind)
    approved = f"approved by {names(list(by))}" if by else "with no approval on record"
    text = f"{proposal.model}: {noun}, {approved}"
    if execution.state == "failed":
        text += f"; it was not completed: {_clause(execution.error)}"
    elif execution.seconds is not None:
        text += f", carried out in {length(execution.seconds)}"
    text += _outcome(verification)
    data = {
        "proposal": proposal.id,
        "state": proposal.state,
        "seconds": None if execution.seconds is None else round(execution.seconds, 1),
        "took": None if execution.seconds is None else length(execution.seconds),
        "verification": None if verification is None else verification.document,
    }
    return Line(f"{text} [{proposal.id}].", (proposal.id, execution.id), data)


def _outcome(verification: Verification | None) -> str:
    if verification is None:
        return ""
    if verification.verdict is None:
        return f"; whether it helped is not known before {moment(verification.due_at)}"
    said = _clause(str(verification.document.get("statement", "")))
    return f"; {verification.verdict}" + (f": {said}" if said else "")


def _explained(session: Session, incident: Incident, now: datetime) -> list[Line]:
    """An incident, its causes with their evidence, what was not checked, and what is proposed."""
    lines = [_incident_line(session, incident, now)]
    diagnosis = queries.latest_diagnosis(session, incident.id)
    if diagnosis is None:
        return lines
    lines += _diagnosis_lines(diagnosis)
    proposals = session.scalars(
        select(Proposal).where(Proposal.incident_id == incident.id).order_by(Proposal.created_at.desc()).limit(MOST)
    ).all()
    return lines + [_proposal_line(session, p, now) for p in proposals]


def _diagnosis_lines(diagnosis: Diagnosis) -> list[Line]:
    document = diagnosis.document
    evidence = {str(fact.get("id")): fact for fact in document.get("evidence", [])}
    causes = document.get("causes", [])
    if not causes:
        return []
    lead, lines = causes[0], []
    for title, key in (("For it", "supports"), ("Against it", "contradicts")):
        for number in lead.get(key, [])[:MOST]:
            fact = evidence.get(str(number))
            if fact is not None:
                statement = _clause(str(fact.get("statement", "")))
                lines.append(Line(f"{title}: {statement} [{number}].", (diagnosis.id, str(number)), {"evidence": fact}))
    others = [
        f"{words(str(c['cause']))} {percent(float(c.get('probability') or 0))} %{_cites(c.get('supports', []))}"
        for c in causes[1:4]
    ]
    if others:
        data = {
            "others": [{"cause": c["cause"], "percent": percent(float(c.get("probability") or 0))} for c in causes[1:4]]
        }
        cited = tuple(str(e) for c in causes[1:4] for e in c.get("supports", []))
        lines.append(Line(f"Other causes: {'; '.join(others)} [{diagnosis.id}].", (diagnosis.id, *cited), data))
    unchecked = [
        f"{_clause(str(n['what']))} ({_clause(str(n['why']))})" for n in document.get("not_checked", [])[:MOST]
    ]
    if unchecked:
        lines.append(Line(f"Not checked: {'; '.join(unchecked)} [{diagnosis.id}].", (diagnosis.id,)))
    return lines


def _proposal_explained(session: Session, proposal: Proposal, now: datetime) -> list[Line]:
    lines = [_proposal_line(session, proposal, now)]
    if proposal.why:
        lines.append(
            Line(
                f"Why: {_clause(proposal.why)} [{proposal.diagnosis_id or proposal.id}].",
                (proposal.diagnosis_id or proposal.id,),
            )
        )
    diagnosis = session.get(Diagnosis, proposal.diagnosis_id) if proposal.diagnosis_id else None
    return lines + (_diagnosis_lines(diagnosis) if diagnosis else [])


def _proposal_line(session: Session, proposal: Proposal, now: datetime) -> Line:
    if proposal.state == ProposalState.PENDING:
        return _waiting_line(proposal, now)
    decisions = session.scalars(select(Approval).where(Approval.proposal_id == proposal.id).order_by(Approval.at)).all()
    verification = session.get(Verification, proposal.id)
    told = bool(decisions) and (
        proposal.state == ProposalState.REJECTED or (verification is not None and verification.verdict)
    )
    text = f"{proposal.model}: to {in_order_to(proposal.action)}" + ("" if told else f": {proposal.state}")
    for d in decisions:
        verb = "approved" if d.decision == "approve" else "rejected"
        text += f", {verb} by {visible(d.person, 60)} on {moment(d.at)}" + (
            f" (“{_clause(d.reason)}”)" if d.reason else ""
        )
    if not decisions and proposal.reason:
        text += f": {_clause(proposal.reason)}"
    data = {
        "proposal": proposal.id,
        "action": proposal.action,
        "state": proposal.state,
        "reason": proposal.reason,
        "verification": None if verification is None else verification.document,
    }
    return Line(f"{text}{_outcome(verification)} [{proposal.id}].", (proposal.id,), data)


def _incident_line(session: Session, incident: Incident, now: datetime) -> Line:
    """One incident in a sentence: since when, what, how sure, and how it stands."""
    diagnosis = queries.latest_diagnosis(session, incident.id)
    data: dict[str, Any] = {
        "incident": incident.id,
        "opened_at": incident.opened_at.isoformat(),
        "state": incident.state,
    }
    sources: tuple[str, ...] = (incident.id,)
    text = f"{incident.model}: "
    if diagnosis is None:
        text += _clause(incident.title)
    else:
        cause: dict[str, Any] = next(iter(diagnosis.document.get("causes", [])), {})
        supports = [str(e) for e in cause.get("supports", [])][:4]
        sure = percent(diagnosis.probability)
        features = f" in {names([str(f) for f in cause.get('features', [])])}" if cause.get("features") else ""
        text += f"{words(diagnosis.cause)}{features}, {sure} % sure{_cites(supports)}"
        data |= {"diagnosis": diagnosis.id, "cause": diagnosis.cause, "percent": sure}
        sources += (diagnosis.id, *supports)
        if diagnosis.onset is not None:
            text += f", since {moment(diagnosis.onset)}"
            data["onset"] = diagnosis.onset.isoformat()
    text += f"; opened {moment(incident.opened_at)}, {incident.severity}"
    if incident.state == IncidentState.RESOLVED:
        text += f", closed {moment(incident.resolved_at)}" + (
            f": {_clause(incident.resolution)}" if incident.resolution else ""
        )
        data |= {"resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else None}
    else:
        text += f", {_standing(incident.state)}"
    return Line(
        f"{text} [{incident.id}].", sources, data | {"title": incident.title, "resolution": incident.resolution}
    )


def _standing(state: str) -> str:
    return {
        "open": "not diagnosed yet",
        "diagnosed": "diagnosed, nothing is being done",
        "waiting": "an action waits for a decision",
        "acting": "the action is being carried out",
        "verifying": "the effect of the action is being watched",
    }.get(state, words(state))


def _quiet_line(session: Session, model: str) -> Line:
    """A model without an incident: its latest figure, or that nothing is known."""
    run = queries.latest_run(session, model)
    if run is None:
        return Line(f"{model}: never looked at, so nothing is known of it.", data={"model": model, "looks": 0})
    spec = queries.spec_of(session, model)
    row = session.scalar(
        select(MeasurementRow).where(
            MeasurementRow.run_id == run.id,
            MeasurementRow.monitor == f"performance.{spec.metric}",
            MeasurementRow.feature.is_(None),
        )
    )
    if row is None or row.value is None:
        n = 0 if row is None else row.n
        seen = f"{n} labelled rows in the look of {moment(run.window_end)}"
        text = f"{model}: no open incident, but no data to say how well it does ({seen})"
        return Line(f"{text} [{run.id}].", (run.id,), {"model": model, "run": run.id, "n": n})
    better = "higher" if spec.higher_is_better else "lower"
    value, low, high = figure(row.value), figure(row.low), figure(row.high)
    interval = f" ({shown(low)} to {shown(high)})" if low is not None and high is not None else ""
    text = f"{model}: no open incident; {spec.metric} {shown(value)}{interval} on {row.n} labelled rows"
    text += f", {better} is better"
    text += f", beyond its threshold {shown(figure(row.threshold))}" if row.status == "breach" else ""
    data = {
        "model": model,
        "run": run.id,
        "value": value,
        "low": low,
        "high": high,
        "n": row.n,
        "threshold": figure(row.threshold),
    }
    return Line(f"{text}; last look {moment(run.window_end)} [{run.id}].", (run.id,), data)


def _frozen(session: Session) -> list[Line]:
    control = queries.control(session)
    if not control.frozen:
        return []
    by = f" by {visible(control.frozen_by, 60)}" if control.frozen_by else ""
    why = _clause(control.frozen_reason) or "no reason recorded"
    return [Line(f"The kill switch is on{by}: {why}. Nothing is carried out.")]


def _latest_incident(session: Session, model: str) -> Incident | None:
    return session.scalar(
        select(Incident).where(Incident.model == model).order_by(Incident.opened_at.desc(), Incident.id).limit(1)
    )


def _cites(ids: Sequence[Any]) -> str:
    return f" [{', '.join(visible(i, 12) for i in ids[:4])}]" if ids else ""


def _clause(text: str) -> str:
    """Untrusted text as part of a sentence."""
    return visible(text.strip(), 300).rstrip(".")
