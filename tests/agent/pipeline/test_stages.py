"""A release in stages: shadow, then a growing share, each with its verdict; the champion is touched at the end only."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select

from agent import executor
from agent.domain.errors import LeaseLost, Unavailable
from agent.domain.proposal import ProposalEvent
from agent.pipeline import pauses
from agent.pipeline.abandon import give_up
from agent.pipeline.approve import approve
from agent.pipeline.cancel import cancel
from agent.pipeline.freeze import freeze
from agent.store.tables import Execution, ExecutionStep, Incident, Model, Outbox, Proposal
from ml.models import deployment
from ml.models.registry import CANARY, CHAMPION, SHADOW, SHARE_TAG
from ml.spec import parse_spec
from tests.agent.conftest import SPEC, rows
from tools import actions

STAGED = SPEC + "release: {stages: [shadow, 10, 50, 100], rows: 60, time: 1d}\n"
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Killed(BaseException):
    """Stands for SIGKILL."""


class Street:
    """The model server's part: answers of a version come in, whichever way it takes part just now."""

    def __init__(self, bench, spec=STAGED):
        self.bench, bench.spec = bench, parse_spec(spec)
        with bench.services.store.write() as session:
            session.get_one(Model, "churn").spec = spec

    def release(self, to="2", kind=actions.Promote):
        wanted = self.bench.propose(kind(model="churn", expected_version="1", to_version=to), incident=True)
        approve(self.bench.services, wanted, person="ann")
        return wanted

    def work(self):
        """A worker's look, by another worker each time."""
        executor.run_ready(self.bench.services, worker=f"w{self.bench.clock():%H%M%S}")
        return self.plays()

    def plays(self):
        """What answers beside the champion: (shadow, canary, share)."""
        registered = self.bench.services.registry.registered("churn")
        named = {name: str(version) for name, version in dict(registered.aliases).items()}
        return named.get(SHADOW), named.get(CANARY), dict(registered.tags).get(SHARE_TAG)

    def answers(self, version="2", count=80, *, flip=False, length="2h"):
        """Time passes, in which a version answered so many rows, a minute apart; what was true is known at once."""
        bench, start = self.bench, self.bench.clock()
        frame = rows(start, count, seed=start.minute + start.hour * 60, flip=flip)
        frame["timestamp"] = [start + timedelta(minutes=1) + timedelta(seconds=60 * i) for i in range(count)]
        answers = bench.services.registry.load("churn", version, bench.spec).predict(frame)
        logged = frame.assign(prediction=answers["prediction"], score=answers["score"], model_version=version)
        bench.clock.advance(length)
        append = bench.services.log.append_predictions
        if self.plays()[0] is not None:
            served = bench.services.registry.load("churn", "1", bench.spec).predict(frame)
            both = logged.assign(prediction=served["prediction"], score=served["score"], model_version="1")
            append(bench.spec, both.drop(columns="label"), batch_id=f"served-{start}")
            append = bench.services.log.append_shadow
        append(bench.spec, logged.drop(columns="label"), batch_id=f"{version}-{start}")
        labels = frame[["prediction_id", "label"]].assign(label_timestamp=frame["timestamp"])
        bench.services.log.append_labels(bench.spec, labels, batch_id=f"{start}", as_of=bench.clock())

    def execution(self, wanted):
        with self.bench.services.store.read() as session:
            return session.scalars(select(Execution).where(Execution.proposal_id == wanted)).one()


@pytest.fixture
def street(bench):
    """Version 1 answers; version 2 is as good, version 3 is bad."""
    bench.add_versions(False, False, True)
    return Street(bench)


def test_a_good_version_goes_from_stage_to_stage_and_each_is_begun_once(street):
    bench, wanted = street.bench, street.release()
    assert street.work() == ("2", None, None)
    waits = street.execution(wanted)
    assert (waits.state, waits.worker, waits.lease_until) == ("waiting", None, None), "nobody holds it"
    street.answers(count=40)
    assert street.work() == ("2", None, None), "sixty answers are asked for"
    street.answers(count=40)
    assert street.work() == (None, "2", "0.1")
    assert street.work() == (None, "2", "0.1")
    street.answers()
    assert street.work() == (None, "2", "0.5")
    assert bench.services.registry.alias("churn", CHAMPION) == "1"
    street.answers()
    assert street.work() == (None, None, "0")
    assert bench.services.registry.alias("churn", CHAMPION) == "2"
    assert bench.proposal(wanted).state == "verifying", bench.proposal(wanted).reason
    stages_told = [event for event in bench.events(wanted) if event.startswith("release ")]
    names = ("shadow", "canary 10 %", "canary 50 %")
    assert stages_told == [f"release {name}{part}" for name in names for part in ("", " judged")]
    with bench.services.store.read() as session:
        told = session.scalars(select(Outbox.title).where(Outbox.key.startswith("stage:")).order_by(Outbox.id)).all()
        judged = session.scalars(select(ExecutionStep).where(ExecutionStep.name == "shadow judged")).one().result
    assert told == [f"churn: version 2 passed its stage {name}" for name in names]
    assert judged["n"] == 80, "the answers of both spans, and nobody else's"
    assert judged["interval"][0] < judged["gain"] < judged["interval"][1]


