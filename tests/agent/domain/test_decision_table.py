"""Every combination of what a decision can depend on, against an oracle that was written from the manual, not the code.

The oracle knows no policy, no roles tables and no helpers of the program: it reads the plain facts of a case.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from functools import lru_cache
from typing import Any

import pytest

from agent.domain.deciding import Circumstances, Given, Request, may_decide, may_start, standing
from agent.domain.policy import parse_policy
from tools.actions import ActionKind, Risk

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
RISK_OF = {"fix_data": "low", "rollback": "medium", "retrain": "high", "promote": "high"}


@dataclass(frozen=True)
class Case:
    """The plain facts. `ann` is the first approver; `ben` leads, `cat` only looks, `dan` answers for auto_approve."""

    kind: str = "rollback"
    rule: str = "risk"  # where the rule stands: for the risk, for the kind of action, or nowhere
    needed: int = 1
    rejections: int = 1
    roles: str = "approver"  # what ann is
    scope: str = "*"  # what ann may decide for
    requester: str = "watchkeeper"
    reason: str = "free"  # free | given | blank: not asked for; asked for and given; asked for and not given
    yes: tuple[str, ...] = ("ann",)
    no: tuple[str, ...] = ()
    auto: str = "off"  # off | on | other: auto_approve for this model, or for another
    execute_by: str = "later"  # none | past | now | later
    switch: bool = False
    freeze: str = "none"  # none | dated | weekly | over
    starts: tuple[int, ...] = ()  # minutes ago, newest first
    most: int = 2
    cooldown: int = 0  # hours
    last_kind: str = "retrain"


parsed = lru_cache(maxsize=None)(parse_policy)


def policy_of(case: Case) -> Any:
    rule = f"{{approvals: {case.needed}, rejections: {case.rejections}, roles: [approver, lead]"
    rule += f", reason: {'false' if case.reason == 'free' else 'true'}}}"
    lines = [
        "people:",
        f"  ann: {{roles: [{case.roles}], models: ['{case.scope}']}}",
        "  ben: {roles: [viewer, lead]}",
        "  cat: {roles: [viewer]}",
        "  dan: {roles: [approver]}",
        f"cooldown: {case.cooldown}h",
        f"max_actions_per_hour: {case.most}",
    ]
    if case.rule == "risk":
        lines.append(f"risk: {{{RISK_OF[case.kind]}: {rule}}}")
    elif case.rule == "kind":
        lines.append(f"actions: {{{case.kind}: {rule}}}\nrisk: {{{RISK_OF[case.kind]}: {{approvals: 9}}}}")
    if case.auto != "off":
        models = "churn" if case.auto == "on" else "fraud"
        lines.append(f"auto_approve: {{actions: [fix_data], models: [{models}], by: dan}}")
    if case.freeze == "dated":
        lines.append("freezes: [{start: 2026-03-02T12:00:00Z, end: 2026-03-02T12:00:01Z, reason: x}]")
    elif case.freeze == "over":
        lines.append("freezes: [{start: 2026-03-01T12:00:00Z, end: 2026-03-02T12:00:00Z, reason: x}]")
    elif case.freeze == "weekly":
        lines.append("weekly_freezes: [{days: [sun], start: '18:00', end: '12:01', reason: x}]")
    return parsed("\n".join(lines))


def oracle_may(case: Case, person: str) -> bool:
    """May this person decide? From the manual: people, requester, role, model."""
    if person == "ann":
        if case.requester.strip().lower() == "ann":
            return False
        if case.rule == "nowhere":
            return case.roles == "approver" and fnmatch("churn", case.scope)
        return case.roles in ("approver", "lead") and fnmatch("churn", case.scope)
    if person == "ben":
        return case.rule != "nowhere" and case.requester.strip().lower() != "ben"
    return person == "dan" and case.requester != "dan"


def oracle_outcome(case: Case) -> str:
    needed, rejections = (2, 1) if case.rule == "nowhere" else (case.needed, case.rejections)
    if len(case.no) >= rejections:
        return "rejected"
    yes = [name for name in case.yes if name not in case.no]
    if "policy" in yes and case.kind == "fix_data" and case.auto == "on" and case.requester != "dan":
        return "approved"
    if case.reason == "blank" and case.rule != "nowhere":
        return "open"
    return "approved" if sum(oracle_may(case, name) for name in yes) >= needed else "open"


def oracle_start(case: Case) -> str:
    if oracle_outcome(case) != "approved" or case.execute_by != "later":
        return "never"
    if case.switch or case.freeze in ("dated", "weekly"):
        return "later"
    if len([ago for ago in case.starts if ago < 60]) >= case.most:
        return "later"
    waits = not (case.kind == "rollback" and case.last_kind != "rollback")
    if case.starts and waits and case.starts[0] < case.cooldown * 60:
        return "later"
    return "now"


def check(case: Case) -> None:
    policy = policy_of(case)
    request = Request("churn", ActionKind(case.kind), Risk(RISK_OF[case.kind]), case.requester)
    for person in ("ann", "ben", "cat", "dan", "Ann", "policy", "eve"):
        assert may_decide(policy, request, person).allowed == oracle_may(case, person), (person, case)
    said = {"free": "", "given": "because", "blank": " "}[case.reason]
    given = [Given(name, "approve", said) for name in case.yes] + [Given(name, "reject", "no") for name in case.no]
    found = standing(policy, request, given)
    assert found.outcome == oracle_outcome(case), (found, case)
    by = {"none": None, "past": NOW - timedelta(seconds=1), "now": NOW, "later": NOW + timedelta(seconds=1)}
    starts = [NOW - timedelta(minutes=ago) for ago in case.starts]
    last = (starts[0], ActionKind(case.last_kind)) if starts else None
    facts = Circumstances(NOW, by[case.execute_by], "frozen" if case.switch else "", starts, last)
    start = may_start(policy, request, given, facts)
    assert start.when == oracle_start(case), (start, case)
    assert (start.when == "now") == (start.reason == ""), "what does not start says why"
    if start.until is not None and start.when == "later":
        assert start.until > NOW, "a time to wait for lies ahead"


LEVELS: dict[str, tuple[Any, ...]] = {
    "kind": ("fix_data", "rollback", "retrain", "promote"),
    "rule": ("risk", "kind", "nowhere"),
    "needed": (1, 2, 3),
    "rejections": (1, 2),
    "roles": ("approver", "lead", "viewer"),
    "scope": ("*", "ch*", "fraud-*"),
    "requester": ("watchkeeper", "ann", "ANN ", "ben", "dan"),
    "reason": ("free", "given", "blank"),
    "yes": ((), ("ann",), ("ann", "ben"), ("ann", "ben", "cat"), ("ben", "eve"), ("policy",)),
    "no": ((), ("cat",), ("ben", "ann")),
    "auto": ("off", "on", "other"),
    "execute_by": ("none", "past", "now", "later"),
    "switch": (False, True),
    "freeze": ("none", "dated", "weekly", "over"),
    "starts": ((), (59,), (60,), (10, 50), (90, 100)),
    "most": (0, 1, 2),
    "cooldown": (0, 1, 2),
    "last_kind": ("retrain", "rollback"),
}


def test_the_table_has_every_fact_of_a_case():
    assert set(LEVELS) == {field.name for field in fields(Case)}


def combinations(*names: str, **fixed: Any) -> list[Case]:
    return [
        Case(**fixed, **dict(zip(names, levels, strict=True))) for levels in itertools.product(*map(LEVELS.get, names))
    ]


WHO = combinations("kind", "rule", "roles", "scope", "requester", "yes", needed=1)
QUORUM = combinations("rule", "needed", "rejections", "roles", "reason", "yes", "no", "requester")
AUTO = combinations("kind", "auto", "requester", "yes", "rule", "no")
START = combinations("kind", "execute_by", "switch", "freeze", "starts", "most", "cooldown", "last_kind")


@pytest.mark.parametrize(
    ("table", "at_least"),
    [(WHO, 3240), (QUORUM, 14580), (AUTO, 3240), (START, 11520)],
    ids=["who", "quorum", "auto", "start"],
)
def test_every_combination_agrees_with_the_oracle(table, at_least):
    assert len(set(table)) >= at_least
    for case in table:
        check(case)


def test_random_draws_from_the_whole_product_agree_with_the_oracle():
    rng = random.Random(20261121)
    seen = {"now": 0, "later": 0, "never": 0}
    eased = {"execute_by": "later", "yes": ("ann", "ben"), "no": (), "needed": 1, "reason": "given", "switch": False}
    for number in range(600):
        drawn = {name: rng.choice(levels) for name, levels in LEVELS.items()}
        case = Case(**{**drawn, **(eased if number % 2 else {})})
        check(case)
        seen[oracle_start(case)] += 1
    assert min(seen.values()) > 20, f"each answer is asked for often: {seen}"
