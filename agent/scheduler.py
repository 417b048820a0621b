"""When things happen: APScheduler is the clock, the database decides. Each slot is claimed there, so it runs once.

every second   carry out what was approved; and, apart from it, deliver what was promised
every minute   the watch, for each model whose slot (its spec's `every`) has come; expiry of what nobody decided;
               and, apart from it, the reports of reports.yaml whose time has come

A slot whose worker died, or that failed because something was out of reach, is taken again after `RETAKE`.
"""

from __future__ import annotations

import logging
import os
import socket
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_
from sqlalchemy.dialects import postgresql, sqlite

from agent import executor
from agent.domain.errors import Unavailable, WatchkeeperError
from agent.pipeline.approve import expire
from agent.pipeline.notify import Courier
from agent.pipeline.outside import forget
from agent.pipeline.remind import remind_due
from agent.pipeline.scheduled import due_now, write_due
from agent.pipeline.services import Services
from agent.pipeline.slack.follow import follow
from agent.pipeline.watch import watch
from agent.store import queries
from agent.store.tables import Slot

log = logging.getLogger(__name__)
RETAKE = timedelta(minutes=10)
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
    claim = {"worker": worker, "claimed_at": services.wall()}
    left = and_(Slot.finished_at.is_(None), Slot.claimed_at <= services.wall() - RETAKE)
    with services.store.write() as session:
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        slot = insert(Slot).values(job=job, due_at=due_at, error="", **claim)
        taken = slot.on_conflict_do_update(index_elements=["job", "due_at"], set_=claim, where=left)
        return session.scalar(taken.returning(Slot.job)) is not None


def watch_due(services: Services, worker: str) -> int:
    """Take the turns that are due, one model after the other; how many were taken."""
    with services.store.read() as session:
        names = queries.model_names(session)
    return sum(_take_turn(services, name, worker) for name in names)


def _take_turn(services: Services, name: str, worker: str) -> bool:
    """One model's turn, if its slot is due and free; its trouble is said, and stops no other model."""
    job = f"watch:{name}"
    try:
        with services.store.read() as session:
            due = slot_at(services.now(), queries.spec_of(session, name).every)
        if not claim_slot(services, job, due, worker):
            return False
    except WatchkeeperError as problem:
        log.error("watch of %s: %s", name, problem)
        return False
    error, over = "", True
    try:
        watch(services, name, due)
    except WatchkeeperError as problem:
        error, over = str(problem), not isinstance(problem, Unavailable)
        log.error("watch of %s at %s: %s", name, due, problem)
    except Exception as problem:  # the edge of the job: one model's trouble must not stop the watch over others
        error = f"{type(problem).__name__}: {problem}"
        log.exception("watch of %s at %s", name, due)
    with services.store.write() as session:
        slot = session.get_one(Slot, (job, due))
        slot.finished_at, slot.error = services.wall() if over else None, error
    return not error


def reports_due(services: Services, worker: str) -> int:
    """Write the reports whose slot has come; how many. One report's trouble is said, and stops no other."""
    written = 0
    for due in due_now(services):
        if not claim_slot(services, due.job, due.at, worker):
            continue
        error, over = "", True
        try:
            written += write_due(services, due)
        except WatchkeeperError as problem:
            error, over = str(problem), not isinstance(problem, Unavailable)
            log.error("report %s of %s: %s", due.name, due.at, problem)
        except Exception as problem:  # the edge of the job: one report's trouble must not stop the others
            error = f"{type(problem).__name__}: {problem}"
            log.exception("report %s of %s", due.name, due.at)
        with services.store.write() as session:
            slot = session.get_one(Slot, (due.job, due.at))
            slot.finished_at, slot.error = services.wall() if over else None, error
    return written


class Scheduler:
    """The background loops of one process. `start()` returns at once; `stop()` waits for what is running."""

    def __init__(self, services: Services) -> None:
        from apscheduler.schedulers.background import BackgroundScheduler

        self._services = services
        self._worker = worker_name()
        self._courier = Courier(services)
        self._clock = BackgroundScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def start(self) -> None:
        self._clock.add_job(self._act, "interval", seconds=1, id="act")
        self._clock.add_job(self._tell, "interval", seconds=1, id="tell")
        self._clock.add_job(self._look, "interval", seconds=60, id="look", next_run_time=datetime.now(UTC))
        self._clock.add_job(self._report, "interval", seconds=60, id="report")
        self._clock.start()

    def stop(self) -> None:
        self._clock.shutdown(wait=True)
        self._courier.close()

    def _act(self) -> None:
        try:
            executor.run_ready(self._services, worker=self._worker)
        except WatchkeeperError as error:
            log.error("executor: %s", error)

    def _tell(self) -> None:
        try:
            follow(self._services)
            self._courier.tick()
        except WatchkeeperError as error:
            log.error("notifications: %s", error)

    def _look(self) -> None:
        try:
            with self._services.store.write() as session:
                expire(self._services, session)
            remind_due(self._services)
            forget(self._services)
            watch_due(self._services, self._worker)
        except WatchkeeperError as error:
            log.error("watch: %s", error)

    def _report(self) -> None:
        try:
            reports_due(self._services, self._worker)
        except WatchkeeperError as error:
            log.error("reports: %s", error)
