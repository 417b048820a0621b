"""Whose turn is it? Which executions of which models may start, be taken over, or go on now."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.deciding import When
from agent.domain.errors import Conflict
from agent.domain.proposal import ProposalState
from agent.pipeline.freeze import held_back
from agent.pipeline.release import require_released, start_of
from agent.pipeline.services import Services
from agent.store import audit, queries
from agent.store.tables import Execution, Model, Proposal
from tools.actions import CHARACTER, ActionKind


def may_go_on(services: Services, session: Session, row: Execution) -> bool:
    """Whether policy and kill switch let an execution start, or be taken over, now.

    One that may have switched a version already is taken over in any case: what it did must be recorded.
    """
    held = bool(held_back(services, session, hold=True))
    if row.state == "running":
        return queries.may_have_switched(session, row) or not held
    if row.state == "waiting":  # frozen or not: what its version does is watched, and ended where it harms
        return _is_its_turn(session, row)
    if held:
        return False
    proposal = session.get_one(Proposal, row.proposal_id)
    if proposal.state != ProposalState.APPROVED:
        row.state, row.error = "superseded", f"its proposal is {proposal.state}, not approved"
        at = services.now(session)
        audit.append(
            session, at=at, actor="executor", event="execution dropped", subject=proposal.id, data={"why": row.error}
        )
        return False
    try:
        require_released(session, proposal)
    except Conflict:
        return True  # run finds the same, and ends it
    return start_of(services, session, proposal).when is not When.LATER and _is_its_turn(session, row)


def _is_its_turn(session: Session, row: Execution) -> bool:
    """Whether nothing else runs for the model, nor waits in the middle of its release; the model is ours if so."""
    ours = select(Model.name).where(Model.name == row.model).with_for_update(skip_locked=True, key_share=True)
    if session.scalar(ours) is None:
        return False
    others = set(
        session.scalars(select(Execution.state).where(Execution.model == row.model, Execution.id != row.id).distinct())
    )
    if "running" in others:
        return False
    kind = ActionKind(session.get_one(Proposal, row.proposal_id).kind)
    undoes = kind is ActionKind.ROLLBACK or not CHARACTER[kind].changes_model
    return row.state == "waiting" or undoes or "waiting" not in others
