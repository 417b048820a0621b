"""Take back what was approved: withdrawn before it starts, ended while it trains, never in the middle of a switch."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, InvalidInput, NotAllowed
from agent.domain.incident import IncidentEvent
from agent.domain.proposal import ProposalEvent, ProposalState
from agent.pipeline.locks import execution_of, locked
from agent.pipeline.services import Services
from agent.store import audit, queries
from agent.store.changes import move_incident, move_proposal
from agent.store.tables import Execution, Incident, Proposal


def cancel(services: Services, session: Session, proposal_id: str, *, person: str, reason: str) -> Proposal:
    """End an approved proposal; whoever is named in approvals.yaml may, as stopping is always the safe side.

    One that runs is ended by its worker within seconds. Raises: NotFound; NotAllowed; InvalidInput without a reason;
    Conflict where there is nothing to end any more, or the version is being switched.
    """
    if not reason.strip():
        raise InvalidInput("A cancellation needs a --reason: it is what the report will say.")
    if person not in services.policy().people:
        raise NotAllowed(f"{person!r} is not among the people of approvals.yaml, so cannot cancel.")
    proposal = locked(session, proposal_id)
    execution, at = execution_of(session, proposal), services.now(session)
    if proposal.state == ProposalState.APPROVED:
        _withdraw(session, proposal, person, reason)
        move_proposal(session, proposal, ProposalEvent.WITHDRAW, at=at, actor=person, reason=reason)
        if proposal.incident_id and (incident := session.get(Incident, proposal.incident_id)):
            why = f"cancelled by {person}: {reason}"
            move_incident(session, incident, IncidentEvent.ABORT, at=at, actor=person, reason=why)
        return proposal
    if proposal.state != ProposalState.EXECUTING or execution is None:
        raise Conflict(f"Proposal {proposal.id} is {proposal.state}; only what is approved or runs can be cancelled.")
    if queries.may_have_switched(session, execution):
        raise Conflict(
            f"Proposal {proposal.id} is switching the version this moment and cannot be stopped; "
            "when it is done, a rollback undoes it."
        )
    if not execution.cancelled:
        execution.cancelled = f"by {person}: {reason}"
        asked = {"reason": reason}
        audit.append(session, at=at, actor=person, event="cancellation asked", subject=proposal.id, data=asked)
    return proposal


def _withdraw(session: Session, proposal: Proposal, person: str, reason: str) -> None:
    session.execute(
        update(Execution)
        .where(Execution.proposal_id == proposal.id, Execution.state == "ready")
        .values(state="superseded", error=f"cancelled by {person}: {reason}")
    )
