"""A decision that came in by a door: idempotent by person, and honest when the world has moved on meanwhile."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import Conflict
from agent.domain.proposal import ProposalState
from agent.pipeline import approve as decisions
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Approval, Proposal


def approve_as(services: Services, proposal_id: str, *, person: str, reason: str, digest: str | None) -> None:
    """Approve, in one transaction; the same person's second approval changes nothing.

    Raises: as `approve`; Conflict also when the approval found the proposal overtaken (that much is recorded).
    """
    with services.store.write() as session:
        row = queries.by_id(session, Proposal, proposal_id)
        if _decided(session, row, person, "approve", digest):
            return
        row = decisions.approve(services, session, row.id, person=person, reason=reason, digest=digest)
    if row.state == ProposalState.SUPERSEDED:
        raise Conflict(f"Proposal {row.id} was overtaken and will not run: {row.reason}.")


def reject_as(services: Services, proposal_id: str, *, person: str, reason: str, digest: str | None) -> None:
    """Reject, in one transaction; the same person's second rejection changes nothing. Raises: as `reject`."""
    with services.store.write() as session:
        row = queries.by_id(session, Proposal, proposal_id)
        if digest is not None and digest != row.digest:
            raise Conflict(f"Proposal {row.id} is not the one you were shown; look at it again before deciding.")
        if not _decided(session, row, person, "reject", digest):
            decisions.reject(services, session, row.id, person=person, reason=reason)


def _decided(session: Session, row: Proposal, person: str, decision: str, digest: str | None) -> bool:
    """Whether this person has decided the same on these bytes before."""
    if digest not in (None, row.digest):
        return False
    said = session.scalar(select(Approval.decision).where(Approval.proposal_id == row.id, Approval.person == person))
    return said == decision
