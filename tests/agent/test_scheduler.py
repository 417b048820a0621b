"""Each slot happens once, however many schedulers there are; one model's trouble does not stop the others."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from sqlalchemy import select

from agent import scheduler
from agent.domain.notifying import parse_notifications
from agent.pipeline.approve import approve
from agent.pipeline.notify import Courier
from agent.store.changes import promise
from agent.store.tables import Model, MonitorRun, Slot
from ml.models import deployment
from notifications.message import Receipt

OTHER = "name: {name}\ntask: binary\nfeatures: {{x: {{type: numeric}}}}\nmetric: accuracy\n"


def test_sixteen_schedulers_claim_each_slot_once(bench):
    due = [bench.clock() + timedelta(hours=n) for n in range(5)]

    def claim_all(number):
        return [scheduler.claim_slot(bench.services, "watch:churn", slot, f"w{number}") for slot in due]

    with ThreadPoolExecutor(16) as pool:
        claimed = list(pool.map(claim_all, range(16)))
    assert [sum(column) for column in zip(*claimed, strict=True)] == [1] * len(due)


def test_a_due_model_is_looked_at_once_for_each_slot(bench):
    bench.add_versions(False)
    bench.serve(bench.clock() - timedelta(days=3), 400)
    assert scheduler.watch_due(bench.services, "a") == 1
    assert scheduler.watch_due(bench.services, "b") == 0
    bench.clock.advance("59m")
    assert scheduler.watch_due(bench.services, "b") == 0
    bench.clock.advance("1m")
    assert scheduler.watch_due(bench.services, "b") == 1
    with bench.services.store.read() as session:
        ends = session.scalars(select(MonitorRun.window_end).order_by(MonitorRun.window_end)).all()
        assert [end.hour for end in ends] == [12, 13]
        assert all(session.scalars(select(Slot.finished_at)))


def test_a_model_whose_spec_is_spoilt_is_said_and_the_other_is_watched(bench):
    bench.add_versions(False)
    bench.serve(bench.clock() - timedelta(days=3), 400)
    with bench.services.store.write() as session:
        session.add(Model(name="another", spec=OTHER.format(name="another"), registered_at=bench.clock()))
    (bench.services.home / "log" / "another").mkdir(parents=True)
    (bench.services.home / "log" / "another" / "predictions").write_text("this is no table")
    scheduler.watch_due(bench.services, "a")
    with bench.services.store.read() as session:
        errors = {slot.job: slot.error for slot in session.scalars(select(Slot))}
    assert errors["watch:churn"] == ""
    with bench.services.store.read() as session:
        assert session.scalar(select(MonitorRun.id).where(MonitorRun.model == "churn"))


def test_the_background_loops_carry_out_what_was_approved_and_stop(bench):
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    wanted = bench.propose(bench.rollback())
    approve(bench.services, wanted, person="ann")
    running = scheduler.Scheduler(bench.services)
    running.start()
    looking = Event()
    for _ in range(300):  # half a minute on a busy machine; a second on a quiet one
        if bench.proposal(wanted).state not in ("approved", "executing"):
            break
        looking.wait(0.1)
    running.stop()
    assert bench.proposal(wanted).state == "verifying"


def test_a_stored_spec_that_can_no_longer_be_read_stops_no_other_model(bench):
    bench.add_versions(False)
    bench.serve(bench.clock() - timedelta(days=3), 400)
    with bench.services.store.write() as session:
        session.add(Model(name="another", spec="name: another\nretired_key: 1", registered_at=bench.clock()))
    assert scheduler.watch_due(bench.services, "a") == 1


class Stuck:
    """A channel whose every call hangs until it is let go."""

    pace = 0.0

    def __init__(self):
        self.reached, self.free = Event(), Event()

    def deliver(self, message):
        self.reached.set()
        self.free.wait(60)
        return Receipt()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_channel_that_hangs_holds_up_neither_another_one_nor_the_watch(bench):
    stuck, routes = Stuck(), parse_notifications("routes: [{to: mail, address: ann@example.com}]")
    services = replace(bench.services, channels={"mail": stuck}, notifications=lambda: routes)
    with services.store.write() as session:
        promise(session, key="k:1", recipient="#a", title="t", body="b", subject="s", at=bench.clock())
    courier = Courier(services)
    courier.tick()
    assert stuck.reached.wait(60)
    scheduler.watch_due(services, "a")
    with services.store.write() as session:
        assert session.scalars(select(Slot.finished_at)).one() is not None, "the watch goes on"
        promise(session, key="k:2", recipient="#a", title="t", body="b", subject="s", at=bench.clock())
    told = services.home / "notifications.jsonl"
    for _ in range(600):
        courier.tick()
        if told.exists() and len(told.read_text().splitlines()) == 2:
            break
        Event().wait(0.05)
    assert [json.loads(line)["key"] for line in told.read_text().splitlines()] == ["k:1", "k:2"]
    assert not stuck.free.is_set()
    stuck.free.set()
    courier.close()
