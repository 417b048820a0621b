"""`approvals.yaml`: what may be written there, and what is refused with file, line and key."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from itertools import pairwise

import pytest

from agent.commands.workspace import TEMPLATES
from agent.domain.deciding import Request, who_may_decide
from agent.domain.errors import InvalidInput
from agent.domain.policy import Policy, Rule, load_policy, parse_policy
from tools.actions import ActionKind, Risk

ROLLBACK = Request("churn", ActionKind.ROLLBACK, Risk.MEDIUM, "watchkeeper")

WHOLE = """\
people:
  ada: {roles: [approver], models: ["*"]}
  grace: {roles: [approver, lead]}
risk:
  low: {approvals: 1}
  high: {approvals: 2, rejections: 2, reason: true}
actions:
  promote: {roles: [lead], approvals: 1}
unfreeze: {roles: [lead], approvals: 1}
auto_approve: {actions: [refresh_reference], models: ["bike-*"], by: grace}
approval_expiry: 1d
execution_expiry: 2h
cooldown: 0
max_actions_per_hour: 5
time_zone: Europe/Berlin
freezes:
  - {start: 2026-12-23, end: 2027-01-02T08:00:00Z, reason: nobody is there}
weekly_freezes:
  - {days: [fri, sat, sun], start: 16:00, end: 08:00, reason: weekend}
"""


def test_everything_that_can_be_written_is_read():
    with pytest.raises(InvalidInput, match="both with a zone"):
        parse_policy(WHOLE)
    policy = parse_policy(WHOLE.replace("08:00:00Z", "08:00:00"))
    assert policy.rule(ActionKind.PROMOTE, Risk.HIGH) == Rule(approvals=1, roles=("lead",))
    assert policy.rule(ActionKind.RETRAIN, Risk.HIGH) == Rule(approvals=2, rejections=2, reason=True)
    assert policy.rule(ActionKind.ROLLBACK, Risk.MEDIUM) == Rule(approvals=2), "what is missing needs two people"
    assert policy.weekly_freezes[0].start.hour == 16
    assert (policy.cooldown, policy.approval_expiry) == (timedelta(0), timedelta(days=1))


FAULTS = [
    ("people:\n  ann: {role: approver}", 2, "people.ann.role: unknown key; did you mean 'roles'?"),
    ("people:\n  ann: {}\n  ann: {}", 3, "'ann' stands twice"),
    ("people:\n  ann: {}\n  Ann: {}", 3, "people.Ann: reads like 'ann'"),
    ("people:\n  ann: {}\n  ａnn: {}", 3, "reads like 'ann'"),
    ("people:\n  policy: {}", 2, "people.policy: this name belongs to Watchkeeper"),
    ("people:\n  yes: {}", 2, "yes: YAML does not read this as text; put it in quotes"),
    ("risk:\n  grave: {}", 2, "risk.grave: Input should be 'low', 'medium' or 'high'"),
    ("risk:\n  low:\n    approvals: 0", 3, "risk.low.approvals: Input should be greater than or equal to 1"),
    ("risk:\n  low:\n    roles: []", 3, "risk.low.roles: Tuple should have at least 1 item"),
    ("actions:\n  delete_all: {}", 2, "actions.delete_all"),
    ("cooldown: 12", 1, "cooldown: "),
    ("approval_expiry: 0", 1, "approval_expiry: Input should be greater than 0"),
    ("approval_expiry: 40d", 1, "approval_expiry: Input should be less than or equal to 30 days"),
    ("execution_expiry: 8d", 1, "execution_expiry: Input should be less than or equal to 7 days"),
    ("time_zone: Mars/Olympus", 1, "time_zone: 'Mars/Olympus' is no time zone"),
    ("\nfreezes:\n  - {start: 2026-12-23, end: 2026-12-22, reason: x}", 3, "freezes.0: end: must be later than start"),
    ("freezes:\n  - {start: 2026-12-23, reason: x}", 2, "freezes.0.end: this key is required and missing"),
    (
        "freezes:\n  - {start: 2026-12-23, end: 2027-01-01, reason: x,\n     ends: x}",
        3,
        "freezes.0.ends: unknown key; did you mean 'end'?",
    ),
    ("weekly_freezes:\n  - days: [fri]\n    start: 25:00", 3, "weekly_freezes.0.start"),
    ("weekly_freezes:\n  - days: [friday]", 2, "weekly_freezes.0.days.0"),
    ("auto_approve: {actions: [retrain], by: ann}\npeople: {ann: {}}", 1, "retrain is of high risk"),
    ("auto_approve: {actions: [fix_data], by: eve}\npeople: {ann: {}}", 1, "'eve' is nobody of `people`"),
    ("auto_approve: {actions: [fix_data], by: ann}\npeople: {ann: {roles: [viewer]}}", 1, "who may decide on fix_data"),
    ("auto_approve: {actions: [], by: ann}\npeople: {ann: {}}", 1, "auto_approve.actions: Tuple should have"),
    ("autoapprove: true", 1, "autoapprove: unknown key; did you mean 'auto_approve'?"),
    ("people: [", 1, "not valid YAML"),
    ("freezes: [{start: 2026-02-31T00:00:00, end: x}]", None, "not valid YAML"),
    ("- people", None, "must be a mapping"),
    ("&a [*a]", None, "approvals.yaml"),
]


@pytest.mark.parametrize(("text", "line", "says"), FAULTS)
def test_a_fault_is_named_with_file_line_and_key(text, line, says):
    with pytest.raises(InvalidInput) as caught:
        parse_policy(text)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"approvals.yaml:{line}: " if line else "approvals.yaml")


def test_every_fault_is_named_at_once():
    with pytest.raises(InvalidInput) as caught:
        parse_policy("people:\n  ann: {role: x}\ncooldown: soon\nfreeze: []")
    assert [line.split(":")[1] for line in str(caught.value).splitlines()[:3]] == ["2", "3", "4"]


def test_a_missing_file_allows_nobody_and_an_empty_one_neither(tmp_path):
    assert who_may_decide(load_policy(tmp_path / "approvals.yaml"), ROLLBACK) == []
    (tmp_path / "approvals.yaml").write_text("")
    assert load_policy(tmp_path / "approvals.yaml").model_dump() == Policy().model_dump()


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "approvals.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match=r"approvals\.yaml: cannot be read"):
        load_policy(path)


def test_its_digest_is_that_of_the_file(tmp_path):
    path = tmp_path / "approvals.yaml"
    texts = [b"people: {ann: {}}", b"people: {ann: {}}\r\n", b"people: {ben: {}}"]
    found = []
    for text in texts:
        path.write_bytes(text)
        found.append(load_policy(path).digest)
        assert found[-1] == hashlib.sha256(text).hexdigest()
    assert all(one != other for one, other in pairwise(found))
    assert Policy().digest != Policy(cooldown=timedelta(0)).digest, "without a file, of what it says"


def test_the_template_of_init_is_a_policy_in_which_its_person_may_decide(tmp_path):
    path = tmp_path / "approvals.yaml"
    path.write_text((TEMPLATES / "approvals.yaml").read_text().replace("{{person}}", "ann"))
    policy = load_policy(path)
    assert who_may_decide(policy, ROLLBACK) == ["ann"]
    assert (policy.auto_approve, policy.unfreeze.approvals) == (None, 2)