@pytest.mark.parametrize("frozen", [False, True], ids=["", "frozen"])
def test_a_version_that_does_worse_is_taken_out_and_the_champion_never_touched(street, frozen):
    bench, wanted = street.bench, street.release(to="3")
    street.work()
    street.answers(version="3", count=50)
    if frozen:
        with bench.services.store.write() as session:
            freeze(bench.services, session, person="anyone", reason="fire")
    assert street.work() == (None, None, None), "fewer than are asked for, but harm is plain"
    assert (bench.proposal(wanted).state, street.execution(wanted).state) == ("failed", "failed")
    assert bench.services.registry.alias("churn", CHAMPION) == "1"
    reason = bench.proposal(wanted).reason
    assert reason.startswith("shadow: It does worse: on 50 labelled answers of version 3 its loss a row is +")
    with bench.services.store.read() as session:
        assert session.scalar(select(Incident.state)) == "diagnosed"
        assert session.scalar(select(Outbox.title).where(Outbox.key == f"abandoned:{wanted}"))


@SQLITE
def test_a_stage_that_stays_unclear_asks_a_person(street):
    bench, wanted = street.bench, street.release()
    street.work()
    street.answers(count=12)
    bench.clock.advance("1d")
    assert street.work() == (None, None, None)
    assert bench.proposal(wanted).state == "failed"
    assert "12 labelled answers of version 2 came in" in bench.proposal(wanted).reason
    with bench.services.store.read() as session:
        asked = session.scalars(select(Proposal).where(Proposal.state == "pending")).one()
        assert session.scalar(select(Incident.state)) == "waiting"
    assert (asked.kind, asked.action["to_version"], "release" in asked.action) == ("promote", "2", False)
    approve(bench.services, asked.id, person="ben")
    bench.clock.advance("2h")
    street.work()
    assert bench.services.registry.alias("churn", CHAMPION) == "2", "what a person says is done at once"


def test_a_freeze_stops_the_next_stage_and_it_goes_on_afterwards(street):
    bench, wanted = street.bench, street.release()
    street.work()
    street.answers()
    with bench.services.store.write() as session:
        freeze(bench.services, session, person="anyone", reason="fire")
    assert street.work() == ("2", None, None)
    assert street.execution(wanted).state == "waiting"
    bench.clock.advance(pauses.FROZEN_PAUSE)
    assert street.work() == ("2", None, None)
    with bench.services.store.write() as session:
        from agent.store import queries

        queries.control(session).frozen = False
    bench.clock.advance(pauses.FROZEN_PAUSE)
    assert street.work() == (None, "2", "0.1")
    judged = [event for event in bench.events(wanted) if event == "release shadow judged"]
    assert judged == ["release shadow judged"]


def test_it_is_cancelled_between_two_stages_also_while_frozen(street):
    bench, wanted = street.bench, street.release()
    street.work()
    with bench.services.store.write() as session:
        freeze(bench.services, session, person="anyone", reason="fire")
        cancel(bench.services, session, wanted, person="ben", reason="not this week")
    assert street.work() == (None, None, None), "at once, not at its next look"
    assert (bench.proposal(wanted).state, bench.proposal(wanted).reason) == (
        "failed", "cancelled by ben: not this week",
    )  # fmt: skip
    assert bench.services.registry.alias("churn", CHAMPION) == "1"


@SQLITE
def test_another_champion_in_between_supersedes_and_ends_the_trial(street):
    bench, wanted = street.bench, street.release()
    street.work()
    street.answers()
    street.work()
    deployment.promote(bench.services.registry, "churn", "3", expected="1")
    bench.clock.advance("2h")
    executor.run_ready(bench.services, worker="w")
    registered = bench.services.registry.registered("churn")
    assert CANARY not in registered.aliases
    assert (bench.proposal(wanted).state, bench.services.registry.alias("churn", CHAMPION)) == ("superseded", "3")
    assert "the champion is version 3 now, not 1" in bench.proposal(wanted).reason


