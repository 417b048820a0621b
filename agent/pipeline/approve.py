"""A person decides. Policy says who may; the decision is bound to the exact bytes that were shown.

The registry is asked before the transaction, never in it; rows are always locked in the same order (execution,
proposal, incident, audit), so that whoever decides at the same moment waits, and then sees the decision.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from agent.domain.deciding import Outcome, approves_itself, may_decide, standing
from agent.domain.errors import Conflict, Expired, InvalidInput, NotAllowed
from agent.domain.incident import IncidentEvent
from agent.domain.policy import BY_POLICY, Policy, folded
from agent.domain.proposal import ProposalEvent, ProposalState
from agent.pipeline.locks import lock_free, locked
from agent.pipeline.propose import champion_of, overtaken_by
from agent.pipeline.release import given_on, request_of, require_intact, seal
from agent.pipeline.services import Services
from agent.store import audit, queries
from agent.store.changes import move_incident, move_proposal
from agent.store.tables import Approval, Execution, Incident, Proposal

UNDECIDED = (ProposalState.PENDING, ProposalState.APPROVED)


def approve(
    services: Services, proposal_id: str, *, person: str, reason: str = "", digest: str | None = None
) -> Proposal:
    """Record one approval; the one that completes the quorum releases the proposal for execution.

    `digest`: what the person was shown, checked when given. Approving twice is the same as once.
    Raises: NotFound, NotAllowed, Expired, Conflict (also when it was overtaken), InvalidInput: what to do next.
    """
    with services.store.read() as session:
        row = queries.by_id(session, Proposal, proposal_id)
        proposal_id, asked = row.id, row.model if row.action.get("expected_version") is not None else None
    champion = champion_of(services, asked) if asked is not None else None
    with services.store.write() as session:
        proposal = locked(session, proposal_id)
        if _said(session, proposal, person, "approve", digest):
            return proposal
        policy, at = services.policy(), services.now(session)
        _require_decidable(policy, session, proposal, person, digest, at)
        rule = policy.rule(request_of(proposal).kind, request_of(proposal).risk)
        if rule.reason and not reason.strip():
            raise InvalidInput(f"Proposal {proposal.id} is of {proposal.risk} risk: an approval must give a --reason.")
        gone = overtaken_by(proposal, champion)
        if gone is None:
            _record(session, policy, proposal, person, "approve", reason, at)
            _release_if_enough(services, policy, session, proposal, person, reason)
        else:
            _end(session, proposal, ProposalEvent.SUPERSEDE, at, "watchkeeper", gone, f"superseded: {gone}")
    if gone is not None:
        raise Conflict(f"Proposal {proposal.id} was overtaken and will not run: {gone}.")
    return proposal


def reject(services: Services, proposal_id: str, *, person: str, reason: str, digest: str | None = None) -> Proposal:
    """Record one rejection; the one that completes the rule's `rejections` ends the proposal, and it never runs.

    Raises: as `approve`, and InvalidInput without a reason.
    """
    if not reason.strip():
        raise InvalidInput("A rejection needs a --reason: it is what the next diagnosis and the report will say.")
    with services.store.write() as session:
        proposal = locked(session, proposal_id)
        if _said(session, proposal, person, "reject", digest):
            return proposal
        policy, at = services.policy(), services.now(session)
        _require_decidable(policy, session, proposal, person, digest, at)
        _record(session, policy, proposal, person, "reject", reason, at)
        if standing(policy, request_of(proposal), given_on(session, proposal)).outcome is Outcome.REJECTED:
            told = f"rejected by {person}: {reason}"
            _end(session, proposal, ProposalEvent.REJECT, at, person, reason, told, by=person)
        return proposal


def withdraw(services: Services, proposal_id: str, *, person: str, reason: str) -> Proposal:
    """Take back a proposal that waits for a decision: who asked for it, or anybody who may decide on it.

    Raises: NotFound, NotAllowed, Conflict once it is decided, InvalidInput without a reason.
    """
    if not reason.strip():
        raise InvalidInput("To withdraw a proposal takes a --reason.")
    with services.store.write() as session:
        proposal = locked(session, proposal_id)
        policy, at = services.policy(), services.now(session)
        answer = may_decide(policy, request_of(proposal), person)
        asked = person in policy.people and folded(person) == folded(proposal.requested_by)
        if not (answer.allowed or asked):
            raise NotAllowed(answer.reason)
        if proposal.state == ProposalState.APPROVED:
            raise Conflict(f"Proposal {proposal.id} is approved already; `watchkeeper cancel {proposal.id}` stops it.")
        told = f"withdrawn by {person}: {reason}"
        _end(session, proposal, ProposalEvent.WITHDRAW, at, person, reason, told, by=person)
        return proposal


def expire(services: Services, session: Session) -> list[Proposal]:
    """End every proposal whose time to be decided, or to be started, has passed."""
    now = services.now(session)
    late = or_(
        and_(Proposal.state == ProposalState.PENDING, Proposal.approve_by <= now),
        and_(Proposal.state == ProposalState.APPROVED, Proposal.execute_by <= now),
    )
    ids = session.scalars(select(Proposal.id).where(late).order_by(Proposal.id)).all()
    overdue = lock_free(session, ids) if ids else []
    overdue = [row for row in overdue if _is_late(row, now)]
    for proposal in overdue:
        pending = proposal.state == ProposalState.PENDING
        by = proposal.approve_by if pending else proposal.execute_by
        why = f"{'nobody decided' if pending else 'nothing executed it'} by {by:%Y-%m-%d %H:%M} UTC"
        _end(session, proposal, ProposalEvent.EXPIRE, now, "clock", why, f"expired: {why}")
    return overdue


def supersede_overtaken(services: Services, model: str) -> list[Proposal]:
    """End those of the model's waiting proposals that were made for another version than the one that answers."""
    with services.store.read() as session:
        live = [row for row in queries.live_proposals(session, model) if row.state in UNDECIDED]
    bound = [row for row in live if row.action.get("expected_version") is not None]
    if not bound:
        return []
    champion = champion_of(services, model)
    gone = [row.id for row in bound if overtaken_by(row, champion)]
    return [proposal for wanted in gone if (proposal := _supersede(services, wanted, champion)) is not None]


