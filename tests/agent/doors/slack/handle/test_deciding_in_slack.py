"""Who clicks, when, on what: each way in which a decision in Slack can go, and what everybody sees then."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from agent.domain.policy import Rule
from agent.pipeline import approve as deciding
from agent.pipeline import freeze as switch
from agent.pipeline import people
from agent.store.tables import Approval, Execution, Proposal, SlackPost
from tests.agent.doors.slack.handle.conftest import CHANNEL, URL, said
from tools import actions
from tools.actions import Risk

TWO = {risk: Rule(approvals=2) for risk in Risk}


@pytest.fixture
def filed(scene):
    """Call it for a proposal with its card: by default a silence, which is of low risk and asks no registry."""

    def make(kind="silence", policy=None, requested_by="watchkeeper", incident=True):
        bench = scene.bench
        bench.policy = bench.policy.model_copy(update={"risk": policy or bench.policy.risk})
        now = bench.clock()
        window = {"window_start": now - timedelta(days=9), "window_end": now}
        action = {
            "silence": lambda: actions.Silence(model="churn", monitor="drift.psi", until=now + timedelta(days=1)),
            "rollback": lambda: bench.rollback(),
            "retrain": lambda: actions.Retrain(model="churn", expected_version="1", data_version="4", **window),
        }[kind]()
        wanted = bench.propose(action, incident=incident, requested_by=requested_by)
        scene.settle()
        return wanted

    return make


def state_of(scene, wanted):
    return scene.bench.proposal(wanted).state


def buttons(message):
    return [one["action_id"] for block in message.blocks if block["type"] == "actions" for one in block["elements"]]


def reject(scene, who, reason):
    scene.slack.click(who, scene.card(), "reject")
    view = scene.slack.modal(who)
    scene.slack.submit(who, view, {"reason": {"typed": reason}})
    return view


def count(scene, table):
    with scene.services.store.read() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_one_approval_where_one_is_enough(scene, filed):
    wanted = filed()
    assert buttons(scene.card()) == ["approve", "reject", "details", "ask"]
    assert any("confirm" in one for b in scene.card().blocks if b["type"] == "actions" for one in b["elements"])
    scene.slack.click("ann", scene.card(), "approve")
    assert state_of(scene, wanted) == "approved"
    assert "Approved: silence" in scene.private("ann")
    scene.settle()
    assert "Approved" in said(scene.card())
    assert buttons(scene.card()) == ["details", "ask"]


def test_a_rejection_asks_for_the_reason_and_the_card_says_it(scene, filed):
    wanted = filed()
    view = reject(scene, "ann", "not <@here> *now*")
    assert not view.open
    assert state_of(scene, wanted) == "rejected"
    scene.settle()
    shown = said(scene.card())
    assert "Rejected" in shown
    assert "not &lt;here&gt; ∗now∗" in shown
    assert buttons(scene.card()) == ["details", "ask"]


def test_a_rejection_without_a_word_is_corrected_in_the_window(scene, filed):
    wanted = filed()
    view = reject(scene, "ann", "   ")
    assert view.open
    assert "Say why" in view.errors["reason"]
    assert state_of(scene, wanted) == "pending"


def test_what_nobody_decides_expires_and_says_so(scene, filed):
    wanted = filed()
    scene.bench.clock.advance("3d")
    scene.settle()
    assert state_of(scene, wanted) == "expired"
    assert "Expired" in said(scene.card())
    assert any("*Expired*" in said(one) for one in scene.thread(scene.card("incident")))


def test_overtaken_at_the_click(scene, filed):
    """The registry has no version 2 any more: it was made for another world."""
    wanted = filed("rollback")
    scene.slack.click("ann", scene.card(), "approve")
    assert state_of(scene, wanted) == "superseded"
    assert "superseded" in scene.private("ann")
    scene.settle()
    assert "Overtaken" in said(scene.card())
    assert "approve" not in buttons(scene.card())


def test_overtaken_before_anybody_clicks(scene, filed):
    filed("rollback")
    deciding.supersede_overtaken(scene.services, "churn")
    scene.settle()
    assert "Overtaken; nothing was done" in said(scene.card())


def test_withdrawn(scene, filed):
    wanted = filed()
    deciding.withdraw(scene.services, wanted, person="ann", reason="a mistake")
    scene.settle()
    assert "Withdrawn" in said(scene.card())
    assert "a mistake" in said(scene.card())


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (lambda s, p: deciding.approve(s.services, p, person="ben"), "already approved by ben at 2026-03-01 12:00 UTC"),
        (lambda s, p: deciding.reject(s.services, p, person="ben", reason="no"), "already rejected by ben at 2026"),
        (lambda s, p: s.bench.clock.advance("3d") and s.settle(), "already expired: nobody decided"),
        (lambda s, p: deciding.withdraw(s.services, p, person="ben", reason="oops"), "already withdrawn: oops"),
    ],
    ids=["approved", "rejected", "expired", "withdrawn"],
)  # fmt: skip
@pytest.mark.parametrize("button", ["approve", "reject"])
def test_a_late_click_gets_a_private_line_and_changes_nothing(scene, filed, before, line, button):
    wanted = filed()
    before(scene, wanted)
    was = state_of(scene, wanted)
    forged(scene, "ann", button, wanted)
    assert line in scene.private("ann")
    assert state_of(scene, wanted) == was
    assert count(scene, Execution) == (was == "approved")


def forged(scene, who, button, wanted, digest=None, team=None, message=None):
    """A click on a button that does not stand there (any more): the payload as Slack would have signed it."""
    from agent.doors.slack.loopback import payloads

    user = scene.slack.workspace.user(who)
    value = json.dumps({"proposal": wanted, "digest": digest or scene.bench.proposal(wanted).digest})
    element = {"type": "button", "action_id": button, "value": value}
    payload = payloads.action(scene.slack.workspace, user, element, "x", {}, message or scene.card())
    if team is not None:
        payload["user"]["team_id"] = team
    return scene.slack.send("interaction", payload)


def test_the_same_click_twice_is_one_approval(scene, filed):
    filed(policy=TWO)
    first = scene.slack.click("ann", scene.card(), "approve")
    scene.slack.redeliver(first)
    scene.slack.click("ann", scene.card(), "approve")
    assert "You approved it already" in scene.private("ann")
    assert count(scene, Approval) == 1


def test_quorum_shows_and_takes_two_people(scene, filed):
    wanted = filed(policy=TWO)
    assert "0 of 2 approvals" in said(scene.card())
    assert "ann, ben" in said(scene.card())
    scene.slack.click("ann", scene.card(), "approve")
    scene.settle()
    assert "1 of 2 approvals" in said(scene.card())
    assert state_of(scene, wanted) == "pending"
    scene.slack.click("ben", scene.card(), "approve")
    assert state_of(scene, wanted) == "approved"


def test_one_for_it_and_one_against(scene, filed):
    wanted = filed(policy=TWO)
    scene.slack.click("ann", scene.card(), "approve")
    scene.settle()
    reject(scene, "ben", "too risky today")
    scene.settle()
    shown = said(scene.card())
    assert state_of(scene, wanted) == "rejected"
    assert "ann approved" in shown
    assert "too risky today" in shown


# Who may not


def unlinked(scene):
    scene.slack.add_user("eve")
    return "eve"


def foreign(scene):
    scene.slack.add_user("fred", team="TELSEWHERE")
    return "fred"


def a_bot(scene):
    scene.slack.add_user("robot", is_bot=True)
    return "robot"


def shut_out_of_slack(scene):
    scene.slack.workspace.user("ann").deleted = True
    return "ann"


def deactivated(scene):
    with scene.services.store.write() as session:
        people.deactivate(session, scene.services, people.by_name(session, "ann"), by="test")
    return "ann"


def a_viewer(scene):
    return "cat"


def unknown_to_policy(scene):
    scene.slack.add_user("gil")
    scene.person("gil")
    return "gil"


def of_another_model(scene):
    scene.slack.add_user("dan")
    scene.person("dan", models=["other-*"])
    return "dan"


WHO_NOT = {
    unlinked: "/watch link CODE",
    foreign: "another workspace",
    a_bot: "Bots and workflows may not",
    shut_out_of_slack: "Slack is deactivated",
    deactivated: "Watchkeeper is deactivated",
    a_viewer: "You are viewer in Watchkeeper",
    unknown_to_policy: "not among the people of approvals.yaml",
    of_another_model: "may not see this model",
}


@pytest.mark.parametrize("button", ["approve", "reject"])
@pytest.mark.parametrize("make", WHO_NOT, ids=lambda make: make.__name__)
def test_who_may_not_is_told_why_privately(scene, filed, make, button):
    wanted, who = filed(), make(scene)
    scene.slack.workspace.channel(CHANNEL).members.add(scene.slack.workspace.user(who).id)
    before = len(scene.top())
    scene.slack.click(who, scene.card(), button)
    if (view := scene.slack.modal(who)) is not None:
        scene.slack.submit(who, view, {"reason": {"typed": "no"}})
    assert WHO_NOT[make] in scene.private(who)
    assert state_of(scene, wanted) == "pending"
    assert count(scene, Approval) == 0
    assert len(scene.top()) == before


def test_guests_are_told_to_ask_a_member(scene, filed, monkeypatch):
    from agent.doors.slack.loopback import methods

    filed()
    whole = methods.METHODS["users.info"]

    def of_a_guest(workspace, arguments):
        return {"user": {**whole.call(workspace, arguments)["user"], "is_restricted": True}}

    monkeypatch.setitem(methods.METHODS, "users.info", replace(whole, call=of_a_guest))
    scene.slack.click("ann", scene.card(), "approve")
    assert "Guests of the workspace" in scene.private("ann")
    assert count(scene, Approval) == 0


def test_who_asked_for_it_cannot_approve_it(scene, filed):
    wanted = filed(requested_by="ann")
    scene.slack.click("ann", scene.card(), "approve")
    assert "asked for this action" in scene.private("ann")
    assert state_of(scene, wanted) == "pending"
    scene.slack.click("ben", scene.card(), "approve")
    assert state_of(scene, wanted) == "approved"


def test_when_slack_does_not_say_who_it_is_nobody_is_let_in(scene, filed):
    wanted = filed()
    scene.slack.fail("users.info", status=500, times=5)
    scene.slack.click("ann", scene.card(), "approve")
    assert state_of(scene, wanted) == "pending"
    assert count(scene, Approval) == 0


# What it takes


def test_high_risk_is_approved_in_the_console(scene, filed):
    wanted = filed("retrain")
    assert buttons(scene.card()) == ["console", "reject", "details", "ask"]
    assert f"{URL}/approvals/{wanted}" in json.dumps(scene.card().blocks)
    forged(scene, "ann", "approve", wanted)
    assert "of high risk" in scene.private("ann")
    assert f"{URL}/approvals/{wanted}" in scene.private("ann")
    assert state_of(scene, wanted) == "pending"


def test_high_risk_is_rejected_in_slack_too(scene, filed):
    wanted = filed("retrain")
    reject(scene, "ann", "not this week")
    assert state_of(scene, wanted) == "rejected"


def test_another_digest_than_the_one_that_waits_is_refused(scene, filed):
    wanted = filed()
    forged(scene, "ann", "approve", wanted, digest="0" * 64)
    assert "not the one you were shown" in scene.private("ann")
    assert state_of(scene, wanted) == "pending"


def test_what_was_changed_after_the_card_never_runs(scene, filed):
    wanted = filed()
    with scene.services.store.write() as session:
        changed = {**scene.bench.proposal(wanted).action, "until": "2036-01-01T00:00:00Z"}
        session.execute(update(Proposal).values(action=changed))
    scene.slack.click("ann", scene.card(), "approve")
    assert "was changed after it was made" in scene.private("ann")
    assert state_of(scene, wanted) == "pending"


def test_a_team_that_is_not_ours_in_the_signed_payload_is_nobody(scene, filed):
    """The same user id in another team is somebody else."""
    wanted = filed()
    forged(scene, "ann", "approve", wanted, team="TELSEWHERE")
    assert "another workspace" in scene.private("ann")
    assert state_of(scene, wanted) == "pending"


def test_the_kill_switch_shows_on_the_card_and_goes_again(scene, filed):
    wanted = filed()
    scene.slack.command("ann", CHANNEL, "/watch", "freeze something is odd")
    scene.settle()
    assert "Nothing is executed now" in said(scene.card())
    assert "something is odd" in said(scene.card())
    scene.slack.click("ben", scene.card(), "approve")
    scene.settle()
    from agent import executor

    executor.run_ready(scene.services, worker="w1")
    assert state_of(scene, wanted) == "approved"
    for who in ("ann", "ben"):
        with scene.services.store.write() as session:
            if switch.kill_switch(session):
                switch.unfreeze(scene.services, session, person=who, reason="fine")
    scene.settle()
    assert "Nothing is executed now" not in said(scene.card())
    executor.run_ready(scene.services, worker="w1")
    scene.settle()
    assert "Carried out" in said(scene.card())


def test_a_proposal_without_an_incident_stands_by_itself(scene, filed):
    filed(incident=False)
    assert [one.ts for one in scene.top()][:1] == [scene.card().ts]
    assert not scene.card().thread_ts
    scene.slack.click("ann", scene.card(), "approve")
    scene.settle()
    assert any("*Approved*" in said(one) for one in scene.thread(scene.card()))


def test_an_update_that_comes_twice_edits_once(scene, filed):
    filed()
    edits = scene.card().edits
    with scene.services.store.write() as session:
        session.execute(update(SlackPost).values(edited_at=None))
    scene.settle()
    scene.settle()
    assert scene.card().edits == edits
