"""Events from outside: once under a key, in order, by any number of workers, whatever dies on the way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from agent.domain.errors import InvalidInput, Unavailable
from agent.pipeline import inbox
from agent.pipeline.services import Services
from agent.store.migrate import upgrade
from agent.store.session import Store
from agent.store.tables import InboundEvent


@pytest.fixture
def services(database_url, tmp_path, clock):
    store = Store(database_url)
    upgrade(store)
    yield Services(home=tmp_path, store=store, log=None, registry=None, policy=None, channel=None, wall=clock)
    store.close()


def keep(services, key, *, source="slack", **options):
    with services.store.write() as session:
        return inbox.keep(session, source=source, key=key, body={"key": key}, at=services.wall(), **options)


def events(services):
    with services.store.read() as session:
        return session.scalars(select(InboundEvent).order_by(InboundEvent.id)).all()


def test_an_event_is_kept_once_and_worked_once_however_often_it_comes(services):
    worked = []
    handlers = {"slack": lambda _, event: worked.append(event["key"])}
    assert [keep(services, "a"), keep(services, "b"), keep(services, "a")] == [True, True, False]
    assert keep(services, "a", source="grafana") is True, "another sender's id is another event"
    assert inbox.work_due(services, handlers) == 2
    assert keep(services, "a") is False, "also after it was worked on"
    assert inbox.work_due(services, handlers) == 0
    assert worked == ["a", "b"]
    assert [event.state for event in events(services)] == ["done", "done", "waiting"]


def test_what_is_out_of_reach_is_tried_again_and_holds_back_only_its_own_lane(services, clock):
    worked = []

    def handler(_, event):
        worked.append(event["key"])
        if event["key"] == "first" and worked.count("first") < 3:
            raise Unavailable("the registry is away.")

    for key, lane in (("first", "thread"), ("second", "thread"), ("other", "elsewhere")):
        keep(services, key, lane=lane)
    inbox.work_due(services, {"slack": handler})
    assert worked == ["first", "other"]
    assert events(services)[0].error == "the registry is away."
    clock.advance("2s")
    assert inbox.work_due(services, {"slack": handler}) == 1
    clock.advance("2s")
    assert inbox.work_due(services, {"slack": handler}) == 0, "the second pause is longer"
    clock.advance("2s")
    inbox.work_due(services, {"slack": handler})
    assert worked == ["first", "other", "first", "first", "second"]


def test_what_the_handler_refuses_has_failed_at_once_and_a_fault_of_ours_after_five_tries(services, clock):
    def handler(_, event):
        raise InvalidInput("no such model.") if event["key"] == "refused" else KeyError("channel")

    keep(services, "refused", lane="a")
    keep(services, "fault", lane="b")
    for _ in range(20):
        inbox.work_due(services, {"slack": handler})
        clock.advance("5m")
    refused, fault = events(services)
    assert (refused.state, refused.attempts, refused.error) == ("failed", 1, "no such model.")
    assert (fault.state, fault.attempts, fault.error) == ("failed", 5, "KeyError: 'channel'")
    with services.store.write() as session:
        assert inbox.try_again(session, "slack") == 2
    assert inbox.work_due(services, {"slack": lambda *_: None}) == 2


def test_an_event_whose_worker_died_is_taken_over_when_its_lease_has_run_out(services, clock):
    keep(services, "a")
    died = inbox.claim_next(services, {"slack": None})
    assert inbox.claim_next(services, {"slack": None}) is None
    clock.advance(inbox.LEASE)
    worked = []
    assert inbox.work_due(services, {"slack": lambda _, event: worked.append(event)}) == 1
    assert inbox.work(services, lambda *_: None, died) is False, "the sleeper's word no longer counts"
    assert len(worked) == 1
    assert events(services)[0].attempts == 2


def test_an_event_that_kills_its_worker_is_given_up(services, clock):
    keep(services, "poison")
    for _ in range(inbox.TRIES + 3):
        inbox.claim_next(services, {"slack": None})
        clock.advance(inbox.LEASE)
    (event,) = events(services)
    assert event.state == "failed"
    assert "never ended" in event.error


def test_many_workers_share_the_events_and_keep_the_order_of_each_lane(services):
    for number in range(40):
        keep(services, f"{number}", lane=f"lane-{number % 4}")
    worked, lock = [], threading.Lock()

    def handler(_, event):
        with lock:
            worked.append(int(event["key"]))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(inbox.work_due, services, {"slack": handler}) for _ in range(4)]:
            done.result()
    inbox.work_due(services, {"slack": handler})
    assert sorted(worked) == list(range(40))
    for lane in range(4):
        mine = [number for number in worked if number % 4 == lane]
        assert mine == sorted(mine)


def test_urgent_events_are_worked_on_past_those_that_take_long(services):
    keep(services, "question", lane="a")
    keep(services, "click", lane="b", urgent=True)
    worked = []
    handlers = {"slack": lambda _, event: worked.append(event["key"])}
    assert inbox.work_due(services, handlers, urgent=True) == 1
    assert worked == ["click"]
    assert inbox.work_due(services, handlers, urgent=False) == 1


def test_the_same_signature_twice_is_a_replay_and_another_one_is_a_retry(services):
    keep(services, "a", proof="first")
    with services.store.write() as session:
        seen = [inbox.seen_with(session, "slack", "a", proof) for proof in ("first", "second", "second")]
    assert seen == [True, False, True]


def test_what_was_worked_on_is_forgotten_after_a_week_and_what_failed_after_four(services, clock):
    for key in ("done", "failed", "new"):
        keep(services, key, lane=key)

    def handler(_, event):
        if event["key"] == "failed":
            raise InvalidInput("no")

    inbox.work_due(services, {"slack": handler}, most=2)
    clock.advance("8d")
    assert inbox.forget(services) == 1
    assert [event.key for event in events(services)] == ["failed", "new"]
    clock.advance("21d")
    assert inbox.forget(services) == 1
