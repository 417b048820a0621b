"""What the cards say, read from the records as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.domain.deciding import Standing
from agent.domain.proposal import ProposalState
from agent.pipeline.card import Card, make_card
from agent.pipeline.freeze import held_back
from agent.pipeline.release import standing_of
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Alert, Approval, Diagnosis, Execution, Incident, Proposal, Verification

MOST_ALERTS = 5


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """One proposal with all that its card says. `held`: why an approved action does not start now."""

    card: Card
    standing: Standing
    execution: Execution | None
    verification: Verification | None
    held: str
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IncidentView:
    """One incident with all that its card says; `alerts` are the first few of `count`."""

    incident: Incident
    alerts: Sequence[Alert]
    count: int
    firing: int
    diagnosis: Diagnosis | None
    proposals: Sequence[Proposal]
    waiting: ApprovalView | None
    verification: Verification | None


def read_approval(services: Services, session: Session, proposal: Proposal) -> ApprovalView:
    diagnosis = session.get(Diagnosis, proposal.diagnosis_id) if proposal.diagnosis_id else None
    approvals = session.scalars(
        select(Approval).where(Approval.proposal_id == proposal.id).order_by(Approval.at, Approval.id)
    ).all()
    waits = proposal.state in (ProposalState.PENDING, ProposalState.APPROVED, ProposalState.EXECUTING)
    return ApprovalView(
        card=make_card(services.policy(), proposal, diagnosis, list(approvals)),
        standing=standing_of(services, session, proposal),
        execution=session.scalar(select(Execution).where(Execution.proposal_id == proposal.id)),
        verification=session.get(Verification, proposal.id),
        held=held_back(services, session) if waits else "",
        features=tuple(str(name) for name in proposal.action.get("features", ())),
    )


def read_incident(services: Services, session: Session, incident: Incident) -> IncidentView:
    alerts = select(Alert).where(Alert.incident_id == incident.id)
    counted = select(func.count(Alert.id), func.count(Alert.cleared_at)).where(Alert.incident_id == incident.id)
    count, cleared = session.execute(counted).one()
    proposals = session.scalars(
        select(Proposal).where(Proposal.incident_id == incident.id).order_by(Proposal.created_at, Proposal.id)
    ).all()
    pending = next((row for row in proposals if row.state == ProposalState.PENDING), None)
    latest = proposals[-1] if proposals else None
    return IncidentView(
        incident=incident,
        alerts=session.scalars(alerts.order_by(Alert.first_seen, Alert.id).limit(MOST_ALERTS)).all(),
        count=count,
        firing=count - cleared,
        diagnosis=queries.latest_diagnosis(session, incident.id),
        proposals=proposals,
        waiting=read_approval(services, session, pending) if pending is not None else None,
        verification=session.get(Verification, latest.id) if latest is not None else None,
    )
