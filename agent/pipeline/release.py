"""May an approved action start, now? And is it still, in every field, what was approved?

The audit keeps a seal (a hash) of what was proposed and, with each approval that completes a quorum, of what was
approved and by whom. A row that no longer fits its seal never runs. Who wants to change both must rewrite the audit.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.deciding import Circumstances, Given, Request, Standing, Start, may_start, standing
from agent.domain.errors import Conflict
from agent.pipeline.freeze import kill_switch
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import Approval, AuditEvent, Proposal
from tools import actions
from tools.actions import CHARACTER, ActionKind, Risk, canonical_json

PROPOSED = (
    *("id", "model", "incident_id", "diagnosis_id", "kind", "action", "digest", "risk", "why", "trial"),
    *("requested_by", "created_at", "approve_by"),
)
APPROVED = (*PROPOSED, "approved_at", "execute_by")
DECIDED = ("id", "proposal_id", "person", "decision", "digest", "reason", "at")


def request_of(proposal: Proposal) -> Request:
    """A proposal as policy sees it; the risk is looked up again, not believed."""
    kind = ActionKind(proposal.kind)
    return Request(proposal.model, kind, Risk(CHARACTER[kind].risk), proposal.requested_by)


def given_on(session: Session, proposal: Proposal) -> list[Given]:
    """Every decision on the bytes of a proposal, in order."""
    return [
        Given(row.person, row.decision, row.reason)
        for row in _approvals(session, proposal)
        if row.digest == proposal.digest
    ]


def standing_of(services: Services, session: Session, proposal: Proposal) -> Standing:
    """How far the decision on a proposal has come, by the policy as it is now."""
    return standing(services.policy(), request_of(proposal), given_on(session, proposal))


def start_of(services: Services, session: Session, proposal: Proposal) -> Start:
    """Whether an approved proposal may start now: approvals, expiry, kill switch, freezes, hourly bound, cooldown."""
    others = session.execute(
        select(Proposal.started_at, Proposal.kind)
        .where(Proposal.model == proposal.model, Proposal.id != proposal.id, Proposal.started_at.is_not(None))
        .order_by(Proposal.started_at.desc())
        .limit(1000)
    ).all()
    starts = [(at, ActionKind(kind)) for at, kind in others if at is not None]
    # What changes no model needs no cooldown, and gives none: only between two changes must the first be judged.
    changes = [
        one for one in starts if CHARACTER[one[1]].changes_model and CHARACTER[ActionKind(proposal.kind)].changes_model
    ]
    facts = Circumstances(
        now=services.now(session),
        execute_by=proposal.execute_by,
        frozen=kill_switch(session),
        starts=[at for at, _ in starts],
        last=changes[0] if changes else None,
    )
    return may_start(services.policy(), request_of(proposal), given_on(session, proposal), facts)


def seal(session: Session, proposal: Proposal, *, approved: bool = False) -> str:
    """SHA-256 over what was proposed, or over what was approved and by whom; of the rows as the database gives them."""
    content: dict[str, Any] = {"proposal": _plain(proposal, APPROVED if approved else PROPOSED)}
    if approved:
        content["decisions"] = [_plain(row, DECIDED) for row in _approvals(session, proposal)]
    return hashlib.sha256(canonical_json(content)).hexdigest()


def require_intact(session: Session, proposal: Proposal) -> None:
    """Raises: Conflict when a proposal is not, in every field, the one that was put in the queue."""
    try:
        action = actions.parse_action(proposal.action)
        intact = (actions.digest(action), action.kind, action.model) == (
            proposal.digest, proposal.kind, proposal.model,
        )  # fmt: skip
    except (ValidationError, TypeError, ValueError):
        intact = False
    if not intact or not _sealed(session, proposal, "proposal pending", seal(session, proposal)):
        raise Conflict(f"Proposal {proposal.id} was changed after it was made; it will never run. Ask for a new one.")


def require_released(session: Session, proposal: Proposal) -> None:
    """Raises: Conflict when a proposal, or a decision on it, is not what it was when the quorum was complete."""
    require_intact(session, proposal)
    if not _sealed(session, proposal, "proposal approved", seal(session, proposal, approved=True)):
        raise Conflict(
            f"Proposal {proposal.id} was changed after it was made, or was never approved in this form; "
            "it will never run. Ask for a new one."
        )


def _sealed(session: Session, proposal: Proposal, event: str, found: str) -> bool:
    """Whether the audit's only event of this name about the proposal is genuine and has this seal."""
    rows = session.scalars(
        select(AuditEvent).where(AuditEvent.subject == proposal.id, AuditEvent.event == event).limit(2)
    ).all()
    if len(rows) != 1 or not audit.is_genuine(rows[0]):
        return False
    written = rows[0].data
    if event == "proposal pending" and "seal" not in written:  # put in the queue before there were seals
        return bool((written["action"], written["digest"]) == (proposal.action, proposal.digest))
    return bool(written.get("seal") == found)


def _approvals(session: Session, proposal: Proposal) -> list[Approval]:
    query = select(Approval).where(Approval.proposal_id == proposal.id).order_by(Approval.at, Approval.id)
    return list(session.scalars(query))


def _plain(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in names}
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in values.items()}
