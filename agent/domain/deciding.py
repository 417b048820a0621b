"""May this person decide, is it decided, may it start: the rules of a policy, applied. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from agent.domain.policy import BY_POLICY, Policy, Rule, covers, folded
from tools.actions import ActionKind, Risk

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be decided, as policy sees it."""

    model: str
    kind: ActionKind
    risk: Risk
    requested_by: str


@dataclass(frozen=True, slots=True)
class Given:
    """A decision that somebody gave: `approve` or `reject`."""

    person: str
    decision: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """May this person decide? `reason` is one sentence for them; `needed` is how many approvals it takes."""

    allowed: bool
    reason: str
    needed: int


class Outcome(StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a decision has come: whose approvals count, how many more it takes, and who could still give them."""

    outcome: Outcome
    counted: tuple[str, ...]
    missing: int
    could: tuple[str, ...]
    why: str


class When(StrEnum):
    NOW = "now"
    LATER = "later"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Start:
    """May an approved action start? `until`: when what holds it back ends, where that is known."""

    when: When
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the start of an approved action depends on, beside the policy and the decisions.

    frozen: what the kill switch says, empty when it is off. starts: when other executions of this model started.
    last: when the latest of them started, and its kind.
    """

    now: datetime
    execute_by: datetime | None
    frozen: str = ""
    starts: Sequence[datetime] = ()
    last: tuple[datetime, ActionKind] | None = None


def may_decide(policy: Policy, request: Request, person: str) -> Answer:
    """Whether `person` may approve or reject, by the first rule that says no."""
    rule = policy.rule(request.kind, request.risk)
    eligible = who_may_decide(policy, request)
    known = f"; who may: {', '.join(eligible)}" if eligible else "; approvals.yaml names nobody who may"
    if said := _why_not(policy, rule, request, person):
        return Answer(False, f"{said}{known}.", rule.approvals)
    return Answer(
        True, f"{person!r} may decide: {request.risk} risk needs {rule.approvals} approval(s).", rule.approvals
    )


def _why_not(policy: Policy, rule: Rule, request: Request, person: str) -> str:
    entry = policy.people.get(person)
    if entry is None:
        return f"{person!r} is not among the people of approvals.yaml"
    if folded(person) == folded(request.requested_by):
        return f"{person!r} asked for this action and so cannot decide on it"
    if not set(entry.roles) & set(rule.roles):
        return f"{person!r} has none of the roles {', '.join(rule.roles)}"
    if not covers(entry.models, request.model):
        return f"{person!r} may not decide for the model {request.model!r}"
    return ""


def who_may_decide(policy: Policy, request: Request) -> list[str]:
    """Everyone who may decide on a request, by name."""
    rule = policy.rule(request.kind, request.risk)
    return sorted(name for name in policy.people if not _why_not(policy, rule, request, name))


def approves_itself(policy: Policy, request: Request) -> bool:
    """Whether the policy's own `auto_approve` covers a request; never for what its author asked for."""
    auto = policy.auto_approve
    return (
        auto is not None
        and request.risk is Risk.LOW
        and request.kind in auto.actions
        and covers(auto.models, request.model)
        and covers(policy.people[auto.by].models, request.model)
        and folded(request.requested_by) != folded(auto.by)
    )


def standing(policy: Policy, request: Request, given: Iterable[Given]) -> Standing:
    """What the decisions given so far amount to. Approvals count from those who may decide now, once for each person,
    and with a reason where the rule asks for one; rejections count whatever became of who gave them."""
    rule = policy.rule(request.kind, request.risk)
    said = {one.person: one for one in given}
    eligible = who_may_decide(policy, request)
    against = sorted(name for name, one in said.items() if one.decision == "reject")
    if len(against) >= rule.rejections:
        return Standing(Outcome.REJECTED, (), 0, (), f"rejected by {', '.join(against)}")
    for_it = [one for one in said.values() if one.decision == "approve"]
    if any(one.person == BY_POLICY for one in for_it) and approves_itself(policy, request):
        return Standing(Outcome.APPROVED, (BY_POLICY,), 0, (), "auto_approve of approvals.yaml")
    silent = [one.person for one in for_it if rule.reason and not one.reason.strip()]
    counted = tuple(sorted(one.person for one in for_it if one.person in eligible and one.person not in silent))
    could = tuple(name for name in eligible if name not in counted)
    missing = max(rule.approvals - len(counted), 0)
    if not missing:
        return Standing(Outcome.APPROVED, counted, 0, could, f"approved by {', '.join(counted)}")
    lost = sorted({one.person for one in for_it} - set(counted))
    why = f"{missing} more approval(s) needed"
    if lost:
        why += f"; the approval of {', '.join(lost)} does not count any more"
    if missing > len(could):
        why += f"; approvals.yaml names only {len(could)} more who could give one"
    return Standing(Outcome.OPEN, counted, missing, could, why)


def may_start(policy: Policy, request: Request, given: Iterable[Given], facts: Circumstances) -> Start:
    """Whether an approved action may start now. What can change by waiting is `later`; what cannot is `never`."""
    decided = standing(policy, request, given)
    if decided.outcome is not Outcome.APPROVED:
        return Start(When.NEVER, f"approvals.yaml as it is now does not release this: {decided.why}")
    if facts.execute_by is None:
        return Start(When.NEVER, "it has no time by which to start")
    if facts.now >= facts.execute_by:
        return Start(When.NEVER, f"it was to start by {facts.execute_by:%Y-%m-%d %H:%M} UTC")
    if facts.frozen:
        return Start(When.LATER, facts.frozen)
    if window := policy.freeze_at(facts.now):
        reason, until = window
        return Start(When.LATER, f"approvals.yaml freezes executions until {until:%Y-%m-%d %H:%M} UTC: {reason}", until)
    recent = sorted(start for start in facts.starts if start > facts.now - HOUR)
    if len(recent) >= policy.max_actions_per_hour:
        free = recent[len(recent) - policy.max_actions_per_hour] + HOUR if policy.max_actions_per_hour else None
        return Start(When.LATER, f"{request.model} may start {policy.max_actions_per_hour} action(s) an hour", free)
    if facts.last is not None and not _undoes(request.kind, facts.last[1]):
        over = facts.last[0] + policy.cooldown
        if facts.now < over:
            return Start(When.LATER, f"the cooldown of {request.model} ends at {over:%Y-%m-%d %H:%M} UTC", over)
    return Start(When.NOW)


def _undoes(kind: ActionKind, last: ActionKind) -> bool:
    """A rollback need not wait; the rollback of a rollback does, or two versions could take turns."""
    return kind is ActionKind.ROLLBACK and last is not ActionKind.ROLLBACK
