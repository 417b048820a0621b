"""A worker is killed (SIGKILL) at every named place, again and again: what was approved is done, and done once.

Not collected by itself: workers are forks of this process, and threads of libraries (Delta's, DuckDB's) that other
tests have started would not survive that. `test_kills` runs it in a process of its own.

A kill costs one fork of a process that has everything imported and every statement compiled, and the work up to there:
who takes over dies in turn at a later place, so that few live to the end.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import sys
import traceback
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from agent import executor
from agent.pipeline import execute
from agent.pipeline.approve import approve
from agent.store import audit
from agent.store.tables import AuditEvent, Deployment, Execution, Outbox, Proposal
from ml.models import deployment
from ml.models.registry import CHAMPION, TAG
from tests.agent.chaos.failpoints import RETRAIN, ROLLBACK, Failpoint
from tools import actions

KILLS = {
    ("rollback", "sqlite"): 960,
    ("retrain", "sqlite"): 40,
    ("rollback", "postgresql"): 265,
    ("retrain", "postgresql"): 35,
}
"""Kills in every check: 1,000 and 300. `make chaos` has ten times as many (CHAOS=10)."""
MOST_IN_A_ROW = 12
STRIDE = 4
"""So far apart that no place of a chain is passed by the one who takes over from the place before."""


def in_child(bench, work) -> int:
    """Run in a child; the signal that ended it, or 0."""
    return os.waitstatus_to_exitcode(os.waitpid(run_child(bench, work), 0)[1])


def run_child(bench, work) -> int:
    """Begin work in a forked child that shares no connection with us; its number.

    The parent opens no Delta table and no DuckDB: their threads do not survive a fork.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        prepare_child(bench)
        work()
        code = 0
    except BaseException:  # noqa: BLE001 (the end of a process)
        traceback.print_exc()
    finally:
        os._exit(code)


def prepare_child(bench) -> None:
    """In a child: no connection is shared with the parent, and no page is copied for the collector's sake."""
    gc.disable()
    bench.services.store.engine.dispose(close=False)
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Models
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

    for engine in {*Models._engine_map.values(), *Runs._engine_map.values()}:
        engine.dispose(close=False)


def amount(kind: str, bench) -> float:
    return KILLS[kind, bench.services.store.engine.dialect.name] * float(os.environ.get("CHAOS", "1"))


@pytest.fixture
def workshop(bench, monkeypatch):
    """Two versions, the second champion and bad; rows to train on, written by a child. Training stays in-process here:
    the process of its own has tests of its own, and costs seconds."""
    bench.add_versions(False, True)
    deployment.promote(bench.services.registry, "churn", "2", expected="1")
    monkeypatch.setattr(execute, "train_apart", _train_here)
    assert in_child(bench, lambda: bench.serve(bench.clock() - timedelta(days=3), 400)) == 0
    done = []
    for current, other in (("2", "1"), ("1", "2")):  # so that statements are compiled here, and not in each child
        done.append(approved(bench, bench.rollback(current, other)))
        executor.run_ready(bench.services, worker="first")
        settle(bench, done[-1])
    gc.collect()
    return bench, done


def _train_here(spec, rows, folder, **ignored):
    from ml.models.candidate import train_in

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train_in(spec, rows, folder)
    return folder


def champion(bench) -> str:
    return bench.services.registry.alias("churn", CHAMPION)


def approved(bench, action) -> str:
    wanted = bench.propose(action, incident=True)
    approve(bench.services, wanted, person="ann")
    return wanted


def killed_until_done(bench, wanted: str, points: list[Failpoint]) -> list[str]:
    """Workers die at one point after the other, and the last one lives; at which they died."""
    died = []
    for point in [*points, None]:

        def work(point=point) -> None:
            if point is not None:
                point.arm()
            executor.run_ready(bench.services, worker=f"doomed at {point.name}" if point else "survivor")

        ended = in_child(bench, work)
        assert ended in (-signal.SIGKILL, 0), f"{point}: the worker ended with {ended}"
        if ended == 0:
            break
        died.append(point.name)
        bench.clock.advance(executor.LEASE + timedelta(seconds=1))
    assert bench.proposal(wanted).state == "verifying", f"stuck or lost after {died}"
    return died


