"""A person decides. Policy says who may; the decision is bound to the exact bytes that were shown."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from agent.domain import policy as policies
from agent.domain.errors import Conflict, Expired, InvalidInput, NotAllowed
from agent.domain.incident import IncidentEvent
from agent.domain.policy import Request
from agent.domain.proposal import ProposalEvent, ProposalState
from agent.pipeline.propose import supersede_if_changed
from agent.pipeline.services import Services
from agent.store import audit, queries
from agent.store.changes import move_incident, move_proposal
from agent.store.tables import Approval, Execution, Incident, Proposal
from tools import actions
from tools.actions import ActionKind, Risk


def request_of(proposal: Proposal) -> Request:
    """A proposal as policy sees it; the risk is looked up again, not believed."""
    kind = ActionKind(proposal.kind)
    return Request(proposal.model, kind, Risk(actions.CHARACTER[kind].risk), proposal.requested_by)


def require_intact(proposal: Proposal) -> None:
    """Raises: Conflict when the stored action is not the one whose digest was shown, or its row says otherwise."""
    try:
        action = actions.parse_action(proposal.action)
        intact = (actions.digest(action), action.kind, action.model) == (
            proposal.digest, proposal.kind, proposal.model,
        )  # fmt: skip
    except ValidationError:
        intact = False
    if not intact:
        raise Conflict(f"Proposal {proposal.id} was changed after it was made; it will never run. Ask for a new one.")


def approve(
    services: Services, session: Session, proposal_id: str, *, person: str, reason: str = "", digest: str | None = None
) -> Proposal:
    """Record one approval; the one that completes the quorum releases the proposal for execution.

    `digest`: what the person was shown, checked when given. Approving twice is the same as once.
    Raises: NotFound, NotAllowed, Expired, Conflict, InvalidInput, each saying what to do next.
    """
    proposal = _pending(services, session, proposal_id, person, digest)
    policy, at = services.policy(), services.now(session)
    rule = policy.rule(ActionKind(proposal.kind), request_of(proposal).risk)
    if rule.reason and not reason.strip():
        raise InvalidInput(f"Proposal {proposal.id} is of {proposal.risk} risk: an approval must give a --reason.")
    if gone := supersede_if_changed(services, session, proposal):
        move_proposal(session, proposal, ProposalEvent.SUPERSEDE, at=at, actor="watchkeeper", reason=gone)
        _decline(session, proposal, at, f"superseded: {gone}")
        return proposal
    _record(session, proposal, person, "approve", reason, at)
    approvers = session.scalars(
        select(Approval.person).where(
            Approval.proposal_id == proposal.id, Approval.decision == "approve", Approval.digest == proposal.digest
        )
    ).all()
    if policies.has_quorum(policy, request_of(proposal), approvers):
        move_proposal(session, proposal, ProposalEvent.APPROVE, at=at, actor=person, reason=reason)
        proposal.approved_at, proposal.execute_by = at, at + policy.execution_expiry
        session.add(Execution(proposal_id=proposal.id, created_at=services.wall()))
        if incident := _incident(session, proposal):
            move_incident(session, incident, IncidentEvent.APPROVE, at=at, actor=person, reason=reason)
    session.flush()
    return proposal


def reject(services: Services, session: Session, proposal_id: str, *, person: str, reason: str) -> Proposal:
    """Turn a proposal down; it never runs. Raises: as `approve`, and InvalidInput without a reason."""
    if not reason.strip():
        raise InvalidInput("A rejection needs a --reason: it is what the next diagnosis and the report will say.")
    proposal = _pending(services, session, proposal_id, person, None)
    at = services.now(session)
    _record(session, proposal, person, "reject", reason, at)
    move_proposal(session, proposal, ProposalEvent.REJECT, at=at, actor=person, reason=reason)
    _decline(session, proposal, at, f"rejected by {person}: {reason}", actor=person)
    return proposal


def expire(services: Services, session: Session) -> list[Proposal]:
    """End every proposal whose time to be decided, or to be started, has passed."""
    now = services.now(session)
    overdue = session.scalars(
        select(Proposal)
        .where(
            ((Proposal.state == ProposalState.PENDING) & (Proposal.approve_by <= now))
            | ((Proposal.state == ProposalState.APPROVED) & (Proposal.execute_by <= now))
        )
        .with_for_update(skip_locked=True)
    ).all()
    for proposal in overdue:
        _expire_one(session, proposal, now)
    return list(overdue)


def _expire_one(session: Session, proposal: Proposal, now: datetime) -> None:
    what = "nobody decided" if proposal.state == ProposalState.PENDING else "nothing executed it"
    by = proposal.approve_by if proposal.state == ProposalState.PENDING else proposal.execute_by
    why = f"{what} by {by:%Y-%m-%d %H:%M} UTC"
    move_proposal(session, proposal, ProposalEvent.EXPIRE, at=now, actor="clock", reason=why)
    session.execute(
        update(Execution)
        .where(Execution.proposal_id == proposal.id, Execution.state == "ready")
        .values(state="superseded", error=why)
    )
    _decline(session, proposal, now, f"expired: {why}")


def _pending(services: Services, session: Session, proposal_id: str, person: str, digest: str | None) -> Proposal:
    proposal = queries.by_id(session, Proposal, proposal_id)
    session.refresh(
        proposal, with_for_update=True
    )  # whoever clicks at the same moment waits, and then sees this decision
    answer = policies.may_decide(services.policy(), request_of(proposal), person)
    if not answer.allowed:
        raise NotAllowed(answer.reason)
    if proposal.state != ProposalState.PENDING:
        when = f" ({proposal.reason})" if proposal.reason else ""
        raise Conflict(f"Proposal {proposal.id} is already {proposal.state}{when}; there is nothing left to decide.")
    if services.now(session) >= proposal.approve_by:
        raise Expired(
            f"Proposal {proposal.id} expired at {proposal.approve_by:%Y-%m-%d %H:%M} UTC; "
            "the next watch proposes again if it is still needed."
        )
    require_intact(proposal)
    if digest is not None and digest != proposal.digest:
        raise Conflict(f"Proposal {proposal.id} is not the one you were shown; look at it again before deciding.")
    return proposal


def _record(session: Session, proposal: Proposal, person: str, decision: str, reason: str, at: datetime) -> None:
    known = session.scalar(select(Approval).where(Approval.proposal_id == proposal.id, Approval.person == person))
    if known is not None and known.decision == decision:
        return
    if known is None:
        known = Approval(proposal_id=proposal.id, person=person)
        session.add(known)
    # Somebody who approved may think better of it before the quorum: the row has the last word, the audit has both.
    known.decision, known.digest, known.reason, known.at = decision, proposal.digest, reason, at
    audit.append(
        session,
        at=at,
        actor=person,
        event=f"decision {decision}",
        subject=proposal.id,
        data={"digest": proposal.digest, "reason": reason},
    )


def _incident(session: Session, proposal: Proposal) -> Incident | None:
    return session.get(Incident, proposal.incident_id) if proposal.incident_id else None


def _decline(session: Session, proposal: Proposal, at: datetime, reason: str, actor: str = "watchkeeper") -> None:
    if incident := _incident(session, proposal):
        move_incident(session, incident, IncidentEvent.DECLINE, at=at, actor=actor, reason=reason)
