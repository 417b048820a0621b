"""Approved once, done once: on both databases and a real MLflow store, through crashes, lost leases and a freeze."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from agent import executor
from agent.domain.errors import Unavailable
from agent.pipeline import execute
from agent.pipeline.approve import approve
from agent.pipeline.freeze import freeze, unfreeze
from agent.store import queries
from agent.store.tables import Deployment, Execution, Incident, Model, Outbox, Proposal, UnfitWindow, Verification
from ml.models import deployment
from tools import actions

SPEC = """
name: churn
task: binary
features:
  age: {type: numeric}
"""


class Killed(BaseException):
    """Stands for SIGKILL: no handler of ours catches it."""


def approved(bench, action, *, incident=False):
    wanted = bench.propose(action, incident=incident)
    approve(bench.services, wanted, person="ann")
    return wanted


def champion(bench):
    return bench.services.registry.champion("churn").version


def count(bench, table):
    with bench.services.store.read() as session:
        return session.scalar(select(func.count()).select_from(table))


@pytest.fixture
def bad_champion(bench):
    """Version 2 is bad and answers; version 1 was champion before."""
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    return bench


def test_a_rollback_is_done_once_and_recorded(bad_champion):
    bench = bad_champion
    wanted = approved(bench, bench.rollback(), incident=True)
    assert executor.run_ready(bench.services, worker="w") == 1
    assert executor.run_ready(bench.services, worker="w") == 0
    assert champion(bench) == "1"
    assert bench.proposal(wanted).state == "verifying"
    assert bench.events(wanted)[-3:] == ["proposal executing", "proposal executed", "proposal verifying"]
    with bench.services.store.read() as session:
        assert session.scalar(select(Incident.state)) == "verifying"
        assert session.scalars(select(Deployment.version).order_by(Deployment.id)).all()[-1] == "1"


STEPS = ("recheck", "switch")
MOMENTS = [(step, moment) for step in STEPS for moment in ("intended", "done", "recorded")] + [("end", "before")]


@pytest.mark.parametrize(("step", "moment"), MOMENTS)
def test_killed_anywhere_it_is_taken_over_and_done_once(bad_champion, monkeypatch, step, moment):
    bench = bad_champion
    wanted = approved(bench, bench.rollback(), incident=True)
    with monkeypatch.context() as patch:
        _kill_at(patch, step, moment)
        with pytest.raises(Killed):
            executor.run_ready(bench.services, worker="first")
    assert executor.run_ready(bench.services, worker="second") == 0, "the lease still runs"
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    assert executor.run_ready(bench.services, worker="second") == 1
    assert champion(bench) == "1"
    assert bench.proposal(wanted).state == "verifying"
    assert count(bench, Deployment) == 2, "the first deployment and one rollback"
    assert bench.events(wanted).count("execution taken over") == 1


def _kill_at(patch, step, moment):
    """Raise at a moment of a step: its intent is written, its effect is done, or its result is recorded."""

    def killer(original, when):
        def call(*args):
            if when == "before":
                raise Killed
            result = original(*args)
            if step in args or when == "always":
                raise Killed
            return result

        return call

    if step == "end":
        patch.setattr(executor, "_end", killer(executor._end, "before"))
    elif moment == "intended":
        patch.setattr(executor, "_intend", killer(executor._intend, "after"))
    elif moment == "recorded":
        patch.setattr(executor, "_record", killer(executor._record, "after"))
    else:
        table = {
            kind: tuple((name, killer(run, "always") if name == step else run) for name, run in steps)
            for kind, steps in execute.STEPS.items()
        }
        patch.setattr(executor, "STEPS", table)


def test_a_worker_that_wakes_after_its_lease_writes_nothing(bad_champion):
    bench = bad_champion
    wanted = approved(bench, bench.rollback())
    asleep = executor.claim(bench.services, worker="asleep")
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    assert executor.run_ready(bench.services, worker="awake") == 1
    before = bench.events(wanted)
    executor.run(bench.services, asleep)
    assert bench.events(wanted) == before
    assert count(bench, Deployment) == 2


def test_one_field_changed_after_approval_never_runs(bad_champion):
    bench = bad_champion
    wanted = approved(bench, bench.rollback())
    with bench.services.store.write() as session:
        session.execute(update(Proposal).values(action={**bench.proposal(wanted).action, "to_version": "2"}))
    executor.run_ready(bench.services, worker="w")
    assert champion(bench) == "2"
    assert bench.proposal(wanted).state == "failed"
    assert "was changed after it was made" in bench.proposal(wanted).reason


def test_a_person_who_may_no_longer_decide_releases_nothing(bad_champion):
    bench = bad_champion
    wanted = approved(bench, bench.rollback())
    bench.policy = bench.policy.model_copy(update={"people": {}})
    executor.run_ready(bench.services, worker="w")
    assert (champion(bench), bench.proposal(wanted).state) == ("2", "superseded")


def test_another_champion_since_the_approval_supersedes(bad_champion):
    bench = bad_champion
    wanted = approved(bench, bench.rollback(), incident=True)
    deployment.promote(bench.services.registry, "churn", "1", expected="2")
    executor.run_ready(bench.services, worker="w")
    assert bench.proposal(wanted).state == "superseded"
    with bench.services.store.read() as session:
        assert session.scalar(select(Incident.state)) == "diagnosed"
        assert (
            session.scalar(select(Outbox.title).where(Outbox.key == f"abandoned:{wanted}"))
            == "churn: rollback was not done"
        )


def test_frozen_nothing_starts(bad_champion):
    bench = bad_champion
    wanted = approved(bench, bench.rollback())
    with bench.services.store.write() as session:
        freeze(bench.services, session, person="anyone", reason="fire")
    assert executor.run_ready(bench.services, worker="w") == 0
    assert bench.proposal(wanted).state == "approved"
    for person in ("ann", "ben"):
        assert executor.run_ready(bench.services, worker="w") == 0
        with bench.services.store.write() as session:
            unfreeze(bench.services, session, person=person, reason="out")
    assert executor.run_ready(bench.services, worker="w") == 1


def test_the_hourly_bound_holds_actions_back(bad_champion):
    bench = bad_champion
    bench.policy = bench.policy.model_copy(update={"max_actions_per_hour": 1})
    approved(bench, bench.rollback())
    assert executor.run_ready(bench.services, worker="w") == 1
    approved(bench, bench.rollback(expected="1", to="2"))
    assert executor.run_ready(bench.services, worker="w") == 0
    bench.clock.advance("61m")
    assert executor.run_ready(bench.services, worker="w") == 1


def test_fix_data_changes_no_model_marks_the_window_and_tells_the_owner(bench):
    bench.add_versions(False)
    now = bench.clock()
    action = actions.FixData(
        model="churn",
        features=("age",),
        repair="divide by 12",
        onset=now - timedelta(days=1),
        window_end=now,
        notify="#feeds",
    )
    approved(bench, action)
    assert executor.run_ready(bench.services, worker="w") == 1
    assert champion(bench) == "1"
    with bench.services.store.read() as session:
        assert [str(w) for w in queries.unfit_windows(session, "churn")] == ["2026-02-28 12:00 to 2026-03-01 12:00"]
        letter = session.scalar(select(Outbox).where(Outbox.key.startswith("fix_data:")))
    assert letter.recipient == "#feeds"
    assert "age arrives broken since 2026-02-28 12:00" in letter.title
    assert "divide by 12" in letter.body


def retrain(bench, expected="1"):
    now = bench.clock()
    return actions.Retrain(
        model="churn",
        expected_version=expected,
        data_version=str(bench.services.log.version("churn")),
        window_start=now - timedelta(days=10),
        window_end=now,
    )


def test_retraining_after_the_relation_turned_is_accepted_and_deployed(bench):
    bench.add_versions(False)
    bench.serve(bench.clock() - timedelta(days=3), 400, flip=True)
    wanted = approved(bench, retrain(bench))
    assert executor.run_ready(bench.services, worker="w") == 1
    assert bench.proposal(wanted).state == "verifying", bench.proposal(wanted).reason
    assert champion(bench) == "2"
    made = bench.services.registry.version("churn", "2")
    assert (made.parent_version, made.run_tag) == ("1", wanted)
    assert made.data_version == bench.proposal(wanted).action["data_version"]


def test_retraining_that_gains_nothing_is_refused_and_the_champion_stays(bench):
    bench.add_versions(False)
    bench.serve(bench.clock() - timedelta(days=3), 400)
    wanted = approved(bench, retrain(bench), incident=True)
    executor.run_ready(bench.services, worker="w")
    assert (champion(bench), bench.proposal(wanted).state) == ("1", "failed")
    assert "was not accepted" in bench.proposal(wanted).reason
    assert count(bench, Verification) == 0


def test_rows_of_an_unfit_window_are_not_trained_on(bench):
    bench.add_versions(False)
    now = bench.clock()
    bench.serve(now - timedelta(days=3), 400, flip=True)
    with bench.services.store.write() as session:
        session.add(
            UnfitWindow(model="churn", start=now - timedelta(days=4), end=now, features=["age"], reason="broken")
        )
    wanted = approved(bench, retrain(bench))
    executor.run_ready(bench.services, worker="w")
    assert "only 0 labelled rows are fit for training" in bench.proposal(wanted).reason


def test_training_killed_before_it_is_recorded_makes_one_version(bench, monkeypatch):
    bench.add_versions(False)
    bench.serve(bench.clock() - timedelta(days=3), 400, flip=True)
    approved(bench, retrain(bench))
    with monkeypatch.context() as patch:
        _kill_at(patch, "train", "done")
        with pytest.raises(Killed):
            executor.run_ready(bench.services, worker="first")
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    executor.run_ready(bench.services, worker="second")
    assert [v.version for v in bench.services.registry.versions("churn")] in (["1", "2"], ["2", "1"])
    assert champion(bench) == "2"
    assert count(bench, Execution) == 1


def test_a_database_out_of_reach_for_a_moment_loses_no_effect(bad_champion, monkeypatch):
    """The version was switched, its record could not be written: it is not called undone, but carried on later."""
    bench = bad_champion
    wanted = approved(bench, bench.rollback(), incident=True)
    record = executor._record

    def unreachable(services, execution, name, result):
        if name == "switch":
            raise Unavailable("the database is locked")
        record(services, execution, name, result)

    with monkeypatch.context() as patch:
        patch.setattr(executor, "_record", unreachable)
        executor.run_ready(bench.services, worker="first")
    assert (champion(bench), bench.proposal(wanted).state) == ("1", "executing")
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    assert executor.run_ready(bench.services, worker="second") == 1
    assert bench.proposal(wanted).state == "verifying"
    assert count(bench, Deployment) == 2


def test_what_no_step_foresaw_ends_the_execution_and_not_the_worker(bad_champion, monkeypatch):
    bench = bad_champion
    wanted = approved(bench, bench.rollback(), incident=True)

    def broken(work):
        raise KeyError("surprise")

    monkeypatch.setitem(execute.STEPS, actions.ActionKind.ROLLBACK, (("recheck", broken),))
    assert executor.run_ready(bench.services, worker="w") == 1
    assert bench.proposal(wanted).state == "failed"
    assert "KeyError: 'surprise'" in bench.proposal(wanted).reason
    assert champion(bench) == "2"


@pytest.mark.parametrize(
    "change", [{"action": {"kind": "nonsense"}}, {"kind": "promote"}], ids=["no action at all", "another kind"]
)
def test_a_proposal_that_is_no_longer_what_was_approved_never_runs_and_blocks_nobody(bad_champion, change):
    bench = bad_champion
    wanted = approved(bench, bench.rollback())
    with bench.services.store.write() as session:
        session.execute(update(Proposal).values(**change))
    executor.run_ready(bench.services, worker="w")
    assert (champion(bench), bench.proposal(wanted).state) == ("2", "failed")
    assert "was changed after it was made" in bench.proposal(wanted).reason


def test_a_model_that_must_wait_does_not_hold_up_another(bad_champion):
    bench = bad_champion
    bench.policy = bench.policy.model_copy(update={"max_actions_per_hour": 1})
    approved(bench, bench.rollback())
    executor.run_ready(bench.services, worker="w")
    waits = approved(bench, bench.rollback(expected="1", to="2"))
    with bench.services.store.write() as session:
        session.add(Model(name="other", spec=SPEC.replace("churn", "other"), registered_at=bench.clock()))
    bench.spec = bench.spec.model_copy(update={"name": "other"})
    now = bench.clock.advance("1m")
    other = approved(bench, actions.FixData(model="other", features=("age",), repair="-", onset=now, window_end=now))
    assert executor.run_ready(bench.services, worker="w") == 1
    assert (bench.proposal(waits).state, bench.proposal(other).state) == ("approved", "verifying")


def test_taken_over_too_late_nothing_is_switched(bad_champion, monkeypatch):
    """What was true before the crash is asked again, as long as no version was switched."""
    bench = bad_champion
    wanted = approved(bench, bench.rollback())
    with monkeypatch.context() as patch:
        _kill_at(patch, "recheck", "recorded")
        with pytest.raises(Killed):
            executor.run_ready(bench.services, worker="first")
    bench.clock.advance(bench.policy.execution_expiry)
    executor.run_ready(bench.services, worker="second")
    assert (champion(bench), bench.proposal(wanted).state) == ("2", "superseded")


def test_the_lease_is_renewed_again_after_the_database_was_out_of_reach(bad_champion, monkeypatch):
    bench = bad_champion
    approved(bench, bench.rollback())
    execution = executor.claim(bench.services, worker="w")
    monkeypatch.setattr(executor, "LEASE", timedelta(milliseconds=30))
    write, beats, renewed = bench.services.store.write, [], threading.Event()

    def flaky():
        beats.append(1)
        if len(beats) == 1:
            raise Unavailable("the database is locked")
        renewed.set()
        return write()

    monkeypatch.setattr(bench.services.store, "write", flaky)
    with executor._heartbeat(bench.services, execution):
        assert renewed.wait(5)
