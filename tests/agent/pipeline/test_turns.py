"""Who may start beside whom; what is tried again, and how often; what was rolled back does not come back by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import select

from agent import executor
from agent.domain.errors import Unavailable
from agent.pipeline import execute, pauses
from agent.pipeline.approve import approve
from agent.pipeline.propose import file_proposal, may_propose, propose, would_bring_back
from agent.pipeline.watch import watch
from agent.store import queries
from agent.store.tables import Deployment, Diagnosis, Execution, ExecutionStep, Incident, Outbox, Proposal
from ml.models import deployment
from tools import actions
from tools.actions import ActionKind

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def fix(bench):
    now = bench.clock()
    return actions.FixData(model="churn", features=("age",), repair="-", onset=now, window_end=now)


def approved(bench, action, **options):
    wanted = bench.propose(action, **options)
    approve(bench.services, wanted, person="ann")
    return wanted


@pytest.fixture
def bad_champion(bench):
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    return bench


def test_two_executions_of_one_model_never_run_at_the_same_time(bad_champion):
    bench = bad_champion
    bench.policy = bench.policy.model_copy(update={"max_actions_per_hour": 9})
    for _ in range(4):
        wanted = {approved(bench, bench.rollback()), approved(bench, fix(bench))}
        with ThreadPoolExecutor(4) as pool:
            taken = [one for one in pool.map(lambda n: _claimed(bench, n), range(4)) if one is not None]
        assert len(taken) == 1, "whoever was first; the other waits for its turn"
        assert _claimed(bench, 9) is None
        executor.run(bench.services, taken[0])
        assert executor.run_ready(bench.services, worker="w") == 1
        assert {bench.proposal(one).state for one in wanted} <= {"verifying", "superseded"}
        deployment.promote(bench.services.registry, "churn", "2", expected="1")
        bench.clock.advance("2h")


def _claimed(bench, number):
    try:
        return executor.claim(bench.services, worker=f"w{number}")
    except Unavailable:  # the database was busy: the worker asks again a second later
        return None


def test_the_second_of_two_changes_is_superseded_when_the_first_made_another_champion(bad_champion):
    bench = bad_champion
    bench.policy = bench.policy.model_copy(update={"cooldown": timedelta(0)})
    first = approved(bench, bench.rollback(), incident=True)
    second = approved(bench, actions.Promote(model="churn", expected_version="2", to_version="1"))
    small = approved(bench, fix(bench))
    assert executor.run_ready(bench.services, worker="w") >= 2
    bench.clock.advance("61m")
    executor.run_ready(bench.services, worker="w")
    states = [bench.proposal(one).state for one in (first, second, small)]
    assert states == ["verifying", "superseded", "verifying"]
    assert "the champion is version 1 now, not 2" in bench.proposal(second).reason


@SQLITE
def test_what_changes_no_model_neither_waits_for_a_cooldown_nor_gives_one(bad_champion):
    bench = bad_champion
    small = approved(bench, fix(bench))
    assert executor.run_ready(bench.services, worker="w") == 1
    change = approved(bench, actions.Promote(model="churn", expected_version="2", to_version="1"))
    assert executor.run_ready(bench.services, worker="w") == 1, "the cooldown after a change of a model is not on"
    assert [bench.proposal(one).state for one in (small, change)] == ["verifying", "verifying"]


@SQLITE
def test_a_small_proposal_of_a_person_beside_it_silences_the_watch_no_longer_than_it_lives(bench):
    """While anything is live the watch adds nothing; what a person asked for and that changed no model gives no
    cooldown."""
    with bench.services.store.write() as session:
        incident = Incident(model="churn", state="open", severity="critical", title="t", opened_at=bench.clock())
        session.add(incident)
    wanted = bench.propose(fix(bench), requested_by="cat")

    def may():
        with bench.services.store.read() as session:
            row = session.get_one(Incident, incident.id)
            return may_propose(bench.services, session, bench.spec, row, bench.clock())

    assert not may()
    from agent.pipeline.approve import withdraw

    withdraw(bench.services, wanted, person="cat", reason="done by hand")
    assert may()
    again = bench.propose(fix(bench))
    withdraw(bench.services, again, person="ann", reason="no")
    assert not may(), "its own gives one"


# -- tried again ----------------------------------------------------------------------------------------------------


def test_what_is_out_of_reach_is_tried_again_with_growing_pauses_and_then_given_up(bad_champion, monkeypatch):
    bench = bad_champion
    wanted = approved(bench, bench.rollback(), incident=True)

    def away(work):
        raise Unavailable("MLflow at sqlite:///x cannot be reached")

    monkeypatch.setitem(execute.STEPS, ActionKind.ROLLBACK, (("recheck", away), ("switch", execute.switch)))
    pauses_seen = []
    for tries in range(1, pauses.MOST_TRIES):
        assert executor.run_ready(bench.services, worker="w") == 1
        with bench.services.store.read() as session:
            run, step = session.scalars(select(Execution)).one(), session.scalars(select(ExecutionStep)).one()
        assert (run.state, run.worker, step.tries, step.state) == ("running", None, tries, "intended")
        assert step.error.startswith("MLflow at")
        pauses_seen.append((run.lease_until - bench.clock()).total_seconds())
        bench.clock.advance(run.lease_until - bench.clock())
        assert executor.run_ready(bench.services, worker="w") == 0, "not before the pause is over"
        bench.clock.advance("1s")
    assert pauses_seen == [5, 10, 20, 40, 80, 160, 300]
    assert executor.run_ready(bench.services, worker="w") == 1
    assert bench.proposal(wanted).state == "failed"
    assert bench.proposal(wanted).reason.startswith("recheck was tried 8 times, and each time: MLflow at")
    assert bench.events(wanted).count("execution tried again") == 7
    assert bench.services.registry.champion("churn").version == "2"


def test_it_goes_on_where_it_stopped_when_all_is_back(bad_champion, monkeypatch):
    bench = bad_champion
    wanted = approved(bench, bench.rollback())
    with monkeypatch.context() as patch:
        patch.setattr(bench.services.registry, "alias", _away)
        executor.run_ready(bench.services, worker="w")
    bench.clock.advance("6s")
    executor.run_ready(bench.services, worker="w")
    assert bench.proposal(wanted).state == "verifying"
    with bench.services.store.read() as session:
        tries = dict(session.execute(select(ExecutionStep.name, ExecutionStep.tries)).all())
        assert tries == {"recheck": 1, "switch": 0}
        assert session.scalars(select(ExecutionStep.error)).all() == ["", ""]


@SQLITE
def test_a_switch_that_may_have_happened_is_tried_until_it_is_known(bad_champion, monkeypatch):
    bench = bad_champion
    wanted = approved(bench, bench.rollback())
    with monkeypatch.context() as patch:
        patch.setattr(deployment, "promote", _away)
        for _ in range(pauses.MOST_TRIES + 2):
            executor.run_ready(bench.services, worker="w")
            bench.clock.advance("301s")
    assert bench.proposal(wanted).state == "executing"
    executor.run_ready(bench.services, worker="w")
    assert bench.proposal(wanted).state == "verifying"


def _away(*args, **kwargs):
    raise Unavailable("MLflow cannot be reached")


# -- is the data fit ------------------------------------------------------------------------------------------------


def retrain(bench, **changes):
    now = bench.clock()
    given = {"expected_version": "1", "data_version": str(bench.services.log.version("churn"))}
    given |= {"window_start": now - timedelta(days=10), "window_end": now}
    return actions.Retrain(model="churn", **{**given, **changes})


@SQLITE
def test_broken_rows_are_not_trained_on_and_what_is_broken_is_named(bench, monkeypatch):
    bench.add_versions(False)
    frame = _rows(bench)
    frame.loc[frame.index[::3], "age"] = np.nan
    _log(bench, frame)
    wanted = approved(bench, retrain(bench))
    executor.run_ready(bench.services, worker="w")
    assert bench.proposal(wanted).state == "failed"
    assert "age is missing in 33% of the rows, where it was 0%" in bench.proposal(wanted).reason
    with bench.services.store.read() as session:
        steps = session.execute(select(ExecutionStep.name, ExecutionStep.state).order_by(ExecutionStep.position)).all()
    assert [tuple(step) for step in steps] == [
        ("recheck", "done"), ("pin_data", "done"), ("check_data", "done"), ("check_quality", "intended"),
    ]  # fmt: skip
    assert bench.services.registry.champion("churn").version == "1"


@SQLITE
def test_a_version_of_the_log_that_is_gone_is_said(bench):
    bench.add_versions(False)
    _log(bench, _rows(bench))
    wanted = approved(bench, retrain(bench, data_version="p99.l99"))
    executor.run_ready(bench.services, worker="w")
    assert "the log's version p99.l99, which was approved, is gone" in bench.proposal(wanted).reason


def _rows(bench):
    from tests.agent.conftest import rows

    return rows(bench.clock() - timedelta(days=3), 300)


def _log(bench, frame):
    answered = frame.assign(prediction=1, score=0.5)
    bench.services.log.append_predictions(bench.spec, answered.drop(columns="label"), batch_id="b")
    labels = frame[["prediction_id", "label"]].assign(label_timestamp=frame["timestamp"])
    bench.services.log.append_labels(bench.spec, labels, batch_id="b", as_of=bench.clock())


# -- no A-B-A -------------------------------------------------------------------------------------------------------


def rolled_back(bench):
    """Version 2 replaced 1, was bad, and was rolled back, each by an execution."""
    for action in (actions.Promote(model="churn", expected_version="1", to_version="2"), bench.rollback()):
        wanted = approved(bench, action)
        assert executor.run_ready(bench.services, worker="w") == 1
        assert bench.proposal(wanted).state == "verifying"
        with bench.services.store.write() as session:
            session.get_one(Proposal, wanted).state = "succeeded"
        bench.clock.advance("2h")


@SQLITE
def test_the_watch_does_not_bring_back_what_was_rolled_back_and_a_person_may(bench):
    bench.add_versions(False, True)
    rolled_back(bench)
    at = bench.clock()
    with bench.services.store.write() as session:
        incident = Incident(model="churn", state="diagnosed", severity="critical", title="t", opened_at=at)
        session.add(incident)
        session.flush()
        document = {"action": {"kind": "rollback", "parameters": {"to_version": "2"}, "why": "2 was better"}}
        session.add(
            Diagnosis(
                incident_id=incident.id, at=at, window_start=at - timedelta(days=2), window_end=at, verdict="incident",
                cause="bad_deployment", probability=0.9, action="rollback", document=document, seconds=0.1,
            )
        )  # fmt: skip
        session.flush()
        from agent.pipeline.propose import Pins

        assert propose(bench.services, session, bench.spec, incident, Pins("1", "p0.l0"), at) is None
        told = session.scalar(select(Outbox.body).where(Outbox.key == f"escalated:{incident.id}"))
        assert told.startswith("The diagnosis says rollback, but version 2 was rolled back at 2026-03-01 14:00 UTC")
        by_person = bench.rollback(expected="1", to="2")
        assert file_proposal(
            bench.services, session, bench.spec, by_person, None, None, at=at, requested_by="cat"
        ).state == "pending"  # fmt: skip
    with bench.services.store.read() as session:
        assert would_bring_back(bench.services, session, by_person, at + timedelta(days=8)) is None


@SQLITE
def test_the_undo_of_a_change_that_failed_is_offered_unless_it_would_bring_back_what_was_rolled_back(bench):
    bench.add_versions(False, True)
    rolled_back(bench)
    with bench.services.store.write() as session:  # 2 answers again, by hand; then 1 is promoted, and does worse
        session.add(Deployment(model="churn", version="2", kind="promote", at=bench.clock()))
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    bench.clock.advance("1m")
    wanted = approved(bench, actions.Promote(model="churn", expected_version="2", to_version="1"), incident=True)
    executor.run_ready(bench.services, worker="w")
    start = bench.clock()
    bench.clock.advance("12h")
    bench.serve(start, 60, flip=True)  # the world turned round: version 2 would be right now
    assert watch(bench.services, "churn", bench.clock()).verified.state == "failed"
    with bench.services.store.read() as session:
        told = session.scalar(select(Outbox.body).where(Outbox.key == f"verified:{wanted}"))
        assert queries.live_proposal(session, "churn", ActionKind.ROLLBACK) is None
    assert "No rollback is proposed: version 2 was rolled back at" in told
