"""Who may decide: by the first rule that says no, with a reason that names who may."""

from datetime import timedelta

import pytest

from agent.domain.errors import InvalidInput
from agent.domain.policy import Person, Policy, Request, Rule, has_quorum, load_policy, may_decide, who_may_decide
from tools.actions import ActionKind, Risk

POLICY = Policy(
    people={
        "ann": Person(),
        "ben": Person(),
        "cat": Person(roles=("viewer",)),
        "dan": Person(models=("fraud-*",)),
    },
    risk={Risk.LOW: Rule(approvals=1), Risk.HIGH: Rule(approvals=2)},
)
ROLLBACK = Request("churn", ActionKind.ROLLBACK, Risk.MEDIUM, "watchkeeper")


@pytest.mark.parametrize(
    ("person", "allowed", "says"),
    [
        ("ann", True, "needs 2 approval"),
        ("nobody", False, "not among the people"),
        ("cat", False, "none of the roles approver"),
        ("dan", False, "may not decide for the model 'churn'"),
    ],
)
def test_each_rule_says_no_in_its_own_words(person, allowed, says):
    answer = may_decide(POLICY, ROLLBACK, person)
    assert (answer.allowed, says in answer.reason) == (allowed, True)
    if not allowed:
        assert "who may: ann, ben" in answer.reason


def test_nobody_decides_on_what_they_asked_for():
    assert not may_decide(POLICY, Request("churn", ActionKind.ROLLBACK, Risk.MEDIUM, "ann"), "ann").allowed


def test_a_risk_without_an_entry_needs_two_people():
    assert not has_quorum(POLICY, ROLLBACK, ["ann"])
    assert not has_quorum(POLICY, ROLLBACK, ["ann", "ann"])
    assert not has_quorum(POLICY, ROLLBACK, ["ann", "cat"])
    assert has_quorum(POLICY, ROLLBACK, ["ann", "ben"])


def test_a_rule_for_one_kind_of_action_goes_before_the_one_for_its_risk():
    policy = POLICY.model_copy(update={"actions": {ActionKind.ROLLBACK: Rule(approvals=1)}})
    assert has_quorum(policy, ROLLBACK, ["ben"])


def test_a_missing_file_allows_nobody(tmp_path):
    assert who_may_decide(load_policy(tmp_path / "approvals.yaml"), ROLLBACK) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("people: {ann: {role: approver}}", "people.ann.role"),
        ("risk: {grave: {}}", "risk.grave"),
        ("people: [", "YAML"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path, text, says):
    path = tmp_path / "approvals.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=says):
        load_policy(path)


def test_the_template_of_init_is_a_policy(tmp_path):
    from agent.commands.workspace import TEMPLATES

    path = tmp_path / "approvals.yaml"
    path.write_text((TEMPLATES / "approvals.yaml").read_text().replace("{{person}}", "ann"))
    policy = load_policy(path)
    assert who_may_decide(policy, ROLLBACK) == ["ann"]
    assert policy.approval_expiry == timedelta(days=2)
