"""Every change of state goes through here: the table says whether, the audit says that, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from agent.domain import incident as incidents
from agent.domain import proposal as proposals
from agent.domain.incident import IncidentEvent, IncidentState
from agent.domain.proposal import ProposalEvent, ProposalState
from agent.domain.states import next_state
from agent.store import audit
from agent.store.tables import Incident, Outbox, Proposal


def move_proposal(
    session: Session,
    row: Proposal,
    event: ProposalEvent,
    *,
    at: datetime,
    actor: str,
    reason: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Apply an event to a proposal, and record it. Raises: IllegalTransition."""
    before = ProposalState(row.state)
    after = next_state(proposals.TRANSITIONS, before, event, f"Proposal {row.id}")
    row.state = after
    if after in proposals.ENDED:
        row.ended_at = at
    if reason:
        row.reason = reason
    detail = {"from": before, "to": after, "digest": row.digest, "reason": reason, **(data or {})}
    audit.append(session, at=at, actor=actor, event=f"proposal {after}", subject=row.id, data=detail)


def move_incident(
    session: Session, row: Incident, event: IncidentEvent, *, at: datetime, actor: str, reason: str = ""
) -> None:
    """Apply an event to an incident, and record it. Raises: IllegalTransition."""
    before = IncidentState(row.state)
    after = next_state(incidents.TRANSITIONS, before, event, f"Incident {row.id}")
    row.state = after
    if after is IncidentState.RESOLVED:
        row.resolved_at, row.resolution = at, reason
    audit.append(
        session,
        at=at,
        actor=actor,
        event=f"incident {after}",
        subject=row.id,
        data={"from": before, "to": after, "reason": reason},
    )


def promise(
    session: Session,
    *,
    key: str,
    recipient: str,
    title: str,
    body: str,
    subject: str,
    at: datetime,
    kind: str = "",
    model: str = "",
    severity: str = "",
    document: Mapping[str, Any] | None = None,
    files: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Put an event in the outbox, in the transaction of what it tells; a key that is there already is left alone.

    kind: what routes and preferences go by; default: the key up to its first colon. model, severity, and the incident
    that it belongs to: default: those of the subject, read when it is routed. document: plain JSON for composers.
    files: what is rendered and attached when it is sent (`{"report": id, "format": "pdf"}`).
    """
    if session.query(Outbox.id).filter(Outbox.key == key).first() is not None:
        return
    session.add(
        Outbox(
            key=key,
            recipient=recipient,
            title=title,
            body=body,
            subject=subject,
            created_at=at,
            kind=kind or key.partition(":")[0],
            model=model,
            severity=severity,
            document=dict(document or {}),
            files=[dict(file) for file in files],
        )
    )
