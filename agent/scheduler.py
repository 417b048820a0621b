"""When things happen: APScheduler is the clock, the database decides. Each slot is claimed there, so it runs once.

every second   carry out what was approved, deliver what was promised
every minute   the watch, for each model whose slot (its spec's `every`) has come; expiry of what nobody decided
"""

from __future__ import annotations

import logging
import os
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

from agent import executor
from agent.domain.errors import WatchkeeperError
from agent.pipeline.approve import expire
from agent.pipeline.notify import deliver_due
from agent.pipeline.services import Services
from agent.pipeline.watch import watch
from agent.store import queries
from agent.store.tables import Slot

log = logging.getLogger(__name__)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def worker_name() -> str:
    """This process, by host and number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def slot_at(now: datetime, every: timedelta) -> datetime:
    """The latest due time not after `now`.

    >>> slot_at(datetime(2026, 1, 1, 10, 40, tzinfo=UTC), timedelta(hours=1)).isoformat()
    '2026-01-01T10:00:00+00:00'
    """
    return EPOCH + (now - EPOCH) // every * every


def claim_slot(services: Services, job: str, due_at: datetime, worker: str) -> bool:
    """Whether this worker is the one that runs the slot."""
    values = {"job": job, "due_at": due_at, "worker": worker, "claimed_at": services.wall()}
    with services.store.write() as session:
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        result: Any = session.execute(insert(Slot).values(error="", **values).on_conflict_do_nothing())
        return bool(result.rowcount)


def watch_due(services: Services, worker: str) -> int:
    """Take the turns that are due, one model after the other; how many were taken."""
    with services.store.read() as session:
        specs = queries.specs(session)
    turns = 0
    for name, spec in specs.items():
        due = slot_at(services.now(), spec.every)
        if claim_slot(services, f"watch:{name}", due, worker):
            error = ""
            try:
                watch(services, name, due)
                turns += 1
            except WatchkeeperError as problem:  # one model's trouble must not stop the watch over the others
                error = str(problem)
                log.error("watch of %s at %s: %s", name, due, problem)
            with services.store.write() as session:
                slot = session.get_one(Slot, (f"watch:{name}", due))
                slot.finished_at, slot.error = services.wall(), error
    return turns


class Scheduler:
    """The background loops of one process. `start()` returns at once; `stop()` waits for what is running."""

    def __init__(self, services: Services) -> None:
        from apscheduler.schedulers.background import BackgroundScheduler

        self._services = services
        self._worker = worker_name()
        self._clock = BackgroundScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def start(self) -> None:
        self._clock.add_job(self._act, "interval", seconds=1, id="act")
        self._clock.add_job(self._look, "interval", seconds=60, id="look", next_run_time=datetime.now(UTC))
        self._clock.start()

    def stop(self) -> None:
        self._clock.shutdown(wait=True)

    def _act(self) -> None:
        try:
            executor.run_ready(self._services, worker=self._worker)
            deliver_due(self._services)
        except WatchkeeperError as error:
            log.error("executor: %s", error)

    def _look(self) -> None:
        try:
            with self._services.store.write() as session:
                expire(self._services, session)
            watch_due(self._services, self._worker)
        except WatchkeeperError as error:
            log.error("watch: %s", error)
