"""The policy where it meets the records: thresholds, its own decisions, withdrawal, what overtakes; explained."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from agent import executor
from agent.commands.policy import explain_policy, render_policy
from agent.domain.errors import Conflict, InvalidInput, NotAllowed
from agent.domain.policy import AutoApproval, Person, Rule
from agent.pipeline.approve import approve, auto_approve, reject, supersede_overtaken, withdraw
from agent.pipeline.propose import file_proposal
from agent.store.tables import Approval, AuditEvent, Execution, Incident, Model, Proposal
from ml.models import deployment
from tools import actions
from tools.actions import ActionKind, Risk


def fix(bench, model="churn"):
    now = bench.clock()
    return actions.FixData(model=model, features=("age",), repair="-", onset=now, window_end=now)


def policy(bench, **changes):
    bench.policy = bench.policy.model_copy(update=changes)


def event(bench, name):
    with bench.services.store.read() as session:
        return session.scalars(select(AuditEvent).where(AuditEvent.event == name)).one()


def test_as_many_rejections_as_the_rule_says_end_it(bench):
    policy(bench, risk={Risk.LOW: Rule(approvals=2, rejections=2)}, people={n: Person() for n in ("ann", "ben", "eva")})
    wanted = bench.propose(fix(bench), incident=True)
    assert reject(bench.services, wanted, person="ann", reason="no").state == "pending"
    assert reject(bench.services, wanted, person="ann", reason="still no").state == "pending"
    assert approve(bench.services, wanted, person="ben").state == "pending"
    assert reject(bench.services, wanted, person="ben", reason="on second thoughts").state == "rejected"
    assert bench.events(wanted)[1:] == ["decision reject", "decision approve", "decision reject", "proposal rejected"]
    with pytest.raises(Conflict, match="already rejected"):
        approve(bench.services, wanted, person="eva")


def test_one_rejection_of_two_does_not_stop_a_quorum(bench):
    policy(bench, risk={Risk.LOW: Rule(approvals=2, rejections=2)}, people={n: Person() for n in ("ann", "ben", "eva")})
    wanted = bench.propose(fix(bench))
    reject(bench.services, wanted, person="ann", reason="no")
    approve(bench.services, wanted, person="ben")
    assert approve(bench.services, wanted, person="eva").state == "approved"
    assert event(bench, "proposal approved").data["counted"] == ["ben", "eva"]
    assert executor.run_ready(bench.services, worker="w") == 1
    assert bench.proposal(wanted).state == "verifying"


def test_a_reason_that_the_rule_asks_for(bench):
    policy(bench, actions={ActionKind.FIX_DATA: Rule(approvals=1, reason=True)})
    wanted = bench.propose(fix(bench))
    with pytest.raises(InvalidInput, match="must give a --reason"):
        approve(bench.services, wanted, person="ann", reason="  ")
    assert approve(bench.services, wanted, person="ann", reason="clear").state == "approved"


def test_a_rule_that_asks_for_more_since_the_approval_stops_the_start(bench):
    wanted = bench.propose(fix(bench))
    approve(bench.services, wanted, person="ann")
    policy(bench, risk={Risk.LOW: Rule(approvals=2)})
    executor.run_ready(bench.services, worker="w")
    assert bench.proposal(wanted).state == "superseded"
    assert "1 more approval(s) needed" in bench.proposal(wanted).reason


AUTO = AutoApproval(actions=(ActionKind.FIX_DATA,), by="ann")


def test_what_the_policy_approves_itself_is_recorded_as_its_own_decision(bench):
    policy(bench, auto_approve=AUTO)
    wanted = bench.propose(fix(bench), incident=True)
    assert [row.state for row in auto_approve(bench.services, "churn")] == ["approved"]
    assert auto_approve(bench.services, "churn") == []
    decided = event(bench, "decision approve")
    assert (decided.actor, decided.data["policy"]) == ("policy", bench.policy.digest)
    assert "for which ann answers" in decided.data["reason"]
    assert bench.events(wanted) == ["proposal pending", "decision approve", "proposal approved"]
    assert executor.run_ready(bench.services, worker="w") == 1
    assert bench.proposal(wanted).state == "verifying"


@pytest.mark.parametrize(
    "change",
    [
        {"auto_approve": None},
        {"auto_approve": AUTO.model_copy(update={"models": ("other-*",)})},
        {"auto_approve": AUTO.model_copy(update={"actions": (ActionKind.REFRESH_REFERENCE,)})},
    ],
    ids=["off", "other models", "other actions"],
)
def test_off_or_for_others_it_approves_nothing(bench, change):
    policy(bench, **change)
    wanted = bench.propose(fix(bench))
    assert auto_approve(bench.services, "churn") == []
    assert bench.proposal(wanted).state == "pending"
    policy(bench, auto_approve=AUTO)
    assert [row.state for row in auto_approve(bench.services, "churn")] == ["approved"]
    policy(bench, **change)
    executor.run_ready(bench.services, worker="w")
    assert bench.proposal(wanted).state == "superseded", "and what it no longer approves does not start"


def test_it_never_approves_what_its_author_asked_for(bench):
    policy(bench, auto_approve=AUTO)
    wanted = bench.propose(fix(bench), requested_by="Ann")
    assert auto_approve(bench.services, "churn") == []
    with pytest.raises(NotAllowed, match="asked for this action"):
        approve(bench.services, wanted, person="ann")
    with pytest.raises(NotAllowed, match="not among the people"):
        approve(bench.services, wanted, person="policy")


def test_an_expired_proposal_is_not_approved_by_the_policy_either(bench):
    policy(bench, auto_approve=AUTO)
    wanted = bench.propose(fix(bench))
    bench.clock.advance(bench.policy.approval_expiry)
    assert auto_approve(bench.services, "churn") == []
    assert bench.proposal(wanted).state == "pending"


def test_withdrawn_by_who_asked_or_who_may_decide_and_by_nobody_else(bench):
    wanted = bench.propose(fix(bench), incident=True, requested_by="cat")
    for person in ("dan", "eve"):
        with pytest.raises(NotAllowed):
            withdraw(bench.services, wanted, person=person, reason="x")
    with pytest.raises(InvalidInput, match="takes a --reason"):
        withdraw(bench.services, wanted, person="cat", reason="")
    assert withdraw(bench.services, wanted, person="cat", reason="my mistake").state == "withdrawn"
    with bench.services.store.read() as session:
        assert session.scalar(select(Incident.state)) == "diagnosed"
    with pytest.raises(Conflict, match="it is final"):
        withdraw(bench.services, wanted, person="ann", reason="again")
    other = bench.propose(fix(bench))
    approve(bench.services, other, person="ann")
    with pytest.raises(Conflict, match="watchkeeper cancel"):
        withdraw(bench.services, other, person="ben", reason="too late")


@pytest.mark.parametrize("decided", [False, True])
def test_another_champion_ends_what_waits(bench, decided):
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    wanted = bench.propose(bench.rollback(), incident=True)
    if decided:
        approve(bench.services, wanted, person="ann")
    assert supersede_overtaken(bench.services, "churn") == []
    deployment.promote(bench.services.registry, "churn", "1", expected="2")
    assert [row.state for row in supersede_overtaken(bench.services, "churn")] == ["superseded"]
    assert supersede_overtaken(bench.services, "churn") == []
    assert bench.events(wanted)[-1] == "proposal superseded"
    assert executor.run_ready(bench.services, worker="w") == 0
    with bench.services.store.read() as session:
        assert set(session.scalars(select(Execution.state))) == ({"superseded"} if decided else set())
        assert session.scalar(select(Incident.state)) == "diagnosed"


def test_one_live_proposal_for_each_model_and_kind_is_the_databases_own_rule(bench):
    bench.propose(fix(bench))
    bench.propose(bench.rollback())
    for action in (fix(bench), bench.rollback()):
        with pytest.raises(Conflict, match="look again"):
            bench.propose(action)
    with bench.services.store.write() as session:
        session.add(Model(name="other", spec="x", registered_at=bench.clock()))
        session.flush()
        spec, at = bench.spec.model_copy(update={"name": "other"}), bench.clock()
        file_proposal(bench.services, session, spec, fix(bench, "other"), None, None, at=at, requested_by="w")
    with bench.services.store.read() as session:
        assert len(session.scalars(select(Proposal.id)).all()) == 3


def test_the_hour_counts_starts_not_approvals(bench):
    policy(bench, max_actions_per_hour=1, cooldown=timedelta(0), execution_expiry=timedelta(hours=6))
    first = bench.propose(fix(bench))
    approve(bench.services, first, person="ann")
    bench.clock.advance("90m")
    assert executor.run_ready(bench.services, worker="w") == 1, "approved long ago, started now"
    second = bench.propose(fix(bench))
    approve(bench.services, second, person="ann")
    bench.clock.advance("59m")
    assert executor.run_ready(bench.services, worker="w") == 0
    bench.clock.advance("1m")
    assert executor.run_ready(bench.services, worker="w") == 1


def test_the_cooldown_holds_the_next_action_back_and_an_undo_never(bench):
    bench.add_versions(False, True)
    policy(bench, cooldown=timedelta(hours=2), max_actions_per_hour=9)
    first = bench.propose(actions.Promote(model="churn", expected_version="1", to_version="2"))
    approve(bench.services, first, person="ann")
    assert executor.run_ready(bench.services, worker="w") == 1
    bench.clock.advance("1m")
    undo = bench.propose(bench.rollback())
    approve(bench.services, undo, person="ann")
    assert executor.run_ready(bench.services, worker="w") == 1, "an undo need not wait"
    bench.clock.advance("1m")
    again = bench.propose(bench.rollback(expected="1", to="2"))
    approve(bench.services, again, person="ann")
    assert executor.run_ready(bench.services, worker="w") == 0, "the undo of the undo does"
    assert explain_policy(bench.services, again)["held_back"] == "the cooldown of churn ends at 2026-03-01 14:01 UTC"
    bench.clock.advance("2h")
    assert executor.run_ready(bench.services, worker="w") == 1


def test_explained_who_may_how_many_more_and_why_not(bench, capsys):
    policy(bench, risk={Risk.LOW: Rule(approvals=2)})
    wanted = bench.propose(fix(bench))
    found = explain_policy(bench.services, wanted)
    assert (found["approvals_needed"], found["still_needed"], found["rule"]) == (2, 2, "risk.low")
    assert found["says"] == "2 more approval(s) needed; who can: ann, ben."
    assert {name: word["allowed"] for name, word in found["people"].items()} == {
        "ann": True, "ben": True, "cat": False, "dan": False,
    }  # fmt: skip
    approve(bench.services, wanted, person="ann")
    found = explain_policy(bench.services, wanted)
    assert (found["approved_by"], found["still_needed"], found["who_can_still"]) == (["ann"], 1, ["ben"])
    assert (found["people"]["ann"]["said"], found["people"]["ben"]["said"]) == ("approve", None)
    one = explain_policy(bench.services, wanted, "dan")["people"]
    assert one == {"dan": {"allowed": False, "reason": one["dan"]["reason"], "said": None}}
    assert "may not decide for the model 'churn'; who may: ann, ben" in one["dan"]["reason"]
    policy(bench, people={"ann": Person()})
    found = explain_policy(bench.services, wanted)
    assert found["says"] == "1 more approval(s) needed; approvals.yaml names only 0 more who could give one."
    render_policy(found)
    assert "may: ann" in capsys.readouterr().out
    policy(bench, risk={})
    assert explain_policy(bench.services, wanted)["rule"].startswith("the default")


def test_a_digest_of_the_policy_stands_with_each_decision(bench):
    wanted = bench.propose(fix(bench))
    approve(bench.services, wanted, person="ann")
    assert event(bench, "decision approve").data["policy"] == bench.policy.digest
    assert event(bench, "proposal approved").data["policy"] == bench.policy.digest
    with bench.services.store.read() as session:
        assert session.scalars(select(Approval.person)).all() == ["ann"]
