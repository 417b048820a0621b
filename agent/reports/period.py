"""The watch over a span of time, for all models or one: what was looked at, what happened, what waits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentState
from agent.domain.proposal import ProposalState
from agent.domain.wording import figure, in_order_to, percent, visible
from agent.reports import measured, series
from agent.reports.at_risk import risks
from agent.reports.judged import Outcome, Worth, how_fast, how_good, outcomes, what_it_cost
from agent.reports.pictured import Point
from agent.reports.shape import ModelFacts
from agent.reports.shape_period import Counts, Happened, PeriodFacts, Waiting, Watched
from agent.reports.summary import period_summary
from agent.reports.talk import talk_facts
from agent.reports.timeline import noun
from agent.store import queries
from agent.store.tables import Alert, Incident, MeasurementRow, MonitorRun, Proposal
from ml.spec import ModelSpec

MOST_LISTED = 8
IN_FULL = 6
"""Models with a section of their own; a report over more says the rest in a table."""


def period_facts(
    session: Session,
    *,
    model: str | None = None,
    start: datetime,
    end: datetime,
    cadence: Literal["", "daily", "weekly", "monthly"] = "",
    only: Sequence[str] | None = None,
) -> PeriodFacts:
    """What the records say about `[start, end]`: all models, the one named, or `only` some. Raises: NotFound."""
    specs = queries.specs(session) if model is None else {model: queries.spec_of(session, model)}
    if only is not None:
        specs = {name: spec for name, spec in specs.items() if name in only}
    every = [_watched(session, spec, start, end) for spec in specs.values()]
    full = {w.model.name for w in sorted(every, key=_urgency)[:IN_FULL] if w.looks or w.incidents or len(every) == 1}
    watched = [_pictured(session, specs[w.model.name], w, start, end, w.model.name in full) for w in every]
    waiting = [w for w in _waiting(session, model, end) if w.model in specs]
    judged, names = outcomes(session, specs, start, end), list(specs)
    talk = talk_facts(session, start, end) if model is None and only is None else None
    spent = {"calls": talk.calls, "tokens": talk.tokens} if talk else {"calls": 0, "tokens": 0}
    control = queries.control(session)
    incidents = [incident for w in watched for incident in w.incidents]
    facts = PeriodFacts(
        at=end,
        start=start,
        end=end,
        model=model,
        models=watched,
        waiting=waiting,
        talk=talk,
        cadence=cadence,
        speed=how_fast(session, names, start, end),
        outcomes=judged,
        judged=len(judged),
        helped=sum(o.verdict == "succeeded" for o in judged),
        worth=_together(judged),
        risks=risks(session, watched, waiting, end),
        quality=how_good(session, names, start, end),
        cost=what_it_cost(session, names, start, end, usd=talk.usd if talk else None, **spent),
        funnel=measured.funnel(session, model, start, end),
        frozen=(control.frozen_reason or "no reason recorded") if control.frozen else None,
        counts=Counts(
            models=len(watched),
            looks=sum(w.looks for w in watched),
            incidents=len(incidents),
            open=sum(i.state != IncidentState.RESOLVED for i in incidents),
            waiting=len(waiting),
            deployments=sum(len(w.deployments) for w in watched),
        ),
    )
    return facts.model_copy(update={"summary": period_summary(facts)})


def _urgency(one: Watched) -> tuple[int, int, str]:
    """Open incidents first, then other incidents, then what is beyond its threshold."""
    still_open = any(i.state != IncidentState.RESOLVED for i in one.incidents)
    bad = one.latest is not None and one.latest.status == "breach"
    return (0 if still_open else 1 if one.incidents else 2 if bad else 3, -len(one.incidents), one.model.name)


def _pictured(
    session: Session, spec: ModelSpec, one: Watched, start: datetime, end: datetime, in_full: bool
) -> Watched:
    if not in_full:
        return one.model_copy(update={"in_full": False, "chart": None})
    return one.model_copy(
        update={
            "drift": measured.drift(session, spec, start, end),
            "slices": measured.slices(session, spec, start, end),
            "versions": measured.versions(session, spec, start, end) if len(one.deployments) else None,
        }
    )


def _together(judged: Sequence[Outcome]) -> list[Worth]:
    """What the actions were worth in all, in each currency; without interval, since rows are not independent."""
    sums: dict[str, float] = {}
    for outcome in judged:
        if outcome.worth is not None:
            sums[outcome.worth.currency] = sums.get(outcome.worth.currency, 0.0) + outcome.worth.amount
    return [Worth(amount=figure(amount) or 0.0, currency=currency) for currency, amount in sorted(sums.items())]


def _watched(session: Session, spec: ModelSpec, start: datetime, end: datetime) -> Watched:
    within = (MonitorRun.model == spec.name, MonitorRun.window_end > start, MonitorRun.window_end <= end)
    looks = session.scalar(select(func.count(MonitorRun.id)).where(*within)) or 0
    last = session.scalar(select(MonitorRun).where(*within).order_by(MonitorRun.window_end.desc()).limit(1))
    blind, why = _blind(session, spec, start, end)
    points = series.metric_points(session, spec, start - spec.label_delay, end)
    known = [p for p in points if p.value is not None]
    incidents = _incidents(session, spec.name, start, end)
    went_live = series.deployments(session, spec.name, start, end)
    open_now = [i for i in incidents if i.state != IncidentState.RESOLVED]
    moments = [("deployment", d.at, f"version {visible(d.version, 40)} went live ({noun(d.kind)})") for d in went_live]
    moments += [("detected", i.opened_at, f"incident {i.id}") for i in incidents if i.opened_at >= start]
    return Watched(
        model=ModelFacts(
            name=spec.name, task=spec.task, metric=spec.metric, owner=spec.owner, description=spec.description
        ),
        better=series.direction(spec),
        looks=looks,
        looks_without_data=blind,
        blind=why,
        last_look=last.window_end if last else None,
        rows=last.rows if last else None,
        champion=last.champion if last else None,
        latest=known[-1] if known else None,
        first=known[0] if known else None,
        firing=_firing(session, spec.name, end),
        state=open_now[-1].state if open_now else _state(looks, points),
        incidents=incidents,
        happened=len(incidents),
        not_listed=max(len(incidents) - MOST_LISTED, 0),
        deployments=went_live,
        chart=series.chart(spec, points, moments),
    )


def _blind(session: Session, spec: ModelSpec, start: datetime, end: datetime) -> tuple[int, str]:
    """How many looks could not measure the metric, and what the last of them said of it."""
    row = MeasurementRow
    where = (
        row.model == spec.name, row.monitor == f"performance.{spec.metric}", row.status == "no_data",
        row.feature.is_(None), row.segment.is_(None), row.window_end > start, row.window_end <= end,
    )  # fmt: skip
    said = session.scalars(select(row.detail).where(*where).order_by(row.window_end, row.id)).all()
    return len(said), said[-1] if said else ""


def _state(looks: int, points: Sequence[Point]) -> str:
    """How a model without an open incident stands: by its latest value, never `ok` without one."""
    if not looks:
        return "not looked at"
    return points[-1].status.replace("_", " ") if points else "no data"


def _firing(session: Session, model: str, end: datetime) -> int:
    query = select(func.count(Alert.id)).where(
        Alert.model == model, Alert.first_seen <= end, or_(Alert.cleared_at.is_(None), Alert.cleared_at > end)
    )
    return session.scalar(query) or 0


def _incidents(session: Session, model: str, start: datetime, end: datetime) -> list[Happened]:
    rows: Sequence[Incident] = session.scalars(
        select(Incident)
        .where(
            Incident.model == model,
            Incident.opened_at <= end,
            or_(Incident.resolved_at.is_(None), Incident.resolved_at > start),
        )
        .order_by(Incident.opened_at, Incident.id)
    ).all()
    return [_happened(session, row) for row in rows]


def _happened(session: Session, row: Incident) -> Happened:
    diagnosis = queries.latest_diagnosis(session, row.id)
    proposal = session.scalar(
        select(Proposal).where(Proposal.incident_id == row.id).order_by(Proposal.created_at.desc()).limit(1)
    )
    return Happened(
        id=row.id,
        model=row.model,
        state=row.state,
        severity=row.severity,
        title=row.title,
        opened_at=row.opened_at,
        resolved_at=row.resolved_at,
        cause=diagnosis.cause if diagnosis else None,
        percent=percent(diagnosis.probability) if diagnosis else None,
        action=proposal.kind if proposal else (diagnosis.action if diagnosis else None),
        proposal_state=proposal.state if proposal else None,
        resolution=row.resolution,
    )


def _waiting(session: Session, model: str | None, end: datetime) -> list[Waiting]:
    query = select(Proposal).where(Proposal.state == ProposalState.PENDING, Proposal.created_at <= end)
    if model is not None:
        query = query.where(Proposal.model == model)
    return [
        Waiting(
            id=p.id,
            model=p.model,
            what=in_order_to(p.action),
            risk=p.risk,
            why=p.why,
            incident_id=p.incident_id,
            created_at=p.created_at,
            approve_by=p.approve_by,
        )
        for p in session.scalars(query.order_by(Proposal.approve_by, Proposal.id))
    ]
