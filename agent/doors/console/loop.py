"""The loop at a glance: every model, the queue, and what happened lately. Only the database is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentState
from agent.doors.console.charts import Mark, Point, Span, sparkline
from agent.doors.console.page import Bar, read_bar
from agent.doors.console.stories import read_stories
from agent.doors.console.strip import Step, Story, steps
from agent.pipeline.card import Card, make_card
from agent.pipeline.propose import waiting
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Approval, Diagnosis, Incident, MeasurementRow, MonitorRun, Proposal
from ml.results import Status
from ml.spec import ModelSpec

LOOKS = 60
RECENT = 12


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model. mood: good | attention | waiting | acting | stale | new."""

    spec: ModelSpec
    mood: str
    says: str
    champion: str | None
    since: datetime | None
    latest: Point | None
    no_data: str
    chart: Markup
    run: MonitorRun | None
    age: timedelta | None
    incident: Incident | None
    waits: Proposal | None


@dataclass(frozen=True, slots=True)
class Loop:
    bar: Bar
    models: list[ModelCard]
    queue: list[Card]
    stories: list[tuple[Story, list[Step]]]
    last_look: datetime | None
    open: int = 0
    escalated: list[Story] = field(default_factory=list)


def read_loop(services: Services, session: Session) -> Loop:
    """The whole page."""
    bar = read_bar(services, session)
    models = [_model(session, spec, bar.now, bar.replayed) for spec in queries.specs(session).values()]
    policy = services.policy()
    queue = [_card(session, policy, proposal) for proposal in waiting(session)]
    recent = session.scalars(select(Incident).order_by(Incident.opened_at.desc(), Incident.id).limit(RECENT)).all()
    stories = read_stories(session, recent)
    looks = [model.run.window_end for model in models if model.run]
    return Loop(
        bar=bar,
        models=models,
        queue=queue,
        stories=[(story, steps(story)) for story in stories],
        last_look=max(looks, default=None),
        open=sum(model.incident is not None for model in models),
    )


def _card(session: Session, policy: object, proposal: Proposal) -> Card:
    diagnosis = session.get(Diagnosis, proposal.diagnosis_id) if proposal.diagnosis_id else None
    approvals = session.scalars(select(Approval).where(Approval.proposal_id == proposal.id).order_by(Approval.at)).all()
    return make_card(policy, proposal, diagnosis, list(approvals))  # type: ignore[arg-type]


def _model(session: Session, spec: ModelSpec, now: datetime, replayed: bool) -> ModelCard:
    run, incident = queries.latest_run(session, spec.name), queries.unresolved_incident(session, spec.name)
    live, ledger = queries.live_proposal(session, spec.name), queries.deployments(session, spec.name)
    points, no_data = _points(session, spec)
    incidents = session.scalars(select(Incident).where(Incident.model == spec.name)).all()
    age = now - run.window_end if run else None
    known = [point for point in points if point.value is not None]
    mood, says = _mood(spec, run, None if replayed else age, incident, live)
    return ModelCard(
        spec=spec,
        mood=mood,
        says=says,
        champion=ledger[-1]["version"] if ledger else (run.champion if run else None),
        since=ledger[-1]["timestamp"] if ledger else None,
        latest=known[-1] if known else None,
        no_data=no_data,
        chart=sparkline(
            spec.metric,
            points,
            [Mark(entry["timestamp"], f"version {entry['version']} ({entry['kind']})") for entry in ledger],
            [Span(row.opened_at, row.resolved_at) for row in incidents],
        ),
        run=run,
        age=age,
        incident=incident,
        waits=live,
    )


def _points(session: Session, spec: ModelSpec) -> tuple[list[Point], str]:
    """The headline metric of the last looks, oldest first; and why the newest has none, where it has none."""
    rows = session.scalars(
        select(MeasurementRow)
        .where(
            MeasurementRow.model == spec.name,
            MeasurementRow.monitor == f"performance.{spec.metric}",
            MeasurementRow.feature.is_(None),
            MeasurementRow.segment.is_(None),
        )
        .order_by(MeasurementRow.window_end.desc(), MeasurementRow.id.desc())
        .limit(LOOKS)
    ).all()
    points = [
        Point(row.window_end, row.value, row.low, row.high, row.status == Status.BREACH) for row in reversed(rows)
    ]
    return points, rows[0].detail if rows and rows[0].value is None else ""


def _mood(
    spec: ModelSpec, run: MonitorRun | None, age: timedelta | None, incident: Incident | None, live: Proposal | None
) -> tuple[str, str]:
    """`age` is None where the clock is replayed: it jumps between the years of different stories."""
    if live is not None and live.state == "pending":
        return "waiting", "waits for a decision"
    if incident is not None:
        if incident.state == IncidentState.ACTING:
            return "acting", "an action is being carried out"
        if incident.state == IncidentState.VERIFYING:
            return "acting", "watching whether it helped"
        return "attention", f"incident {incident.state}"
    if run is None:
        return "new", "not looked at yet"
    if age is not None and age > 3 * spec.every + timedelta(minutes=5):
        return "stale", "not looked at for a while"
    return "good", "quiet"
