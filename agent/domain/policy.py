"""Who may decide what: policy as data, read from `approvals.yaml`. Nothing that is not written is allowed.

Checked when a person decides, and again when the executor starts. A risk with no entry needs two people.
"""

from __future__ import annotations

import hashlib
import unicodedata
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from agent.domain.errors import InvalidInput
from agent.domain.freezes import Freeze, WeeklyFreeze, Zone
from agent.domain.written import parse_written
from ml.spec import Duration
from tools.actions import CHARACTER, ActionKind, Risk, canonical_json

BY_POLICY = "policy"
"""Who decides where `auto_approve` does."""
RESERVED = (BY_POLICY, "watchkeeper", "clock", "verification")
LONGEST_TO_DECIDE, LONGEST_TO_START = timedelta(days=30), timedelta(days=7)
PAGE = "docs/reference/approvals.md"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Person(_Part):
    """Someone who may decide."""

    roles: tuple[str, ...] = Field(("approver",), description="what they are, in words that the rules use")
    models: tuple[str, ...] = Field(("*",), description="patterns of model names they may decide for")


class Rule(_Part):
    """What a decision takes."""

    approvals: int = Field(2, ge=1, description="how many different people must approve")
    rejections: int = Field(1, ge=1, description="how many rejections end it")
    roles: tuple[str, ...] = Field(("approver",), min_length=1, description="one of these roles is needed")
    reason: bool = Field(False, description="an approval must say why; a rejection always must")


class AutoApproval(_Part):
    """Actions that the policy itself approves. Each is recorded as its own decision, with the digest of this file."""

    actions: tuple[ActionKind, ...] = Field(min_length=1, description="kinds of low risk only")
    models: tuple[str, ...] = Field(("*",), description="patterns of model names")
    by: str = Field(description="who answers for it: one of `people` who may decide on these actions")


class Policy(_Part):
    """The whole of `approvals.yaml`."""

    people: dict[str, Person] = Field(
        default_factory=dict, description="who, by the name that `--as` or the login gives"
    )
    risk: dict[Risk, Rule] = Field(
        default_factory=dict, description="what `low`, `medium` and `high` ask for; what is missing needs two people"
    )
    actions: dict[ActionKind, Rule] = Field(
        default_factory=dict, description="the same for one kind of action; it goes before `risk`"
    )
    unfreeze: Rule = Field(
        default_factory=Rule, description="who may lift the kill switch; `approvals: 1` only where one person is all"
    )
    auto_approve: AutoApproval | None = Field(None, description="off unless it is written")
    approval_expiry: Duration = Field(
        timedelta(days=2),
        gt=timedelta(0),
        le=LONGEST_TO_DECIDE,
        description="a proposal that nobody decided by then expires",
    )
    execution_expiry: Duration = Field(
        timedelta(hours=6),
        gt=timedelta(0),
        le=LONGEST_TO_START,
        description="approved, but not started by then: it expires too",
    )
    cooldown: Duration = Field(
        timedelta(hours=12),
        description="after an action, or a proposal that ended, none for the same model; an undo need not wait",
    )
    flap_window: Duration = Field(
        timedelta(days=7),
        description="a version that a rollback took away is not proposed again by the watch for so long; a person may",
    )
    max_actions_per_hour: int = Field(2, ge=0, description="starts of executions, for each model")
    time_zone: Zone = Field("UTC", description="of the freezes")
    freezes: tuple[Freeze, ...] = Field((), description="spans in which nothing is executed")
    weekly_freezes: tuple[WeeklyFreeze, ...] = Field((), description="the same, coming back every week")
    _digest: str = PrivateAttr("")

    @model_validator(mode="after")
    def _says_who_exactly(self) -> Policy:
        seen: dict[str, str] = {}
        for name in self.people:
            plain = folded(name)
            if not plain or plain in RESERVED:
                raise ValueError(f"people.{name}: this name belongs to Watchkeeper itself; give another")
            if plain in seen:
                raise ValueError(f"people.{name}: reads like {seen[plain]!r}; one person has one name")
            seen[plain] = name
        return self

    @model_validator(mode="after")
    def _approves_only_low_risk(self) -> Policy:
        if (auto := self.auto_approve) is None:
            return self
        for kind in auto.actions:
            if CHARACTER[kind].risk is not Risk.LOW:
                risk = CHARACTER[kind].risk
                raise ValueError(f"auto_approve.actions: {kind} is of {risk} risk; only low risk may be")
            author = self.people.get(auto.by)
            if author is None or not set(author.roles) & set(self.rule(kind, Risk.LOW).roles):
                raise ValueError(f"auto_approve.by: {auto.by!r} is nobody of `people` who may decide on {kind}")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the file as it was read (`sha256sum approvals.yaml`); of its content where there was no file."""
        return self._digest or hashlib.sha256(canonical_json(self.model_dump(mode="json"))).hexdigest()

    def rule(self, kind: ActionKind, risk: Risk) -> Rule:
        """The rule for an action; the default asks for two approvers."""
        return self.actions.get(kind) or self.risk.get(risk) or Rule()

    def freeze_at(self, now: datetime) -> tuple[str, datetime] | None:
        """Why nothing is executed now, and until when; None when nothing forbids it."""
        freezes: list[Freeze | WeeklyFreeze] = [*self.freezes, *self.weekly_freezes]
        found = [(freeze.until(now, self.time_zone), freeze.reason) for freeze in freezes]
        ends = [(until, reason) for until, reason in found if until is not None]
        if not ends:
            return None
        until, reason = max(ends)
        return reason, until


def folded(name: str) -> str:
    """A name without what the eye does not tell apart: case, width, blanks at its ends."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def covers(patterns: tuple[str, ...], model: str) -> bool:
    return any(fnmatchcase(model, pattern) for pattern in patterns)


def parse_policy(text: str, source: str = "approvals.yaml") -> Policy:
    """Raises: InvalidInput naming file, line and key."""
    policy = parse_written(text, Policy, source, PAGE)
    policy._digest = hashlib.sha256(text.encode()).hexdigest()
    return policy


def load_policy(path: Path) -> Policy:
    """Read `approvals.yaml`; a missing file is a policy that allows nobody. Raises: InvalidInput.

    The file is read each time, so that a change holds at once; the same text is taken apart once.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return Policy()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}).") from None
    return _parsed(text, str(path))


@lru_cache(maxsize=8)
def _parsed(text: str, source: str) -> Policy:
    return parse_policy(text, source)
