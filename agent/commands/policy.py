"""`policy explain`: who may decide on a proposal, how many are still needed, and why."""

from __future__ import annotations

from typing import Any

from agent.commands.output import console, when
from agent.pipeline.explain import explain
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Proposal


def explain_policy(services: Services, wanted: str, person: str | None = None) -> dict[str, Any]:
    """What the policy says about a proposal, person by person; about one person with `person`."""
    with services.store.read() as session:
        found = explain(services, session, queries.by_id(session, Proposal, wanted), person)
    return {
        "proposal": found.proposal,
        "state": found.state,
        "risk": found.risk,
        "rule": found.rule_from,
        "roles": list(found.rule.roles),
        "reason_required": found.rule.reason,
        "approvals_needed": found.rule.approvals,
        "rejections_needed": found.rule.rejections,
        "approved_by": list(found.standing.counted),
        "still_needed": found.still_needed,
        "who_can_still": list(found.standing.could) if found.still_needed else [],
        "says": found.says,
        "held_back": found.held_back or None,
        "held_back_until": found.until,
        "people": {
            name: {"allowed": word.allowed, "reason": word.reason, "said": word.said}
            for name, word in found.people.items()
        },
        "policy": found.policy,
    }


def render_policy(item: dict[str, Any]) -> None:
    why = ", with a reason" if item["reason_required"] else ""
    console.print(
        f"{item['proposal']} is of {item['risk']} risk: {item['approvals_needed']} approval(s) by "
        f"{' or '.join(item['roles'])}{why}; {item['rejections_needed']} rejection(s) end it ({item['rule']}).",
        markup=False,
    )
    console.print(item["says"], markup=False)
    if item["held_back"] and item["state"] == "pending":
        console.print(f"Once approved it would wait: {item['held_back']}", markup=False)
    elif item["held_back_until"]:
        console.print(f"That ends at {when(item['held_back_until'])} UTC.")
    for name, word in item["people"].items():
        said = f" Said: {word['said']}." if word["said"] else ""
        console.print(f"  {'may' if word['allowed'] else 'may not'}: {name}. {word['reason']}{said}", markup=False)
    if not item["people"]:
        console.print("approvals.yaml names nobody, so nobody may decide.")