def _supersede(services: Services, wanted: str, champion: str) -> Proposal | None:
    with services.store.write() as session:
        proposal = locked(session, wanted)
        gone = overtaken_by(proposal, champion)
        if proposal.state not in UNDECIDED or gone is None:
            return None
        at = services.now(session)
        _end(session, proposal, ProposalEvent.SUPERSEDE, at, "watchkeeper", gone, f"superseded: {gone}")
        return proposal


def auto_approve(services: Services, model: str) -> list[Proposal]:
    """Release those of the model's pending proposals that `auto_approve` of the policy covers: its own decisions."""
    policy = services.policy()
    if policy.auto_approve is None:
        return []
    with services.store.read() as session:
        live = [row for row in queries.live_proposals(session, model) if row.state == ProposalState.PENDING]
    covered = [row.id for row in live if approves_itself(policy, request_of(row))]
    return [proposal for wanted in covered if (proposal := _approve_itself(services, policy, wanted)) is not None]


def _approve_itself(services: Services, policy: Policy, wanted: str) -> Proposal | None:
    assert policy.auto_approve is not None, "asked only where there is one"
    with services.store.write() as session:
        proposal, at = locked(session, wanted), services.now(session)
        if proposal.state != ProposalState.PENDING or at >= proposal.approve_by:
            return None
        require_intact(session, proposal)
        reason = f"auto_approve of approvals.yaml ({policy.digest[:16]}), for which {policy.auto_approve.by} answers"
        _record(session, policy, proposal, BY_POLICY, "approve", reason, at)
        _release_if_enough(services, policy, session, proposal, BY_POLICY, reason)
        return proposal


