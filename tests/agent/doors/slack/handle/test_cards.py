"""The way of an incident in Slack, from the first card to the last word."""

from __future__ import annotations

import pytest

from agent import executor
from agent.domain.policy import Rule
from ml.models import deployment
from tests.agent.doors.slack.handle.conftest import said
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
