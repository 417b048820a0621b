"""Three schedulers on one database, killed at random: each slot runs exactly once.

Not collected by itself, as `kills`. A turn does what a watch does: it keeps a look at a window, under a unique key.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import replace
from datetime import timedelta
from multiprocessing import Value
from typing import Any

import pytest
from sqlalchemy import func, select, update

from agent import scheduler
from agent.domain.errors import Conflict, Unavailable
from agent.store.tables import Model, MonitorRun, Slot
from tests.agent.chaos.kills import prepare_child

SLOTS = 500 if float(os.environ.get("CHAOS", "1")) > 1 else 100
STRUCK = 0.3
"""How often one of them dies while a slot is due."""
PATIENCE = 0.2
"""Seconds until a slot is taken to be left behind, and the clock goes on to when it may be taken again."""
SCHEDULERS = 3
HOUR = timedelta(hours=1)


class SharedClock:
    """One time for all processes: it stands until the slot of this hour has run."""

    def __init__(self, start) -> None:
        self.start, self.minutes = start, Value("q", 0, lock=False)

    def __call__(self):
        return self.start + timedelta(minutes=self.minutes.value)

    def advance(self, minutes: int) -> None:
        self.minutes.value += minutes


def look(services, name: str, due) -> None:
    """A turn with one effect, which cannot be had twice."""
    with services.store.write() as session:
        if session.scalar(select(MonitorRun.id).where(MonitorRun.model == name, MonitorRun.window_end == due)):
            return
        session.add(MonitorRun(model=name, window_start=due - HOUR, window_end=due, rows=os.getpid(), seconds=0.0))


def run_scheduler(bench) -> int:
    """A process that takes whatever turns are due until it is killed."""
    child = os.fork()
    if child:
        return child
    try:
        prepare_child(bench)
        while True:
            try:
                scheduler.watch_due(bench.services, f"scheduler {os.getpid()}")
            except (Unavailable, Conflict):
                continue
            time.sleep(0.004)
    finally:
        os._exit(1)


@pytest.mark.timeout(4 * 3600)
def test_each_slot_of_three_schedulers_that_are_killed_runs_once(bench, monkeypatch):
    clock = SharedClock(bench.clock())
    bench = replace(bench, services=replace(bench.services, wall=clock))
    monkeypatch.setattr(scheduler, "watch", look)
    running: list[Any] = []
    chance, killed, left = random.Random(3), 0, 0
    with bench.services.store.write() as session:
        session.execute(update(Model).values(spec=Model.spec + "every: 1h\n"))
    try:
        for number in range(SLOTS):
            clock.advance(60 - clock.minutes.value % 60 if number else 0)
            due, began = scheduler.slot_at(clock(), HOUR), time.monotonic()
            strike = began + chance.uniform(0, 0.02) if chance.random() < STRUCK else None
            while not finished(bench, due):
                running += [run_scheduler(bench) for _ in range(SCHEDULERS - len(running))]
                if strike is not None and time.monotonic() > strike:
                    kill(running.pop(chance.randrange(SCHEDULERS)))
                    killed, strike, began = killed + 1, None, time.monotonic()
                elif time.monotonic() > began + PATIENCE and claimed(bench, due):
                    clock.advance(11)
                    left, began = left + 1, time.monotonic()
                time.sleep(0.002)
    finally:
        for process in running:
            kill(process)
    with bench.services.store.read() as session:
        slots = session.scalars(select(Slot)).all()
        looks = dict(session.execute(select(MonitorRun.window_end, func.count()).group_by(MonitorRun.window_end)).all())
    assert len(slots) == SLOTS
    assert all(slot.finished_at for slot in slots)
    assert looks == {slot.due_at: 1 for slot in slots}
    sys.stdout.write(
        f"\nkilled {killed} schedulers of three in {SLOTS} slots on {bench.services.store.engine.dialect.name}, "
        f"{left} slots were left behind and taken again: each ran once\n"
    )


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


def finished(bench, due) -> bool:
    return slot(bench, due, Slot.finished_at.isnot(None))


def claimed(bench, due) -> bool:
    return slot(bench, due, Slot.finished_at.is_(None))


def slot(bench, due, state) -> bool:
    with bench.services.store.read() as session:
        return session.scalar(select(Slot.job).where(Slot.due_at == due, state)) is not None
