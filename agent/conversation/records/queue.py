"""Proposals with the decisions on them, and executions with what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.conversation.records.sight import Sight, cursor_of, page, timed
from agent.domain.deciding import Given, Request, standing, who_may_decide
from agent.domain.policy import Policy
from agent.domain.proposal import ProposalState
from agent.domain.wording import in_order_to
from agent.store.tables import Approval, Execution, ExecutionStep, Proposal, Verification
from tools.actions import CHARACTER, ActionKind
from tools.context import Found, Item, Span


def proposals(
    sight: Sight,
    policy: Policy,
    wanted: str | None,
    model: str | None,
    state: str | None,
    span: Span,
    cursor: str | None,
) -> Found:
    """One proposal, or those that were made in the span, newest first."""
    if wanted is not None:
        row = sight.by_id(Proposal, wanted)
        shown = _proposal(sight.session, policy, row)
        cited = (row.id, row.incident_id, row.diagnosis_id, (shown["execution"] or {}).get("id"))
        return Found({"proposals": [shown]}, evidence=tuple(one for one in cited if one))
    query = select(Proposal).where(sight.within(Proposal.model, model), *timed(Proposal.created_at, span))
    if state is not None:
        query = query.where(Proposal.state == state)
    rows, more = page(sight.session, query, (Proposal.created_at, Proposal.id), cursor)
    if not rows:
        of, such = f" of {model}" if model else "", f" {state}" if state else ""
        when = " in that time" if span.since or cursor else ""
        return Found({"proposals": []}, missing=f"There is no{such} proposal{of}{when}.")
    items = [Item(_proposal(sight.session, policy, row), cursor_of(row.created_at, row.id), (row.id,)) for row in rows]
    return Found({}, items, lambda entries: {"proposals": entries}, more=more)


def _proposal(session: Session, policy: Policy, row: Proposal) -> dict[str, Any]:
    given = session.scalars(
        select(Approval).where(Approval.proposal_id == row.id).order_by(Approval.at, Approval.id)
    ).all()
    kind = ActionKind(row.kind)
    request = Request(row.model, kind, CHARACTER[kind].risk, row.requested_by)
    waits = row.state == ProposalState.PENDING
    decided = standing(
        policy, request, [Given(d.person, d.decision, d.reason) for d in given if d.digest == row.digest]
    )
    execution = session.scalar(select(Execution).where(Execution.proposal_id == row.id))
    return {
        "id": row.id,
        "model": row.model,
        "kind": row.kind,
        "what": in_order_to(row.action),
        "action": row.action,
        "digest": row.digest,
        "risk": row.risk,
        "changes_model": CHARACTER[kind].changes_model,
        "undo": CHARACTER[kind].undo,
        "state": row.state,
        "reason": row.reason,
        "why": row.why,
        "trial": row.trial,
        "incident": row.incident_id,
        "diagnosis": row.diagnosis_id,
        "requested_by": row.requested_by,
        "created_at": row.created_at,
        "approve_by": row.approve_by,
        "approved_at": row.approved_at,
        "execute_by": row.execute_by,
        "ended_at": row.ended_at,
        "decisions": [{"person": d.person, "decision": d.decision, "reason": d.reason, "at": d.at} for d in given],
        "still_needed": decided.missing if waits else 0,
        "may_decide": who_may_decide(policy, request) if waits else [],
        "execution": None
        if execution is None
        else {"id": execution.id, "state": execution.state, "seconds": execution.seconds, "error": execution.error},
        "verification": _verification(session, row.id),
    }


def _verification(session: Session, proposal: str) -> dict[str, Any] | None:
    row = session.get(Verification, proposal)
    if row is None:
        return None
    document: Mapping[str, Any] = row.document
    low, high = document.get("interval") or (None, None)
    return {
        "verdict": row.verdict,
        "statement": document.get("statement", ""),
        "started_at": row.started_at,
        "due_at": row.due_at,
        "decided_at": row.decided_at,
        "metric": document.get("metric"),
        "before": document.get("before"),
        "after": document.get("after"),
        "do_nothing": document.get("do_nothing"),
        "gain": document.get("gain"),
        "low": low,
        "high": high,
        "n": document.get("n"),
    }


def executions(sight: Sight, wanted: str | None, model: str | None, span: Span, cursor: str | None) -> Found:
    """One execution, or those begun in the span, newest first."""
    if wanted is not None:
        row, proposal = sight.execution(wanted)
        return Found({"executions": [_execution(sight.session, row, proposal)]}, evidence=(row.id, proposal.id))
    query = (
        select(Execution)
        .join(Proposal, Proposal.id == Execution.proposal_id)
        .where(sight.within(Proposal.model, model), *timed(Execution.created_at, span))
    )
    rows, more = page(sight.session, query, (Execution.created_at, Execution.id), cursor)
    if not rows:
        of = f" of {model}" if model else ""
        return Found(
            {"executions": []},
            missing=f"No action{of} was carried out{' in that time' if span.since or cursor else ''}; "
            "without an approval nothing is.",
        )
    items = [
        Item(
            _execution(sight.session, row, sight.session.get_one(Proposal, row.proposal_id)),
            cursor_of(row.created_at, row.id),
            (row.id, row.proposal_id),
        )
        for row in rows
    ]
    return Found({}, items, lambda entries: {"executions": entries}, more=more)


def _execution(session: Session, row: Execution, proposal: Proposal) -> dict[str, Any]:
    steps = session.scalars(
        select(ExecutionStep).where(ExecutionStep.execution_id == row.id).order_by(ExecutionStep.position)
    )
    return {
        "id": row.id,
        "proposal": proposal.id,
        "proposal_state": proposal.state,
        "model": proposal.model,
        "kind": proposal.kind,
        "what": in_order_to(proposal.action),
        "approved_by": list(
            session.scalars(
                select(Approval.person).where(Approval.proposal_id == proposal.id, Approval.decision == "approve")
            )
        ),
        "state": row.state,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "seconds": row.seconds,
        "error": row.error,
        "cancelled": row.cancelled,
        "steps": [
            {"name": step.name, "state": step.state, "at": step.done_at or step.intended_at, "result": step.result}
            for step in steps
        ],
        "verification": _verification(session, proposal.id),
    }