def settle(bench, wanted: str) -> None:
    """What was executed is judged, so that the next proposal may come."""
    from agent.domain.incident import IncidentEvent
    from agent.domain.proposal import ProposalEvent
    from agent.store.changes import move_incident, move_proposal
    from agent.store.tables import Incident

    with bench.services.store.write() as session:
        row = session.get_one(Proposal, wanted)
        move_proposal(session, row, ProposalEvent.SUCCEED, at=bench.clock(), actor="test")
        incident = session.get_one(Incident, row.incident_id)
        move_incident(session, incident, IncidentEvent.RECOVER, at=bench.clock(), actor="test")
    bench.clock.advance(timedelta(hours=2))


def done_once(bench, proposals: list[str]) -> None:
    """One execution, deployment and word to the owner for each, and one event of a kind; the chain is whole."""
    with bench.services.store.read() as session:
        for table in (Execution, Deployment):
            made = dict(session.execute(select(table.proposal_id, func.count()).group_by(table.proposal_id)).all())
            assert {p: made.get(p) for p in proposals} == dict.fromkeys(proposals, 1), table.__tablename__
        states = session.scalars(select(Execution.state).where(Execution.proposal_id.in_(proposals))).all()
        assert set(states) == {"done"}
        told = session.scalars(select(Outbox.key).where(Outbox.key.like("executed:%"))).all()
        assert sorted(told) == sorted(f"executed:{p}" for p in proposals)
        for event in ("proposal executing", "proposal executed", "proposal verifying"):
            subjects = session.scalars(select(AuditEvent.subject).where(AuditEvent.event == event)).all()
            assert sorted(subjects) == sorted(proposals), event
        assert audit.verify(session).whole


def orders(points: tuple[Failpoint, ...], seed: int):
    """Chains that have every failpoint once, then such at random, some twice, each where the one before left it."""
    yield from (list(points[first::STRIDE]) for first in range(STRIDE))
    chance = random.Random(seed)
    while True:
        chosen = chance.choices(range(len(points)), k=chance.randint(1, MOST_IN_A_ROW))
        yield [points[place] for place in sorted(chosen)]


def tell(what: str, bench, proposals: list[str], seen: Counter[str]) -> None:
    """What was shown, for who runs it in full."""
    name, least = bench.services.store.engine.dialect.name, min(seen.values())
    where = f"{len(seen)} places, at least {least} times at each"
    sys.stdout.write(f"\nkilled {seen.total()} times at {where}, in {len(proposals)} {what} on {name}\n")


@pytest.mark.timeout(4 * 3600)
def test_rollbacks_killed_everywhere_are_done_once(workshop):
    seen: Counter[str] = Counter()
    bench, proposals = workshop
    for points in orders(ROLLBACK, seed=1):
        if seen.total() >= amount("rollback", bench):
            break
        current = champion(bench)
        other = "1" if current == "2" else "2"
        wanted = approved(bench, bench.rollback(current, other))
        died = killed_until_done(bench, wanted, points)
        assert champion(bench) == other
        proposals.append(wanted)
        settle(bench, wanted)
        seen.update(died)
    done_once(bench, proposals)
    assert set(seen) == {point.name for point in ROLLBACK}
    assert len(bench.services.registry.versions("churn")) == 2
    tell("rollbacks", bench, proposals, seen)


@pytest.mark.timeout(4 * 3600)
def test_retrainings_killed_everywhere_make_one_version_each(workshop):
    seen: Counter[str] = Counter()
    (bench, proposals), retrained = workshop, []
    start, end = bench.clock() - timedelta(days=3), bench.clock()
    reader, writer = os.pipe()
    assert in_child(bench, lambda: os.write(writer, str(bench.services.log.version("churn")).encode())) == 0
    data = os.read(reader, 100).decode()
    for points in orders(RETRAIN, seed=2):
        if seen.total() >= amount("retrain", bench):
            break
        deployment.promote(bench.services.registry, "churn", "2", expected=champion(bench))
        action = actions.Retrain(
            model="churn", expected_version="2", data_version=data, window_start=start, window_end=end
        )
        wanted = approved(bench, action)
        died = killed_until_done(bench, wanted, points)
        made = [v for v in bench.services.registry.versions("churn") if v.run_tag == wanted]
        assert [v.version for v in made] == [champion(bench)], "one version, and it answers"
        retrained.append(wanted)
        settle(bench, wanted)
        seen.update(died)
    done_once(bench, proposals + retrained)
    assert set(seen) == {point.name for point in RETRAIN}
    complete = [r for r in bench.services.registry.runs("churn") if r.data.tags.get(f"{TAG}complete") == "true"]
    tags = [r.data.tags[f"{TAG}run_tag"] for r in complete]
    assert sorted(t for t in tags if t in retrained) == sorted(retrained), "no training is complete twice"
    tell("retrainings", bench, retrained, seen)
