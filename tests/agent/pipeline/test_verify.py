"""Did it help? Succeeded, failed or inconclusive, on the rows after the action; a failure offers the way back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from agent import executor
from agent.pipeline.approve import approve
from agent.pipeline.watch import watch
from agent.store.tables import Incident, Proposal, Report
from ml.models import deployment
from tools import actions


def carried_out(bench, action):
    wanted = bench.propose(action, incident=True)
    approve(bench.services, wanted, person="ann")
    executor.run_ready(bench.services, worker="w")
    assert bench.proposal(wanted).state == "verifying", bench.proposal(wanted).reason
    return wanted


def later(bench, count, length="12h"):
    start = bench.clock()
    bench.clock.advance(length)
    bench.serve(start, count)
    return watch(bench.services, "churn", bench.clock())


@pytest.fixture
def bad_champion(bench):
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    return bench


def test_a_rollback_that_helped_resolves_the_incident_and_writes_its_report(bad_champion):
    bench = bad_champion
    wanted = carried_out(bench, bench.rollback())
    assert later(bench, 20, "4h").verified is None, "forty rows are asked for"
    assert later(bench, 60).verified.state == "succeeded"
    with bench.services.store.read() as session:
        incident = session.scalars(select(Incident)).one()
        assert (incident.state, "It helped" in incident.resolution) == ("resolved", True)
        assert session.scalars(select(Report.incident_id)).all() == [incident.id]
    assert bench.events(wanted)[-1] == "proposal succeeded"


def test_a_promotion_that_made_it_worse_offers_the_rollback(bench):
    bench.add_versions(False, True)
    wanted = carried_out(bench, actions.Promote(model="churn", expected_version="1", to_version="2"))
    assert later(bench, 60).verified.state == "failed"
    with bench.services.store.read() as session:
        offered = session.scalars(select(Proposal).where(Proposal.id != wanted)).one()
    assert (offered.kind, offered.state) == ("rollback", "pending")
    assert offered.action["to_version"] == "1"
    assert offered.requested_by == "verification"


def test_without_labels_it_ends_inconclusive_and_the_incident_stays_open(bad_champion):
    bench = bad_champion
    carried_out(bench, bench.rollback())
    bench.clock.advance("4d")
    assert watch(bench.services, "churn", bench.clock()).verified.state == "inconclusive"
    with bench.services.store.read() as session:
        assert session.scalars(select(Incident.state)).one() != "resolved"


def test_a_repair_is_verified_by_clean_rows_which_end_the_unfit_window(bench):
    bench.add_versions(False)
    now = bench.clock()
    action = actions.FixData(
        model="churn", features=("age",), repair="divide by 12", onset=now - timedelta(days=1), window_end=now
    )
    carried_out(bench, action)
    assert later(bench, 60).verified.state == "succeeded"
