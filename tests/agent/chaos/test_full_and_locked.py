"""The disk is full, the database is locked: a clear answer at every door, no half state, and it heals by itself."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from sqlalchemy import func, select, text

from agent import cli, executor
from agent.domain.policy import load_policy
from agent.doors.api.app import create_app
from agent.pipeline.approve import withdraw
from agent.store import audit, queries
from agent.store import session as sessions
from agent.store.session import Store
from agent.store.tables import Approval, AuditEvent, Deployment, Execution, ExecutionStep, Outbox
from ml.models import deployment
from tests.agent.doors.conftest import Browser

POLICY = "people: {ann: {}, ben: {}}\nrisk: {medium: {approvals: 2}}\ncooldown: 0\n"
ROOM = 16 << 20
"""Bytes that a file of PostgreSQL may have while its disk is full: what its own journal needs."""
MANY = """
    INSERT INTO approval (id, proposal_id, person, decision, digest, reason, at)
    SELECT 'v-' || n, :proposal, 'p-' || n, 'approve', 'x', repeat('x', 1900), :at FROM generate_series(1, 9000) AS n
"""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(sessions, "LOCK_SECONDS", 0.3)


@pytest.fixture
def shop(quick, bench):
    """A workspace that the command line can open too, with a rollback to decide on."""
    home = bench.services.home
    (home / "approvals.yaml").write_text(POLICY)
    (home / "watchkeeper.yaml").write_text(
        f"database_url: {bench.services.store.url}\nmlflow_uri: sqlite:///{home / 'mlflow.db'}\n"
    )
    bench.policy = load_policy(home / "approvals.yaml")
    with bench.services.store.write() as session:
        queries.control(session).replayed_now = bench.clock()  # the command line lives in the same time
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    return bench


def command_line(monkeypatch, capsys, *words: str) -> tuple[int, str]:
    """As typed in a shell: the exit code, and what was said."""
    monkeypatch.setattr(sys, "argv", ["watchkeeper", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), capsys.readouterr().err


def state(bench) -> list[int]:
    with bench.services.store.read() as session:
        assert audit.verify(session).whole
        tables = (Approval, AuditEvent, Execution, ExecutionStep, Outbox, Deployment)
        return [session.scalar(select(func.count()).select_from(table)) for table in tables]


@contextmanager
def locked(bench) -> Iterator[None]:
    """Somebody holds what every change needs, and does not let go."""
    other = Store(bench.services.store.url)
    with other.write() as session:
        session.execute(text("SELECT * FROM audit_head" + (" FOR UPDATE" if on_postgresql(bench) else "")))
        yield
    other.close()


@contextmanager
def full(bench) -> Iterator[None]:
    """No file may grow: on SQLite in this process, on PostgreSQL in the server's."""
    if not on_postgresql(bench):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return
    with bench.services.store.read() as session:
        backend = psutil.Process(session.scalar(text("SELECT pg_backend_pid()")))
    server = backend.parent()
    limit([server, *server.children()], str(ROOM))
    try:
        yield
    finally:
        limit([server, *server.children()], "unlimited")


def limit(processes, size: str) -> None:
    """As the user whose server it is: nobody else may."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            user = process.username() if os.geteuid() == 0 else None
            subprocess.run(["prlimit", f"--pid={process.pid}", f"--fsize={size}:"], check=True, user=user)


def outgrow(bench) -> None:
    """The table of approvals becomes larger than any file may be, so that the next one needs a larger file."""
    other = bench.propose(bench.rollback())
    withdraw(bench.services, other, person="ann", reason="only to be approved by thousands")
    with bench.services.store.write() as session:
        session.execute(text(MANY), {"proposal": other, "at": bench.clock()})


def on_postgresql(bench) -> bool:
    return bench.services.store.engine.dialect.name == "postgresql"


@pytest.mark.parametrize("trouble", [locked, full], ids=["locked", "full"])
def test_every_door_says_so_nothing_is_half_done_and_it_heals(shop, trouble, monkeypatch, capsys):
    bench, browser = shop, Browser(create_app(shop.services))
    if trouble is full and on_postgresql(bench):
        outgrow(bench)
    home, reason = str(bench.services.home), "x" * 1700
    (bench.services.home / "secret.key").write_text("k" * 64)  # as in every workspace that was ever opened
    first = bench.propose(bench.rollback())
    with trouble(bench):
        before = state(bench)
        answer = browser.post(f"/api/v1/proposals/{first}/approve", json={"person": "ann", "reason": reason})
        told = answer.json()
        assert (answer.status_code, told["status"], told["type"]) == (503, 503, "urn:watchkeeper:unavailable"), told
        assert answer.headers["content-type"] == "application/problem+json"
        assert "nothing was changed, try again" in told["detail"]
        code, said = command_line(
            monkeypatch, capsys, "approve", first, "--as", "ann", "--reason", reason, "--home", home
        )
        assert (code, "nothing was changed, try again" in " ".join(said.split())) == (3, True), said
        assert "Traceback" not in said
        assert state(bench) == before
    for person in ("ann", "ben"):
        assert browser.post(f"/api/v1/proposals/{first}/approve", json={"person": person}).status_code == 200
    assert executor.run_ready(bench.services, worker="w") == 1
    assert bench.proposal(first).state == "verifying"
    assert bench.services.registry.alias("churn", "champion") == "1"
