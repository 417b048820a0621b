"""What a model's verdict may change in a diagnosis: probabilities downwards, and the action among allowed ones; each
only by citing evidence that is there. Pure; whatever else it says is refused, and named."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.domain.wording import visible

_FACT = re.compile(r"(?:d-[0-9a-z]{4,16}/)?(E\d{1,4})")
_JSON = re.compile(r"\{.*\}", re.DOTALL)


class Weighed(BaseModel):
    """One cause that is doubted."""

    model_config = ConfigDict(extra="ignore")
    cause: str = Field(max_length=80)
    probability: float = Field(ge=0, le=1, allow_inf_nan=False)
    cites: list[str] = Field(default_factory=list, max_length=40)


class Verdict(BaseModel):
    """What a model makes of a diagnosis."""

    model_config = ConfigDict(extra="ignore")
    causes: list[Weighed] = Field(default_factory=list, max_length=20)
    action: str | None = Field(None, max_length=80)
    cites: list[str] = Field(default_factory=list, max_length=40)


@dataclass(frozen=True)
class Weighing:
    """A diagnosis document after the verdict, what was changed in it, and what of the verdict was refused."""

    document: dict[str, Any]
    changes: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def read_verdict(text: str) -> Verdict | None:
    """The verdict in a model's text; None where there is none.

    >>> read_verdict('Sure: {"causes": [], "action": "retrain", "cites": ["E1"]}').action
    'retrain'
    """
    found = _JSON.search(text)
    if found is None:
        return None
    try:
        return Verdict.model_validate(json.loads(found[0]))
    except (ValueError, RecursionError, ValidationError):
        return None


def weigh(document: Mapping[str, Any], verdict: Verdict, actions: Mapping[str, Mapping[str, Any]], by: str) -> Weighing:
    """Apply a verdict to a diagnosis document. actions: kinds that may be chosen, with their parameters."""
    after = deepcopy(dict(document))
    facts = {str(fact["id"]) for fact in after.get("evidence", [])}
    causes = {str(cause["cause"]): cause for cause in after.get("causes", [])}
    changes: list[dict[str, Any]] = []
    refused: list[str] = []
    for weighed in verdict.causes:
        cause, cited = causes.get(weighed.cause), _cited(weighed.cites, facts)
        name = visible(weighed.cause, 60)
        before = float(cause["probability"]) if cause is not None else 0.0
        if cause is None:
            refused.append(f"{name} is none of the ranked causes")
        elif weighed.probability > before:
            refused.append(f"the probability of {name} may only be lowered")
        elif weighed.probability < before and not cited:
            refused.append(f"{name} was lowered without evidence")
        elif weighed.probability < before:
            cause["probability"] = round(weighed.probability, 4)
            changes.append({"cause": weighed.cause, "from": before, "to": cause["probability"], "cites": cited})
    _keep_features(after)
    after["causes"] = sorted(after.get("causes", []), key=lambda cause: -float(cause["probability"]))
    _choose(after, verdict, actions, facts, by, changes, refused)
    return Weighing(after, changes, refused)


def _choose(
    after: dict[str, Any],
    verdict: Verdict,
    actions: Mapping[str, Mapping[str, Any]],
    facts: set[str],
    by: str,
    changes: list[dict[str, Any]],
    refused: list[str],
) -> None:
    ruled, wanted = after.get("action", {}), verdict.action
    if wanted is None or wanted == ruled.get("kind"):
        return
    cited = _cited(verdict.cites, facts)
    if wanted not in actions:
        refused.append(f"the action {visible(wanted, 40)} is not among those that policy and evidence allow")
    elif not cited:
        refused.append(f"the action {wanted} was chosen without evidence")
    else:
        why = f"Chosen by {by} on {', '.join(cited)}; the rule says {ruled['kind']}: {ruled['why']}"
        after["action"] = {**ruled, "kind": wanted, "parameters": dict(actions[wanted]), "why": why}
        changes.append({"action": wanted, "instead_of": ruled["kind"], "cites": cited})


def _keep_features(after: dict[str, Any]) -> None:
    """The parameters of the action were those of the leading cause: they stay, whichever leads afterwards."""
    if after.get("causes") and after.get("action", {}).get("kind") == "fix_data":
        parameters = after["action"].setdefault("parameters", {})
        parameters.setdefault("features", list(after["causes"][0].get("features", [])))


def _cited(cites: Sequence[str], facts: set[str]) -> list[str]:
    found = [match[1] for cite in cites if (match := _FACT.fullmatch(cite.strip().strip("[]")))]
    return list(dict.fromkeys(cite for cite in found if cite in facts))
