"""The way of an incident in Slack, from the first card to the last word."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from agent import executor
from agent.domain.policy import Rule
from agent.domain.proposal import ProposalEvent
from agent.store.changes import move_proposal, promise
from agent.store.tables import Incident, Proposal, Verification
from ml.models import deployment
from tests.agent.doors.slack.handle.conftest import CHANNEL, said
from tests.agent.reports.story import Story, day
from tools.actions import Risk

TWO = {risk: Rule(approvals=2) for risk in Risk}


@pytest.fixture
def rolled(scene):
    """Call it for a rollback of version 2 that waits for a decision, with its incident: models that can be loaded."""

    def make(policy=None):
        bench = scene.bench
        bench.policy = bench.policy.model_copy(update={"risk": policy or bench.policy.risk})
        bench.add_versions(False, True)
        deployment.promote(bench.services.registry, "churn", "2", expected="1")
        wanted = bench.propose(bench.rollback(), incident=True)
        scene.settle()
        return wanted

    return make


@pytest.mark.timeout(400)  # it trains, switches and judges: long where a machine does much else
def test_incident_card_two_approvers_executed_verified_final(scene, rolled):
    bench, waiting = scene.bench, rolled(TWO)
    assert "waits for a decision" in said(scene.card("incident"))
    card = scene.card()
    assert "Roll back to version 1" in said(card)
    assert "0 of 2 approvals" in said(card)
    scene.slack.click("ann", card, "approve")
    assert "1 more of 2 needed" in scene.private("ann")
    scene.settle()
    assert "1 of 2 approvals" in said(scene.card())
    assert "ann approved" in said(scene.card())
    scene.slack.click("ben", scene.card(), "approve")
    scene.settle()
    assert bench.proposal(waiting).state == "approved"
    executor.run_ready(bench.services, worker="w1")
    scene.settle()
    assert "being watched whether it helped" in said(scene.card())
    bench.serve(bench.clock(), 60, seed=5, version="1")
    bench.clock.advance("2d")
    from agent.pipeline.verify import judge, settle

    finding = judge(bench.services, bench.spec, bench.clock())
    with bench.services.store.write() as session:
        settle(bench.services, session, bench.spec, finding, bench.clock())
    scene.settle()
    assert "it helped" in said(scene.card())
    assert {one["action_id"] for b in scene.card().blocks if b["type"] == "actions" for one in b["elements"]} == {
        "details", "ask"
    }  # fmt: skip
    assert "*resolved*" in said(scene.card("incident"))
    told = "\n".join(said(one) for one in scene.thread(scene.card("incident")))
    for line in ("ann* approved", "ben* approved", "*Approved*", "rollback done", "rollback succeeded", "*Resolved*"):
        assert line in told, line
    assert not scene.undelivered()


@pytest.mark.parametrize("ending", ["failed", "inconclusive", "broken off"])
def test_the_card_ends_as_the_action_does(scene, ending):
    """A retraining, of high risk, that somebody approved in the console."""
    with scene.services.store.write() as session:
        story = Story(session).watched(values={30: 14.0}).opened()
        waiting = story.proposed(diagnosis=story.diagnosed()).id
        promise(
            session, key=f"proposal:{waiting}", recipient=CHANNEL, title="look", body="", kind="proposal",
            subject=waiting, at=day(38),
        )  # fmt: skip
    scene.bench.clock.time = day(38.25)
    scene.settle()
    assert "approved in the console" in said(scene.card())
    with scene.services.store.write() as session:
        story, row = Story(session), session.get_one(Proposal, waiting)
        story.incident = session.get_one(Incident, row.incident_id)
        execution = story.approved(row)
        if ending == "broken off":
            move_proposal(session, row, ProposalEvent.START, at=day(39), actor="w1")
            move_proposal(
                session, row, ProposalEvent.ABORT, at=day(39), actor="w1", reason="the registry was out of reach"
            )
        else:
            story.judged(row, story.executed(row, execution), ending)
            session.scalars(select(Verification)).one().document = {"statement": f"What followed: {ending}."}
    scene.settle()
    shown = said(scene.card())
    told = {
        "failed": ("*Failed*", "What was tried", "What followed: failed."),
        "inconclusive": ("nobody can say whether it helped", "What was done", "What followed: inconclusive."),
        "broken off": ("*Failed*", "What was tried", "the registry was out of reach"),
    }
    for line in (*told[ending], "ana approved"):
        assert line in shown, line
    actions = [block for block in scene.card().blocks if block["type"] == "actions"]
    assert [one["action_id"] for block in actions for one in block["elements"]] == ["details", "ask"]