@SQLITE
@pytest.mark.parametrize(
    ("step", "moment"),
    [
        ("shadow", "intended"),
        ("shadow", "done"),
        ("shadow judged", "recorded"),
        ("canary 10 %", "done"),
        ("canary 10 %", "recorded"),
    ],
)
def test_killed_in_a_stage_another_worker_goes_on_and_nothing_is_done_twice(street, monkeypatch, step, moment):
    bench, wanted = street.bench, street.release()
    with monkeypatch.context() as patch:
        original = {"intended": executor._intend, "recorded": executor._record}.get(moment)

        def dies(*args):
            result = original(*args)
            if step in args:
                raise Killed
            return result

        def dies_before(services, execution, name, work):
            raise Killed

        if moment == "done":
            record = executor._record
            patch.setattr(executor, "_record", lambda *a: dies_before(*a) if step in a else record(*a))
        else:
            patch.setattr(executor, {"intended": "_intend", "recorded": "_record"}[moment], dies)
        with pytest.raises(Killed):
            street.work()
            street.answers()
            street.work()
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    street.work()
    if bench.services.registry.alias("churn", SHADOW):
        street.answers()
        street.work()
    assert street.plays() == (None, "2", "0.1")
    steps = [event for event in bench.events(wanted) if event.startswith("release ")]
    assert steps == ["release shadow", "release shadow judged", "release canary 10 %"]
    assert bench.events(wanted).count("execution taken over") == 1


@SQLITE
def test_an_undo_goes_before_a_release_that_waits_and_another_change_does_not(street):
    bench, wanted = street.bench, street.release()
    street.work()
    bench.clock.advance("2h")
    bench.spec = parse_spec(SPEC)
    later = bench.propose(actions.Recalibrate(
        model="churn", expected_version="1", data_version="p0.l0", window_start=bench.clock() - timedelta(days=1),
        window_end=bench.clock(),
    ))  # fmt: skip
    undo = bench.propose(bench.rollback(expected="1", to="3"))
    for one in (later, undo):
        approve(bench.services, one, person="ann")
    street.work()
    assert bench.services.registry.alias("churn", CHAMPION) == "3"
    assert bench.proposal(undo).state == "verifying"
    street.work()
    assert bench.proposal(wanted).state == "superseded", "another version answers than it was to replace"
    assert bench.proposal(later).state in ("approved", "superseded")
    with bench.services.store.read() as session:
        assert session.scalars(select(Execution.id).where(Execution.state == "running")).all() == []


@SQLITE
def test_where_the_registry_is_away_the_trial_is_ended_when_it_is_back(street, monkeypatch):
    bench, wanted = street.bench, street.release(to="3")
    street.work()
    street.answers(version="3")

    def away(*args, **kwargs):
        raise Unavailable("MLflow cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(deployment, "end_stages", away)
        assert street.work()[0] == "3"
    assert bench.proposal(wanted).state == "executing"
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    assert street.work() == (None, None, None)
    assert bench.proposal(wanted).state == "failed"


@SQLITE
def test_the_stages_are_part_of_what_is_approved(street):
    bench, wanted = street.bench, street.release()
    assert bench.proposal(wanted).action["release"] == {"stages": ["shadow", 10, 50, 100], "rows": 60, "time": "1d"}
    Street(bench, SPEC)
    assert street.work() == ("2", None, None), "as it was approved, whatever the spec says by now"


@SQLITE
def test_somebody_elses_canary_is_left_alone(street):
    bench = street.bench
    bench.services.registry.store.ask(lambda client: client.set_registered_model_alias("churn", CANARY, "3"))
    wanted = street.release()
    street.work()
    assert bench.proposal(wanted).state == "failed"
    assert "version 3 of 'churn' has the alias canary already" in bench.proposal(wanted).reason
    assert street.plays() == (None, "3", None)


@SQLITE
def test_a_worker_that_wakes_after_its_lease_neither_begins_nor_ends_a_trial(street):
    bench, wanted = street.bench, street.release()
    street.work()
    bench.clock.advance("2h")
    asleep = executor.claim(bench.services, worker="asleep")
    assert asleep is not None
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    street.work()
    give_up(bench.services, asleep, ProposalEvent.ABORT, "failed", "what it thought")
    assert street.plays() == ("2", None, None)
    assert bench.proposal(wanted).state == "executing"
    confirm = partial(pauses.require_owned, bench.services, asleep)
    with pytest.raises(LeaseLost):
        deployment.stage(bench.services.registry, "churn", "2", share=0.5, expected="1", confirm=confirm)
    assert street.plays() == ("2", None, None)
