"""The approval card. What will be done is written by code, from the very bytes that will run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.domain.deciding import Given, standing, who_may_decide
from agent.domain.policy import Policy
from agent.domain.wording import in_order_to
from agent.pipeline.release import request_of
from agent.pipeline.trials import TrialView, read_trial
from agent.store.tables import Approval, Diagnosis, Proposal
from tools import actions
from tools.actions import CHARACTER, Action, ActionKind

MOST_EVIDENCE = 4


@dataclass(frozen=True, slots=True)
class Card:
    """One proposal in the queue, with everything that a person needs to decide."""

    proposal: Proposal
    does: str
    version: str
    parameters: list[tuple[str, str]]
    evidence: list[dict[str, Any]]
    cause: str
    probability: float | None
    trial: TrialView | None
    undo: str
    touches: str
    may_decide: list[str]
    needed: int
    missing: int
    approvals: list[Approval]


def make_card(policy: Policy, proposal: Proposal, diagnosis: Diagnosis | None, approvals: list[Approval]) -> Card:
    """The card of a proposal; the diagnosis gives its evidence."""
    action = actions.parse_action(proposal.action)
    request, character = request_of(proposal), CHARACTER[ActionKind(proposal.kind)]
    document = diagnosis.document if diagnosis else {}
    given = [Given(one.person, one.decision, one.reason) for one in approvals if one.digest == proposal.digest]
    return Card(
        proposal=proposal,
        does=in_order_to(proposal.action),
        version=versions(action),
        parameters=[
            (key.replace("_", " "), _written(value))
            for key, value in proposal.action.items()
            if key not in ("kind", "model")
        ],
        evidence=supporting(document)[:MOST_EVIDENCE],
        cause=diagnosis.cause if diagnosis else "",
        probability=diagnosis.probability if diagnosis else None,
        trial=read_trial(proposal.trial),
        undo=character.undo,
        touches=character.blast_radius,
        may_decide=who_may_decide(policy, request),
        needed=policy.rule(request.kind, request.risk).approvals,
        missing=standing(policy, request, given).missing,
        approvals=approvals,
    )


def supporting(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The facts that the leading cause rests on, in its order."""
    facts = {fact["id"]: fact for fact in document.get("evidence", [])}
    causes = document.get("causes") or [{}]
    return [facts[number] for number in dict.fromkeys(causes[0].get("supports", [])) if number in facts]


def versions(action: Action) -> str:
    """Which version gives way to which, in short."""
    if isinstance(action, (actions.Rollback, actions.Promote)):
        return f"{action.expected_version or 'none'} → {action.to_version}"
    if isinstance(action, (actions.Retrain, actions.Recalibrate)):
        return f"{action.expected_version or 'none'} → new"
    return "unchanged"


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_written(inner)}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
