"""`proposal`, `approve`, `reject`, `withdraw`, `freeze`: the queue and the people before it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.commands.output import console, number, styled, table, when
from agent.commands.workspace import me
from agent.domain.deciding import who_may_decide
from agent.pipeline import approve as decisions
from agent.pipeline.explain import explain
from agent.pipeline.freeze import freeze, next_step, unfreeze, who_asked
from agent.pipeline.progress import progress_of, steps_of
from agent.pipeline.release import request_of
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Approval, Execution, Proposal
from tools.actions import CHARACTER, ActionKind


def plain_proposal(session: Session, row: Proposal) -> dict[str, Any]:
    """A proposal as plain data: exactly what will run, and everything a person needs to decide."""
    approvals = session.scalars(select(Approval).where(Approval.proposal_id == row.id).order_by(Approval.at)).all()
    execution = session.scalar(select(Execution).where(Execution.proposal_id == row.id))
    character = CHARACTER[ActionKind(row.kind)]
    return {
        "id": row.id,
        "model": row.model,
        "incident_id": row.incident_id,
        "state": row.state,
        "action": row.action,
        "digest": row.digest,
        "why": row.why,
        "trial": row.trial,
        "risk": row.risk,
        "undo": character.undo,
        "blast_radius": character.blast_radius,
        "requested_by": row.requested_by,
        "created_at": row.created_at,
        "approve_by": row.approve_by,
        "reason": row.reason,
        "decided_by": ", ".join(a.person for a in approvals) or None,
        "approvals": [{"person": a.person, "decision": a.decision, "reason": a.reason, "at": a.at} for a in approvals],
        "execution": execution and _plain_execution(session, execution),
    }


def _plain_execution(session: Session, execution: Execution) -> dict[str, Any]:
    steps = steps_of(session, execution)
    progress = progress_of(execution, steps)
    return {
        "id": execution.id,
        "state": execution.state,
        "phase": progress.says,
        "resume_at": progress.resume_at,
        "seconds": execution.seconds,
        "error": execution.error,
        "steps": [
            {"name": s.name, "state": s.state, "result": s.result, "tries": s.tries, "error": s.error} for s in steps
        ],
    }


def list_proposals(services: Services, *, every: bool) -> list[dict[str, Any]]:
    with services.store.read() as session:
        query = select(Proposal).order_by(Proposal.created_at.desc()).limit(50)
        if not every:
            query = query.where(Proposal.state.in_(("pending", "approved", "executing", "verifying")))
        return [plain_proposal(session, row) for row in session.scalars(query)]


def render_proposals(items: list[dict[str, Any]]) -> None:
    if not items:
        console.print("Nothing waits.")
        return
    rows = table("proposal", "model", "action", "state", "risk", "decide by (UTC)", "why")
    for item in items:
        rows.add_row(
            item["id"],
            item["model"],
            item["action"]["kind"],
            styled(item["state"]),
            item["risk"],
            when(item["approve_by"]),
            item["why"],
        )
    console.print(rows)


def show_proposal(services: Services, wanted: str) -> dict[str, Any]:
    with services.store.read() as session:
        row = queries.by_id(session, Proposal, wanted)
        return {**plain_proposal(session, row), "who_may_decide": who_may_decide(services.policy(), request_of(row))}


def render_proposal(item: dict[str, Any]) -> None:
    action = item["action"]
    console.print(f"[bold]{item['id']}[/] {styled(item['state'])}: [bold]{action['kind']}[/] {item['model']}")
    for key, value in action.items():
        if key not in ("kind", "model"):
            console.print(f"  {key.replace('_', ' ')}: {value}", markup=False)
    console.print(f"Why: {item['why']}", markup=False)
    if trial := item["trial"]:
        _render_trial(trial)
    console.print(f"Risk: {item['risk']}; touches {item['blast_radius']}; to undo: {item['undo']}.")
    console.print(f"Digest: {item['digest'][:16]}…  Decide by {when(item['approve_by'])} UTC")
    if item["state"] == "pending":
        who = ", ".join(item["who_may_decide"]) or "nobody in approvals.yaml"
        console.print(f"Who may decide: {who}")
        console.print(f"  watchkeeper approve {item['id']}\n  watchkeeper reject {item['id']} --reason …")
    for approval in item["approvals"]:
        console.print(
            f"{approval['decision']} by {approval['person']} at {when(approval['at'])} UTC. {approval['reason']}",
            markup=False,
        )
    if run := item["execution"]:
        steps = ", ".join(f"{s['name']} {s['state']}" for s in run["steps"])
        console.print(f"Execution {styled(run['state'])}: {steps} {run['error']}")
        if run["phase"]:
            later = f"; it goes on at {when(run['resume_at'])} UTC" if run["resume_at"] else ""
            console.print(f"  now: {run['phase']}{later}", markup=False)


def _render_trial(trial: dict[str, Any]) -> None:
    before, after = trial.get("metric_before"), trial.get("metric_after")
    if before is not None and after is not None:
        console.print(
            f"Trial on {trial.get('n', '?')} recent rows: "
            f"{trial.get('metric', 'metric')} {number(before)} -> {number(after)}"
        )
    if trial.get("gain") is not None:
        low, high = trial.get("interval") or (None, None)
        console.print(f"  gain in loss a row {number(trial['gain'])} [{number(low)}, {number(high)}]")


def decide(
    services: Services, wanted: str, verb: str, *, person: str | None, reason: str, digest: str | None = None
) -> dict[str, Any]:
    """Approve, reject or withdraw as a person; what the proposal became, and what it still needs."""
    if verb == "withdraw":
        row = decisions.withdraw(services, wanted, person=person or me(), reason=reason)
    else:
        act = decisions.approve if verb == "approve" else decisions.reject
        row = act(services, wanted, person=person or me(), reason=reason, digest=digest)
    with services.store.read() as session:
        found = explain(services, session, session.get_one(Proposal, row.id))
        return {
            **plain_proposal(session, session.get_one(Proposal, row.id)),
            "still_needed": found.still_needed,
            "says": found.says,
        }


def render_decision(item: dict[str, Any]) -> None:
    console.print(f"Proposal {item['id']} is {styled(item['state'])}.")
    if item["state"] == "approved":
        console.print(item["says"], markup=False)
        console.print(
            "A worker carries it out: `watchkeeper serve` (or `worker`) within a second, `watchkeeper watch` at once."
        )
    elif item["state"] == "pending":
        console.print(item["says"], markup=False)
    elif item["reason"]:
        console.print(item["reason"], markup=False)


def set_frozen(services: Services, frozen: bool, *, person: str | None, reason: str) -> dict[str, Any]:
    """Turn the kill switch on, or ask for it to be turned off."""
    person = person or me()
    with services.store.write() as session:
        if frozen:
            freeze(services, session, person=person, reason=reason)
            asked = who_asked(services, session)
        else:
            asked = unfreeze(services, session, person=person, reason=reason)
    still = frozen or asked.missing > 0
    return {
        "frozen": still,
        "by": person,
        "reason": reason,
        "asked_to_lift": [{"person": one.person, "reason": one.reason, "at": one.at} for one in asked.by],
        "still_needed": asked.missing if still else 0,
        "who_can_still": list(asked.could) if still else [],
        "says": "Frozen: no execution starts anywhere." if frozen else next_step(asked),
    }


def render_frozen(item: dict[str, Any]) -> None:
    console.print(item["says"], markup=False)
    if item["frozen"] and not item["asked_to_lift"]:
        console.print(f"To lift it takes {item['still_needed']} people: watchkeeper unfreeze --reason …")
