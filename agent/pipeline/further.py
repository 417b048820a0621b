"""After the evidence: a language model may look further into an incident, where one is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.conversation.investigate import Question, look_further
from agent.domain.deciding import Request, who_may_decide
from agent.pipeline.desk import desk_of
from agent.pipeline.propose import ACTOR
from agent.pipeline.services import Services
from ml.spec import ModelSpec
from tools.actions import CHARACTER, ActionKind

TRIED = (ActionKind.RETRAIN, ActionKind.RECALIBRATE, ActionKind.ROLLBACK)
"""Actions that a trial can carry alone."""


def narrated(services: Services, spec: ModelSpec, incident: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The diagnosis document with its narrative, by a model or by the template. Waits for the models' deadline at most,
    and never while a transaction is open."""
    question = Question(incident, spec.name, document, allowed_actions(services, spec.name, document))
    return look_further(desk_of(services), question)


def allowed_actions(services: Services, model: str, document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a verdict may choose: the action of the rule, and each that a trial shows to gain beyond chance and
    that enough people may approve. Nothing else where the rule asks a person, or calls the data broken: from broken
    rows nothing is learnt."""
    ruled: Mapping[str, Any] = document["action"]
    allowed = {str(ruled["kind"]): dict(ruled.get("parameters") or {})}
    if ruled.get("escalate") or document.get("verdict") != "incident" or ruled["kind"] == ActionKind.FIX_DATA:
        return allowed
    policy = services.policy()
    for trial in document.get("trials", []):
        kind = str(trial.get("kind", ""))
        low = (trial.get("interval") or [None])[0]
        parameters = dict(trial.get("parameters") or {})
        complete = kind != ActionKind.ROLLBACK or "to_version" in parameters
        if kind in TRIED and complete and low is not None and low > 0:
            action = ActionKind(kind)
            request = Request(model, action, CHARACTER[action].risk, ACTOR)
            if len(who_may_decide(policy, request)) >= policy.rule(action, request.risk).approvals:
                allowed.setdefault(kind, parameters)
    return allowed
