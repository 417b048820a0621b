"""The facts of an incident, gathered from the records alone: nothing is computed here that the records do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.wording import figure, in_order_to, length, percent, visible
from agent.reports import series
from agent.reports.judged import worth_of
from agent.reports.period import period_facts
from agent.reports.pictured import Point
from agent.reports.shape import (
    AlertFacts,
    CauseFacts,
    Decision,
    DiagnosisFacts,
    Durations,
    Effect,
    Evidence,
    ExecutionFacts,
    IncidentFacts,
    Milestones,
    ModelFacts,
    ProposalFacts,
    RuledOut,
    Span,
    Step,
    TrialFacts,
    VerificationFacts,
)
from agent.reports.summary import incident_summary, needs_you
from agent.reports.timeline import noun, timeline
from agent.store import queries
from agent.store.tables import (
    Alert,
    Approval,
    Diagnosis,
    Execution,
    ExecutionStep,
    Incident,
    Proposal,
    Verification,
)
from ml.diagnosis.causes import MEANING, Cause
from ml.spec import ModelSpec
from tools.actions import CHARACTER, ActionKind

__all__ = ["IncidentFacts", "incident_facts", "period_facts"]


def incident_facts(session: Session, incident: Incident, *, at: datetime) -> IncidentFacts:
    """Everything that a report of `incident` says, as the records have it at `at`."""
    spec = queries.spec_of(session, incident.model)
    proposals = [_proposal(session, row) for row in _rows(session, incident)]
    diagnosis = _diagnosis(session, incident)
    times = _milestones(session, incident, diagnosis, proposals)
    began = min(times.onset or incident.opened_at, incident.opened_at)
    end = at if incident.resolved_at is None else min(at, incident.resolved_at + 2 * spec.window)
    points = series.metric_points(session, spec, series.around(spec, began), end)
    went_live = series.deployments(session, spec.name, series.around(spec, began), end)
    facts = IncidentFacts(
        id=incident.id,
        at=at,
        model=ModelFacts(
            name=spec.name, task=spec.task, metric=spec.metric, owner=spec.owner, description=spec.description
        ),
        state=incident.state,
        severity=incident.severity,
        title=incident.title,
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        resolution=incident.resolution,
        times=times,
        took=_durations(times, proposals),
        effect=_effect(session, spec, points, times, proposals, at),
        alerts=_alerts(session, incident),
        diagnosis=diagnosis,
        proposals=proposals,
        deployments=went_live,
        timeline=timeline(session, [incident.id, *(p.id for p in proposals)]),
        chart=series.chart(spec, points, _moments(times, went_live)),
    )
    return facts.model_copy(update={"summary": incident_summary(facts), "needs_you": needs_you(facts)})


def _rows(session: Session, incident: Incident) -> Sequence[Proposal]:
    return session.scalars(
        select(Proposal).where(Proposal.incident_id == incident.id).order_by(Proposal.created_at, Proposal.id)
    ).all()


def _alerts(session: Session, incident: Incident) -> list[AlertFacts]:
    rows = session.scalars(select(Alert).where(Alert.incident_id == incident.id).order_by(Alert.first_seen, Alert.id))
    return [AlertFacts.model_validate({name: getattr(row, name) for name in AlertFacts.model_fields}) for row in rows]


def _diagnosis(session: Session, incident: Incident) -> DiagnosisFacts | None:
    """The diagnosis that was acted on, else the latest."""
    rows = session.scalars(select(Diagnosis).where(Diagnosis.incident_id == incident.id).order_by(Diagnosis.at)).all()
    if not rows:
        return None
    acted_on = session.scalars(
        select(Proposal.diagnosis_id)
        .join(Verification, Verification.proposal_id == Proposal.id)
        .where(Proposal.incident_id == incident.id, Proposal.diagnosis_id.is_not(None))
        .order_by(Proposal.created_at)
    ).all()
    row = next((r for r in rows if acted_on and r.id == acted_on[-1]), rows[-1])
    document = row.document
    action: Mapping[str, Any] = document.get("action") or {}
    return DiagnosisFacts(
        id=row.id,
        at=row.at,
        window_start=row.window_start,
        window_end=row.window_end,
        verdict=row.verdict,
        causes=[_cause(entry) for entry in document.get("causes", [])],
        action=str(action.get("kind", row.action)),
        why=str(action.get("why", "")),
        escalated=bool(action.get("escalate", False)),
        evidence=[_evidence(entry) for entry in document.get("evidence", [])],
        ruled_out=[RuledOut.model_validate(entry) for entry in document.get("ruled_out", [])],
        not_checked=[RuledOut.model_validate(entry) for entry in document.get("not_checked", [])],
        made=len(rows),
        seconds=figure(row.seconds) or 0.0,
    )


def _cause(entry: Mapping[str, Any]) -> CauseFacts:
    name = str(entry["cause"])
    meaning = MEANING[Cause(name)] if name in set(Cause) else ""
    return CauseFacts.model_validate({**entry, "meaning": meaning, "percent": percent(entry.get("probability") or 0.0)})


def _evidence(entry: Mapping[str, Any]) -> Evidence:
    low, high = entry.get("interval") or (None, None)
    return Evidence.model_validate(
        {**entry, "value": figure(entry.get("value")), "low": figure(low), "high": figure(high)}
    )


def _proposal(session: Session, row: Proposal) -> ProposalFacts:
    character = CHARACTER[ActionKind(row.kind)]
    decisions = session.scalars(
        select(Approval).where(Approval.proposal_id == row.id).order_by(Approval.at, Approval.id)
    )
    verification = session.get(Verification, row.id)
    return ProposalFacts(
        id=row.id,
        kind=row.kind,
        what=in_order_to(row.action),
        parameters={key: value for key, value in row.action.items() if key not in ("kind", "model")},
        digest=row.digest,
        risk=row.risk,
        changes_model=character.changes_model,
        undo=character.undo,
        reach=character.blast_radius,
        why=row.why,
        requested_by=row.requested_by,
        state=row.state,
        reason=row.reason,
        created_at=row.created_at,
        approve_by=row.approve_by,
        approved_at=row.approved_at,
        execute_by=row.execute_by,
        ended_at=row.ended_at,
        trial=_trial(row.trial),
        decisions=[
            Decision(person=d.person, decision=d.decision, reason=d.reason, at=d.at, digest=d.digest) for d in decisions
        ],
        execution=_execution(session, row.id),
        verification=None if verification is None else _verification(verification),
    )


def _trial(document: Mapping[str, Any] | None) -> TrialFacts | None:
    """A trial as `ml.diagnosis` writes it, or the verification that a rollback was offered on."""
    if not document:
        return None
    metric = document.get("metric")
    low, high = document.get("interval") or (None, None)
    gain, n = figure(document.get("gain")), document.get("n")
    if isinstance(metric, Mapping):
        before, after, name = metric.get("before"), metric.get("after"), str(metric.get("name", ""))
    else:
        before, after, name = document.get("after"), document.get("do_nothing"), str(metric or "")
        gain, low, high = (None if gain is None else -gain, *(None if v is None else -v for v in (high, low)))
    return TrialFacts(
        metric=name,
        before=figure(before),
        after=figure(after),
        gain=gain,
        low=figure(low),
        high=figure(high),
        n=n,
        clear=low is not None and low > 0,
    )


def _execution(session: Session, proposal_id: str) -> ExecutionFacts | None:
    row = session.scalar(select(Execution).where(Execution.proposal_id == proposal_id))
    if row is None:
        return None
    steps = session.scalars(
        select(ExecutionStep).where(ExecutionStep.execution_id == row.id).order_by(ExecutionStep.position)
    )
    return ExecutionFacts(
        id=row.id,
        state=row.state,
        worker=row.worker,
        took=_span(row.seconds),
        error=row.error,
        steps=[
            Step(
                name=step.name,
                state=step.state,
                seconds=figure((step.done_at - step.intended_at).total_seconds()) if step.done_at else None,
                result=_rounded(step.result),
            )
            for step in steps
        ],
    )


def _verification(row: Verification) -> VerificationFacts:
    return VerificationFacts(
        started_at=row.started_at,
        due_at=row.due_at,
        verdict=row.verdict,
        decided_at=row.decided_at,
        statement=str(row.document.get("statement", "")),
        document=_rounded(row.document),
    )


def _rounded(value: Any) -> Any:
    """Plain data with its numbers rounded as they are shown."""
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def _milestones(
    session: Session, incident: Incident, diagnosis: DiagnosisFacts | None, proposals: Sequence[ProposalFacts]
) -> Milestones:
    first = session.scalar(
        select(Diagnosis.at).where(Diagnosis.incident_id == incident.id).order_by(Diagnosis.at).limit(1)
    )
    carried_out = [p for p in proposals if p.verification is not None]
    told = (carried_out or list(proposals))[-1:]
    proposal = told[0] if told else None
    verification = proposal.verification if proposal else None
    decided = proposal.approved_at or max((d.at for d in proposal.decisions), default=None) if proposal else None
    return Milestones(
        onset=diagnosis.causes[0].onset if diagnosis and diagnosis.causes else None,
        detected=incident.opened_at,
        diagnosed=first,
        proposed=proposal.created_at if proposal else None,
        decided=decided,
        executed=verification.started_at if verification else None,
        recovered=verification.decided_at if verification and verification.verdict == "succeeded" else None,
        closed=incident.resolved_at,
    )


def _span(seconds: float | None) -> Span | None:
    return None if seconds is None else Span(seconds=figure(seconds) or 0.0, text=length(seconds))


def _between(start: datetime | None, end: datetime | None) -> Span | None:
    if start is None or end is None or end < start:
        return None
    return Span(seconds=0.0, text="at once") if start == end else _span((end - start).total_seconds())


def _durations(times: Milestones, proposals: Sequence[ProposalFacts]) -> Durations:
    executions = [p.execution for p in proposals if p.execution is not None and p.execution.took is not None]
    return Durations(
        detect=_between(times.onset, times.detected),
        decide=_between(times.proposed, times.decided),
        execute=executions[-1].took if executions else None,
        recover=_between(times.detected, times.recovered),
    )


def _effect(
    session: Session,
    spec: ModelSpec,
    points: Sequence[Point],
    times: Milestones,
    proposals: Sequence[ProposalFacts],
    at: datetime,
) -> Effect | None:
    began = min(t for t in (times.onset, times.detected) if t is not None)
    until = times.executed or times.closed or at
    better = series.direction(spec)
    looked = [p for p in points if p.at is not None and began < p.at <= until]
    judged = [p.id for p in proposals if p.verification is not None and p.verification.verdict]
    # As it was recorded, not as it is shown: an amount made from rounded figures would differ from the month's.
    document: Mapping[str, Any] = session.get_one(Verification, judged[-1]).document if judged else {}
    low, high = document.get("interval") or (None, None)
    effect = Effect(
        name=spec.metric,
        better=better,
        before=series.healthy_before(session, spec, began),
        during=series.worst(looked, better),
        after=figure(document.get("after")),
        do_nothing=figure(document.get("do_nothing")),
        n=document.get("n"),
        gain=figure(document.get("gain")),
        gain_low=figure(low),
        gain_high=figure(high),
        worth=worth_of(spec, document.get("gain"), low, high, document.get("n")),
        at_close=next((p for p in reversed(points) if p.at and p.value is not None and p.at <= times.closed), None)
        if times.closed
        else None,
    )
    nothing = effect.before is None and effect.during is None and effect.after is None
    return None if nothing else effect


def _moments(times: Milestones, went_live: Sequence[Any]) -> list[tuple[str, datetime, str]]:
    """What is marked on the chart. A deployment that is the execution itself is marked once."""
    found = [
        ("onset", times.onset, "it began (by the diagnosis)"),
        ("detected", times.detected, "detected"),
        ("decided", times.decided, "decided"),
        ("recovered", times.recovered, "recovery confirmed"),
    ]
    own = {d.at for d in went_live}
    if times.executed is not None and times.executed not in own:
        found.append(("executed", times.executed, "carried out"))
    marks = [(kind, when, label) for kind, when, label in found if when is not None]
    return marks + [
        ("deployment", d.at, f"version {visible(d.version, 40)} went live ({noun(d.kind)})") for d in went_live
    ]
