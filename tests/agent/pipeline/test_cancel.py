"""What was approved can be taken back, until a version is being switched."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import select

from agent import executor
from agent.domain.errors import Conflict, InvalidInput, NotAllowed
from agent.pipeline.approve import approve
from agent.pipeline.cancel import cancel
from agent.store.tables import Execution, ExecutionStep, Incident
from ml.models import deployment
from tools import actions

TRAINER = """
import time
from pathlib import Path

def slow(features, label, spec):
    Path({begun!r}).touch()
    time.sleep(600)
"""


def released(bench, action):
    wanted = bench.propose(action, incident=True)
    approve(bench.services, wanted, person="ann")
    return wanted


def cancelled(bench, wanted, person="ben", reason="wrong month"):
    with bench.services.store.write() as session:
        return cancel(bench.services, session, wanted, person=person, reason=reason).state


@pytest.fixture
def bad_champion(bench):
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    return bench


def test_before_it_starts_it_is_withdrawn_and_never_runs(bad_champion):
    bench = bad_champion
    wanted = released(bench, bench.rollback())
    assert cancelled(bench, wanted) == "withdrawn"
    assert executor.run_ready(bench.services, worker="w") == 0
    assert bench.services.registry.champion("churn").version == "2"
    with bench.services.store.read() as session:
        assert session.scalar(select(Incident.state)) == "diagnosed"


def test_who_may_and_why_it_must_be_said(bad_champion):
    bench = bad_champion
    wanted = released(bench, bench.rollback())
    with pytest.raises(NotAllowed, match=r"'eve' is not among the people of approvals\.yaml"):
        cancelled(bench, wanted, person="eve")
    with pytest.raises(InvalidInput, match="--reason"):
        cancelled(bench, wanted, reason=" ")
    assert bench.proposal(wanted).state == "approved"


def test_a_running_training_is_ended_within_seconds_and_the_champion_stays(bench, tmp_path, monkeypatch):
    begun = tmp_path / "begun"
    (tmp_path / "cancel_trainers.py").write_text(TRAINER.format(begun=str(begun)))
    monkeypatch.syspath_prepend(str(tmp_path))
    bench.add_versions(False)
    bench.serve(bench.clock() - timedelta(days=3), 400)
    bench.retrained_by("cancel_trainers:slow")
    data = bench.services.log.version("churn")
    wanted = released(
        bench,
        actions.Retrain(
            model="churn", expected_version="1", data_version=str(data),
            window_start=bench.clock() - timedelta(days=3), window_end=bench.clock(),
        ),
    )  # fmt: skip
    at_work = threading.Thread(target=executor.run_ready, args=(bench.services,), kwargs={"worker": "w"})
    at_work.start()
    try:
        _until(begun.exists)
        assert _step(bench, wanted).result["phase"].startswith("fitting on")
        assert cancelled(bench, wanted) == "executing"
    finally:
        at_work.join(60)
    assert not at_work.is_alive()
    ended = bench.proposal(wanted)
    assert (ended.state, ended.reason) == ("failed", "cancelled by ben: wrong month")
    assert bench.services.registry.champion("churn").version == "1"
    assert len(bench.services.registry.versions("churn")) == 1
    assert bench.events(wanted).count("cancellation asked") == 1


def test_what_is_done_cannot_be_cancelled(bad_champion):
    bench = bad_champion
    wanted = released(bench, bench.rollback())
    executor.run_ready(bench.services, worker="w")
    with pytest.raises(Conflict, match="is verifying; only what is approved or runs can be cancelled"):
        cancelled(bench, wanted)


def test_a_switch_that_has_begun_is_not_torn(bad_champion, monkeypatch):
    bench = bad_champion
    wanted = released(bench, bench.rollback())
    taken = executor.claim(bench.services, worker="w")
    assert executor._intend(bench.services, taken, "recheck", 0) is None
    assert cancelled(bench, wanted) == "executing"
    with bench.services.store.write() as session:
        session.get_one(Execution, taken.id).cancelled = ""
    executor._intend(bench.services, taken, "switch", 1)
    with pytest.raises(Conflict, match="switching the version this moment"):
        cancelled(bench, wanted)


def _step(bench, wanted) -> ExecutionStep:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with bench.services.store.read() as session:
            found = session.scalar(
                select(ExecutionStep).join(Execution).where(
                    Execution.proposal_id == wanted, ExecutionStep.name == "train"
                )
            )  # fmt: skip
        if found is not None and found.result:
            return found
        time.sleep(0.05)
    raise AssertionError("no progress was noted")


def _until(true, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
