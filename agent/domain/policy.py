"""Who may decide what: policy as data, read from `approvals.yaml`. Nothing that is not written is allowed.

Checked when a person decides, and again when the executor starts. A risk with no entry needs two people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.domain.errors import InvalidInput
from ml.spec import Duration
from tools.actions import ActionKind, Risk


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Person(_Part):
    """Someone who may decide."""

    roles: tuple[str, ...] = ("approver",)
    models: tuple[str, ...] = ("*",)


class Rule(_Part):
    """What one level of risk asks for."""

    approvals: int = Field(2, ge=1)
    roles: tuple[str, ...] = ("approver",)
    reason: bool = Field(False, description="an approval must say why; a rejection always must")


class Freeze(_Part):
    """A span of time in which nothing is executed."""

    start: datetime
    end: datetime
    reason: str


class Policy(_Part):
    """The whole of `approvals.yaml`."""

    people: dict[str, Person] = Field(default_factory=dict)
    risk: dict[Risk, Rule] = Field(default_factory=dict)
    actions: dict[ActionKind, Rule] = Field(default_factory=dict, description="overrides risk for one kind of action")
    approval_expiry: Duration = timedelta(days=2)
    execution_expiry: Duration = timedelta(hours=6)
    cooldown: Duration = timedelta(hours=12)
    max_actions_per_hour: int = Field(2, ge=0)
    freezes: tuple[Freeze, ...] = ()

    def rule(self, kind: ActionKind, risk: Risk) -> Rule:
        """The rule for an action; the default asks for two approvers."""
        return self.actions.get(kind) or self.risk.get(risk) or Rule()

    def freeze_at(self, now: datetime) -> Freeze | None:
        return next((f for f in self.freezes if f.start <= now < f.end), None)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be decided, as policy sees it."""

    model: str
    kind: ActionKind
    risk: Risk
    requested_by: str


@dataclass(frozen=True, slots=True)
class Answer:
    """May this person decide? `reason` is one sentence for them; `needed` is how many approvals it takes."""

    allowed: bool
    reason: str
    needed: int


def may_decide(policy: Policy, request: Request, person: str) -> Answer:
    """Whether `person` may approve or reject, by the first rule that says no."""
    rule = policy.rule(request.kind, request.risk)
    eligible = who_may_decide(policy, request)
    known = f"; who may: {', '.join(eligible)}" if eligible else "; approvals.yaml names nobody who may"
    entry = policy.people.get(person)
    if entry is None:
        return Answer(False, f"{person!r} is not among the people of approvals.yaml{known}.", rule.approvals)
    if person == request.requested_by:
        return Answer(False, f"{person!r} asked for this action and so cannot decide on it{known}.", rule.approvals)
    if not set(entry.roles) & set(rule.roles):
        return Answer(False, f"{person!r} has none of the roles {', '.join(rule.roles)}{known}.", rule.approvals)
    if not any(fnmatchcase(request.model, pattern) for pattern in entry.models):
        return Answer(False, f"{person!r} may not decide for the model {request.model!r}{known}.", rule.approvals)
    return Answer(
        True, f"{person!r} may decide: {request.risk} risk needs {rule.approvals} approval(s).", rule.approvals
    )


def who_may_decide(policy: Policy, request: Request) -> list[str]:
    """Everyone who may decide on a request, by name."""
    roles = set(policy.rule(request.kind, request.risk).roles)
    return sorted(
        name
        for name, person in policy.people.items()
        if name != request.requested_by
        and set(person.roles) & roles
        and any(fnmatchcase(request.model, pattern) for pattern in person.models)
    )


def has_quorum(policy: Policy, request: Request, approvers: Sequence[str]) -> bool:
    """Whether enough different people, each still allowed, have approved."""
    allowed = {person for person in approvers if may_decide(policy, request, person).allowed}
    return len(allowed) >= policy.rule(request.kind, request.risk).approvals


def load_policy(path: Path) -> Policy:
    """Read `approvals.yaml`; a missing file is a policy that allows nobody.

    Raises: InvalidInput naming the file and the key.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return Policy()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path}: cannot be read as YAML ({error}).") from None
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidInput(f"{path}: {key}: {first['msg']}; see docs/how-to/approvals.md.") from None
