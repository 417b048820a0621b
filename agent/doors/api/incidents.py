"""`/alerts` and `/incidents`: what crossed a rule, and what was made of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.doors.access import PrincipalDep, needs, within
from agent.doors.api.audit import AuditOut
from agent.doors.api.inputs import CursorText, Limit, RecordId, ServicesDep, Since, Word
from agent.doors.api.paging import Page, page
from agent.doors.api.proposals import ProposalOut
from agent.doors.idempotency import ApiRoute
from agent.store import queries
from agent.store.tables import Alert, AuditEvent, Incident, Proposal, Report

router = APIRouter(tags=["incidents"], route_class=ApiRoute)


class AlertOut(BaseModel):
    """A rule that was crossed, seen in `looks` looks; firing while `cleared_at` is null."""

    id: str = Field(examples=["a-7k2m9xq4c1"])
    model: str
    incident_id: str
    fingerprint: str
    severity: str = Field(examples=["critical"])
    monitor: str
    feature: str | None
    detail: str
    first_seen: datetime
    last_seen: datetime
    cleared_at: datetime | None
    looks: int


class IncidentOut(BaseModel):
    """The alerts of one model that belong together, from opening to closing."""

    id: str = Field(examples=["i-7k2m9xq4c1"])
    model: str
    state: str = Field(examples=["waiting"])
    severity: str
    title: str
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str


class DiagnosisOut(BaseModel):
    """What was made of it: `document` is that of `watchkeeper diagnose --json`."""

    id: str
    at: datetime
    window_start: datetime
    window_end: datetime
    verdict: str = Field(examples=["incident"])
    cause: str = Field(examples=["bad_deployment"])
    probability: float
    onset: datetime | None
    action: str = Field(examples=["rollback"])
    document: dict[str, Any]
    seconds: float


class IncidentDetail(IncidentOut):
    """An incident with its alerts, latest diagnosis, proposals, and everything that was recorded about it, in order."""

    alerts: list[AlertOut]
    diagnosis: DiagnosisOut | None
    proposals: list[ProposalOut]
    report_id: str | None
    timeline: list[AuditOut]


def timeline_of(session: Session, incident: Incident, proposals: Sequence[Proposal]) -> Sequence[AuditEvent]:
    """Everything the audit has of an incident and its proposals, in order."""
    subjects = [incident.id, *(proposal.id for proposal in proposals)]
    return session.scalars(select(AuditEvent).where(AuditEvent.subject.in_(subjects)).order_by(AuditEvent.seq)).all()


def proposals_of(session: Session, incident: Incident) -> Sequence[Proposal]:
    return session.scalars(
        select(Proposal).where(Proposal.incident_id == incident.id).order_by(Proposal.created_at, Proposal.id)
    ).all()


@router.get("/alerts", dependencies=[needs("viewer")], summary="Alerts, newest first")
def list_alerts(
    services: ServicesDep,
    principal: PrincipalDep,
    model: Annotated[Word | None, Query()] = None,
    firing: Annotated[
        bool | None, Query(description="only those that fire now, or only those that have cleared")
    ] = None,
    since: Since = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[AlertOut]:
    query = select(Alert)
    if model is not None:
        query = query.where(Alert.model == model)
    if firing is not None:
        query = query.where(Alert.cleared_at.is_(None) if firing else Alert.cleared_at.is_not(None))
    if since is not None:
        query = query.where(Alert.last_seen >= since)
    with services.store.read() as session:
        query = query.where(within(principal, session, Alert.model))
        rows, after = page(session, query, (Alert.first_seen, Alert.id), cursor, limit)
        return Page(items=[AlertOut.model_validate(row, from_attributes=True) for row in rows], next=after)


@router.get("/incidents", dependencies=[needs("viewer")], summary="Incidents, newest first")
def list_incidents(
    services: ServicesDep,
    principal: PrincipalDep,
    model: Annotated[Word | None, Query()] = None,
    state: Annotated[Word | None, Query(examples=["waiting"], description="a state, or `unresolved`")] = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[IncidentOut]:
    query = select(Incident)
    if model is not None:
        query = query.where(Incident.model == model)
    if state is not None:
        query = query.where(Incident.state != "resolved" if state == "unresolved" else Incident.state == state)
    with services.store.read() as session:
        query = query.where(within(principal, session, Incident.model))
        rows, after = page(session, query, (Incident.opened_at, Incident.id), cursor, limit)
        return Page(items=[IncidentOut.model_validate(row, from_attributes=True) for row in rows], next=after)


@router.get(
    "/incidents/{id}",
    dependencies=[needs("viewer")],
    summary="One incident, with its diagnosis, proposals and timeline",
)
def show_incident(services: ServicesDep, id: RecordId) -> IncidentDetail:
    with services.store.read() as session:
        row = queries.by_id(session, Incident, id)
        proposals, diagnosis = proposals_of(session, row), queries.latest_diagnosis(session, row.id)
        alerts = session.scalars(select(Alert).where(Alert.incident_id == row.id).order_by(Alert.first_seen, Alert.id))
        return IncidentDetail(
            **IncidentOut.model_validate(row, from_attributes=True).model_dump(),
            alerts=[AlertOut.model_validate(alert, from_attributes=True) for alert in alerts],
            diagnosis=DiagnosisOut.model_validate(diagnosis, from_attributes=True) if diagnosis else None,
            proposals=[ProposalOut.model_validate(proposal, from_attributes=True) for proposal in proposals],
            report_id=session.scalar(select(Report.id).where(Report.incident_id == row.id)),
            timeline=[
                AuditOut.model_validate(event, from_attributes=True) for event in timeline_of(session, row, proposals)
            ],
        )
