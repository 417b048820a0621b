"""A slot is not lost with its worker, nor with what was out of reach for a moment; on both databases."""

from __future__ import annotations

import logging

from sqlalchemy import select, update

from agent import scheduler
from agent.domain.errors import Unavailable
from agent.scheduler import RETAKE, claim_slot, watch_due
from agent.store.tables import Model, Slot


def slots(bench):
    with bench.services.store.read() as session:
        return session.scalars(select(Slot)).all()


def test_a_slot_is_taken_again_only_when_it_was_left_behind(bench):
    due = bench.clock()
    assert claim_slot(bench.services, "watch:churn", due, "first")
    assert not claim_slot(bench.services, "watch:churn", due, "second")
    bench.clock.advance(RETAKE)
    assert claim_slot(bench.services, "watch:churn", due, "second")
    assert not claim_slot(bench.services, "watch:churn", due, "first")
    with bench.services.store.write() as session:
        session.execute(update(Slot).values(finished_at=bench.clock()))
    bench.clock.advance(RETAKE)
    assert not claim_slot(bench.services, "watch:churn", due, "third"), "it is done"


def test_a_turn_that_found_something_out_of_reach_is_taken_again(bench, monkeypatch):
    with bench.services.store.write() as session:
        session.execute(update(Model).values(spec=Model.spec + "every: 1d\n"))
    answers = [Unavailable("MLflow is down"), None]

    def turn(*_):
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(scheduler, "watch", turn)
    assert watch_due(bench.services, "w") == 0
    assert [(slot.error, slot.finished_at) for slot in slots(bench)] == [("MLflow is down", None)]
    assert watch_due(bench.services, "w") == 0, "not at once"
    bench.clock.advance(RETAKE)
    assert watch_due(bench.services, "w") == 1
    assert [slot.error for slot in slots(bench)] == [""]


def test_what_nobody_foresaw_in_one_turn_ends_that_turn_and_is_recorded(bench, monkeypatch, caplog):
    def turn(*_):
        raise KeyError("surprise")

    monkeypatch.setattr(scheduler, "watch", turn)
    with caplog.at_level(logging.ERROR):
        assert watch_due(bench.services, "w") == 0
    assert [(slot.error, slot.finished_at is None) for slot in slots(bench)] == [("KeyError: 'surprise'", False)]
    assert "Traceback" in caplog.text
