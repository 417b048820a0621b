"""A hundred approvals of one proposal at once, through the API and through the command line: one execution, one effect.

Half of them ask the web application, half the command line with connections of its own (and, in `make chaos`, some of
these in processes of their own), while three workers look for what is ready. CHAOS=10 plays fifty rounds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import func, select

from agent import executor
from agent.bootstrap import build
from agent.commands.queue import decide
from agent.domain.errors import Conflict, Unavailable
from agent.domain.policy import load_policy
from agent.doors.api.app import create_app
from agent.settings import load_settings
from agent.store import queries
from agent.store.tables import Approval, Deployment, Execution, UnfitWindow
from ml.models import deployment
from tests.agent.doors.conftest import Browser
from tools import actions

SCALE = int(os.environ.get("CHAOS", "1"))
ROUNDS = 50 if SCALE > 1 else 2
CLICKS = 100
PEOPLE = [f"person-{number}" for number in range(10)]
POLICY = """
people: {%s}
risk:
  low: {approvals: 3}
  medium: {approvals: 3}
cooldown: 0
max_actions_per_hour: 100000
"""
CLI = "import sys; from agent.cli import main; main()"


@pytest.fixture
def crowd(bench):
    """A workspace on disk that the command line can open, with the clock of the bench; version 2 is champion."""
    home = bench.services.home
    (home / "approvals.yaml").write_text(POLICY % ", ".join(f"{name}: {{}}" for name in PEOPLE))
    (home / "watchkeeper.yaml").write_text(
        f"database_url: {bench.services.store.url}\nmlflow_uri: sqlite:///{home / 'mlflow.db'}\n"
    )
    bench.policy = load_policy(home / "approvals.yaml")
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    return bench


def next_action(bench, number):
    """By turns a repair, which is a record of ours, and a rollback, which is an alias in MLflow."""
    now = bench.clock.advance("1m")
    with bench.services.store.write() as session:
        queries.control(session).replayed_now = now
    if number % 2:
        return actions.FixData(model="churn", features=("age",), repair="-", onset=now, window_end=now)
    current = bench.services.registry.alias("churn", "champion")
    return bench.rollback(expected=current, to="1" if current == "2" else "2")


def patiently(click):
    """As a client does: again, where the answer was `try again`."""
    for _ in range(20):
        try:
            return click()
        except Unavailable:
            continue
    raise AssertionError("never answered")


def over_http(browser, wanted, person):
    answer = browser.post(f"/api/v1/proposals/{wanted}/approve", json={"person": person})
    if answer.status_code == 503:
        raise Unavailable("503")
    return str(answer.status_code)


def by_command(home, wanted, person):
    services = build(load_settings({}, home=home))
    with closing(services.store):
        try:
            return decide(services, wanted, "approve", person=person, reason="")["state"]
        except Conflict as late:
            return str(late)


def in_a_process(home, wanted, person):
    command = [sys.executable, "-c", CLI, "approve", wanted, "--as", person, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 3:
        raise Unavailable(done.stderr)
    return f"exit {done.returncode}"


def settle(bench, wanted):
    """Let leases run out: on a very busy machine a worker found the database locked, and left its execution."""
    for _ in range(5):
        patiently(lambda: executor.run_ready(bench.services, worker="last"))
        if bench.proposal(wanted).state == "verifying":
            return
        bench.clock.advance(executor.LEASE)
        bench.clock.advance("1s")


def count(session, table, *where):
    return session.scalar(select(func.count()).select_from(table).where(*where))


@pytest.mark.timeout(4 * 3600)
def test_a_hundred_approvals_at_once_make_one_execution(crowd):
    bench, home = crowd, crowd.services.home
    browser = Browser(create_app(bench.services))
    for number in range(ROUNDS):
        wanted = bench.propose(next_action(bench, number), incident=number == 0)
        done = threading.Event()

        def work(name, done=done):
            while not done.wait(0.01):
                patiently(lambda: executor.run_ready(bench.services, worker=name))

        def click(place, wanted=wanted):
            person = PEOPLE[place % len(PEOPLE)]
            if place % 2:
                return patiently(lambda: over_http(browser, wanted, person))
            if SCALE > 1 and place < 8:
                return patiently(lambda: in_a_process(home, wanted, person))
            return patiently(lambda: by_command(home, wanted, person))

        workers = [threading.Thread(target=work, args=(f"w{name}",)) for name in range(3)]
        for worker in workers:
            worker.start()
        try:
            with ThreadPoolExecutor(24) as pool:
                answers = list(pool.map(click, range(CLICKS)))
        finally:
            done.set()
            for worker in workers:
                worker.join()
        settle(bench, wanted)
        assert {answer for answer in answers if answer.startswith("5")} == set(), "no answer is a fault of ours"
        assert bench.proposal(wanted).state == "verifying", (number, bench.proposal(wanted).reason)
        events = bench.events(wanted)
        for once in ("proposal approved", "proposal executing", "proposal executed"):
            assert events.count(once) == 1, (number, events)
        with bench.services.store.read() as session:
            assert count(session, Execution, Execution.proposal_id == wanted) == 1
            assert count(session, Approval, Approval.proposal_id == wanted) == 3
            effects = [count(session, table, table.proposal_id == wanted) for table in (UnfitWindow, Deployment)]
            assert effects == ([1, 0] if number % 2 else [0, 1])
    with bench.services.store.read() as session:
        assert count(session, Execution) == ROUNDS
        assert count(session, Execution, Execution.state == "done") == ROUNDS
