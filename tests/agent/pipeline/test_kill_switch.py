"""The kill switch and the freezes of the policy: one person stops everything, two start it again; on both databases."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from agent import executor
from agent.commands.watch import waits_to_start
from agent.domain.errors import Conflict, InvalidInput, NotAllowed
from agent.domain.freezes import Freeze
from agent.domain.policy import Person, Rule
from agent.pipeline import execute
from agent.pipeline.approve import approve
from agent.pipeline.freeze import freeze, kill_switch, next_step, unfreeze, who_asked
from agent.store.session import Store
from agent.store.tables import Execution, ExecutionStep, UnfreezeRequest
from ml.models import deployment
from tools.actions import ActionKind, FixData


@pytest.fixture
def approved(bench):
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    wanted = bench.propose(bench.rollback(), incident=True)
    approve(bench.services, wanted, person="ann")
    return wanted


@pytest.fixture
def repair(bench):
    """An approved action that switches no version."""
    now = bench.clock()
    wanted = bench.propose(FixData(model="churn", features=("age",), repair="-", onset=now, window_end=now))
    approve(bench.services, wanted, person="ann")
    return wanted


def stop(bench, reason="fire", person="anyone"):
    with bench.services.store.write() as session:
        freeze(bench.services, session, person=person, reason=reason)


def lift(bench, person, reason=""):
    with bench.services.store.write() as session:
        return unfreeze(bench.services, session, person=person, reason=reason)


def frozen(bench):
    with bench.services.store.read() as session:
        return kill_switch(session)


def champion(bench):
    return bench.services.registry.alias("churn", "champion")


def test_two_different_people_lift_it(bench):
    stop(bench)
    assert frozen(bench) == "frozen by anyone since 2026-03-01 12:00 UTC: fire"
    for _ in range(3):
        asked = lift(bench, "ann", "it is out")
        assert (asked.missing, asked.could) == (1, ("ben", "dan"))
    assert frozen(bench)
    assert lift(bench, "ben").missing == 0
    assert frozen(bench) == ""
    assert bench.events("control") == ["frozen", *["unfreeze asked"] * 3, "unfrozen"]
    with bench.services.store.read() as session:
        assert session.scalars(select(UnfreezeRequest)).all() == []
    with pytest.raises(Conflict, match="Nothing is frozen"):
        lift(bench, "ben")


@pytest.mark.parametrize("person", ["cat", "eve", "anyone", "watchkeeper"])
def test_who_may_not_lift_it_is_told_who_may(bench, person):
    stop(bench)
    with pytest.raises(NotAllowed, match="who may: ann, ben, dan"):
        lift(bench, person)
    assert bench.events("control") == ["frozen"]


def test_a_new_freeze_makes_what_was_asked_lapse(bench):
    stop(bench)
    lift(bench, "ann")
    stop(bench, "fire again")
    assert lift(bench, "ben").missing == 1
    assert "fire again" in frozen(bench)


def test_a_request_counts_while_it_is_fresh_and_its_person_still_may(bench):
    stop(bench)
    lift(bench, "ann")
    bench.clock.advance(bench.policy.approval_expiry)
    assert lift(bench, "ben").missing == 1, "two days old: it has lapsed"
    bench.policy = bench.policy.model_copy(update={"people": {"ann": Person(), "ben": Person(roles=("viewer",))}})
    assert lift(bench, "ann").missing == 1, "ben may no longer decide"


def test_where_only_one_person_may_the_next_step_is_said(bench):
    bench.policy = bench.policy.model_copy(update={"people": {"ann": Person()}})
    stop(bench)
    asked = lift(bench, "ann")
    assert "names only 1 who may" in next_step(asked)
    assert "write `unfreeze: {approvals: 1}`" in next_step(asked)
    assert frozen(bench)
    bench.policy = bench.policy.model_copy(update={"unfreeze": Rule(approvals=1)})
    assert lift(bench, "ann").missing == 0
    assert frozen(bench) == ""


def test_its_reasons_are_required_where_they_are(bench):
    with pytest.raises(InvalidInput, match="needs a --reason"):
        stop(bench, " ")
    stop(bench)
    bench.policy = bench.policy.model_copy(update={"unfreeze": Rule(reason=True)})
    with pytest.raises(InvalidInput, match="takes a --reason"):
        lift(bench, "ann")


def test_no_worker_starts_anything_from_then_on(bench, repair):
    """Three workers with connections of their own look all the time; the freeze comes between two looks."""
    bench.policy = bench.policy.model_copy(update={"max_actions_per_hour": 0})  # holds all back until we let it go
    stopped, looks, starts = threading.Event(), [0, 0, 0], []

    def work(number):
        services = replace(bench.services, store=Store(bench.services.store.url))
        while not stopped.wait(0.02):
            starts.extend([number] * executor.run_ready(services, worker=f"w{number}"))
            looks[number] += 1
        services.store.close()

    def until(condition):
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            stopped.wait(0.02)
        assert condition()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    try:
        stop(bench)
        bench.policy = bench.policy.model_copy(update={"max_actions_per_hour": 2})
        before = list(looks)
        until(lambda: all(now >= then + 3 for now, then in zip(looks, before, strict=True)))
        assert (starts, bench.proposal(repair).state) == ([], "approved")
        for person in ("ann", "ben"):
            lift(bench, person)
        until(lambda: starts)
    finally:
        stopped.set()
        for worker in workers:
            worker.join()
    assert (len(starts), bench.proposal(repair).state) == (1, "verifying")


@pytest.mark.parametrize("moment", ["before its intent", "between intent and effect"])
def test_frozen_after_it_was_claimed_it_switches_nothing_until_it_is_lifted(bench, approved, monkeypatch, moment):
    recheck, switch = dict(execute.STEPS[ActionKind.ROLLBACK]).values()

    def then_frozen(work):
        stop(bench)
        return recheck(work)

    def frozen_first(work):
        stop(bench)
        return switch(work)

    steps = (("recheck", recheck), ("switch", frozen_first)) if "effect" in moment else None
    steps = steps or (("recheck", then_frozen), ("switch", switch))
    with monkeypatch.context() as patch:
        patch.setitem(execute.STEPS, ActionKind.ROLLBACK, steps)
        executor.run_ready(bench.services, worker="w")
    assert (champion(bench), bench.proposal(approved).state) == ("2", "executing")
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    executor.run_ready(bench.services, worker="w")
    assert champion(bench) == "2", "still frozen"
    for person in ("ann", "ben"):
        lift(bench, person)
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    assert executor.run_ready(bench.services, worker="w") == 1
    assert (champion(bench), bench.proposal(approved).state) == ("1", "verifying")


def test_frozen_for_longer_than_it_may_wait_it_never_runs(bench, approved):
    execution = executor.claim(bench.services, worker="w")
    stop(bench)
    executor.run(bench.services, execution)
    bench.clock.advance(bench.policy.execution_expiry)
    for person in ("ann", "ben"):
        lift(bench, person)
    executor.run_ready(bench.services, worker="w")
    assert (champion(bench), bench.proposal(approved).state) == ("2", "superseded")
    assert "it was to start by" in bench.proposal(approved).reason


def test_a_switch_that_was_done_before_the_freeze_is_recorded_under_it(bench, approved):
    execution = executor.claim(bench.services, worker="w")
    with bench.services.store.write() as session:
        for position, (name, state) in enumerate((("recheck", "done"), ("switch", "intended"))):
            session.add(
                ExecutionStep(
                    execution_id=execution.id, name=name, position=position, state=state, token=1,
                    result={}, intended_at=bench.clock(),
                )
            )  # fmt: skip
    deployment.promote(bench.services.registry, "churn", "1", expected="2")
    stop(bench)
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    assert executor.run_ready(bench.services, worker="other") == 1
    assert bench.proposal(approved).state == "verifying"


def test_a_freeze_of_the_policy_holds_back_and_lets_go_by_itself(bench, repair):
    now = bench.clock()
    window = Freeze(start=now, end=now + timedelta(hours=1), reason="inventory")
    bench.policy = bench.policy.model_copy(update={"freezes": (window,)})
    assert executor.run_ready(bench.services, worker="w") == 0
    bench.clock.advance("1h")
    assert executor.run_ready(bench.services, worker="w") == 1
    with bench.services.store.read() as session:
        assert session.scalar(select(Execution.state)) == "done"


def test_the_watch_says_what_is_held_back_and_by_what(bench, repair):
    assert waits_to_start(bench.services, "churn") == []
    stop(bench, "the warehouse moves")
    (said,) = waits_to_start(bench.services, "churn")
    assert (repair in said, "fix_data of churn" in said, "the warehouse moves" in said) == (True, True, True)
    for person in ("ann", "ben"):
        lift(bench, person)
    bench.policy = bench.policy.model_copy(update={"max_actions_per_hour": 0})
    assert "may start 0 action(s) an hour" in waits_to_start(bench.services, "churn")[0]
    with bench.services.store.read() as session:
        assert who_asked(bench.services, session).by == ()