def _require_decidable(
    policy: Policy, session: Session, proposal: Proposal, person: str, digest: str | None, at: datetime
) -> None:
    answer = may_decide(policy, request_of(proposal), person)
    if not answer.allowed:
        raise NotAllowed(answer.reason)
    if proposal.state != ProposalState.PENDING:
        when = f" ({proposal.reason})" if proposal.reason else ""
        raise Conflict(f"Proposal {proposal.id} is already {proposal.state}{when}; there is nothing left to decide.")
    if at >= proposal.approve_by:
        raise Expired(
            f"Proposal {proposal.id} expired at {proposal.approve_by:%Y-%m-%d %H:%M} UTC; "
            "the next watch proposes again if it is still needed."
        )
    require_intact(session, proposal)
    if digest is not None and digest != proposal.digest:
        raise Conflict(f"Proposal {proposal.id} is not the one you were shown; look at it again before deciding.")


def _release_if_enough(
    services: Services, policy: Policy, session: Session, proposal: Proposal, person: str, reason: str
) -> None:
    """Hand a proposal to the executor once its quorum is complete; the audit seals what was approved, and by whom."""
    decided = standing(policy, request_of(proposal), given_on(session, proposal))
    if decided.outcome is not Outcome.APPROVED:
        return
    at = services.now(session)
    proposal.approved_at, proposal.execute_by = at, at + policy.execution_expiry
    session.flush()
    sealed = {
        "seal": seal(session, proposal, approved=True),
        "counted": list(decided.counted),
        "policy": policy.digest,
        "execute_by": proposal.execute_by.isoformat(),
    }
    move_proposal(session, proposal, ProposalEvent.APPROVE, at=at, actor=person, reason=reason, data=sealed)
    session.add(Execution(proposal_id=proposal.id, model=proposal.model, created_at=services.wall()))
    if incident := _incident(session, proposal):
        move_incident(session, incident, IncidentEvent.APPROVE, at=at, actor=person, reason=reason)
    session.flush()


def _end(
    session: Session,
    proposal: Proposal,
    event: ProposalEvent,
    at: datetime,
    actor: str,
    reason: str,
    told: str,
    by: str = "watchkeeper",
) -> None:
    """End a proposal that has not started, with its execution and what its incident waited for."""
    move_proposal(session, proposal, event, at=at, actor=actor, reason=reason)
    session.execute(
        update(Execution)
        .where(Execution.proposal_id == proposal.id, Execution.state == "ready")
        .values(state="superseded", error=reason)
    )
    if incident := _incident(session, proposal):
        move_incident(session, incident, IncidentEvent.DECLINE, at=at, actor=by, reason=told)
    session.flush()


def _record(
    session: Session, policy: Policy, proposal: Proposal, person: str, decision: str, reason: str, at: datetime
) -> None:
    known = session.scalar(select(Approval).where(Approval.proposal_id == proposal.id, Approval.person == person))
    if known is None:
        known = Approval(proposal_id=proposal.id, person=person)
        session.add(known)
    # Somebody who approved may think better of it before the quorum: the row has the last word, the audit has both.
    known.decision, known.digest, known.reason, known.at = decision, proposal.digest, reason, at
    data = {"digest": proposal.digest, "reason": reason, "policy": policy.digest}
    audit.append(session, at=at, actor=person, event=f"decision {decision}", subject=proposal.id, data=data)


def _said(session: Session, proposal: Proposal, person: str, decision: str, digest: str | None) -> bool:
    """Whether this person has decided the same on these bytes before."""
    if digest not in (None, proposal.digest):
        return False
    said = session.scalar(
        select(Approval.decision).where(Approval.proposal_id == proposal.id, Approval.person == person)
    )
    return said == decision


def _is_late(proposal: Proposal, now: datetime) -> bool:
    if proposal.state == ProposalState.PENDING:
        return proposal.approve_by <= now
    return proposal.state == ProposalState.APPROVED and proposal.execute_by is not None and proposal.execute_by <= now


def _incident(session: Session, proposal: Proposal) -> Incident | None:
    return session.get(Incident, proposal.incident_id) if proposal.incident_id else None
