"""A worker is stopped (SIGSTOP) past its lease and woken: its write hits no row, its effect is refused.

Not collected by itself, as `kills`. Before it wakes, another has done its work, and people have decided the opposite
since: champion is again the version that the sleeper expects.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from agent import executor
from agent.store.tables import Deployment, Execution, ExecutionStep, Outbox
from tests.agent.chaos.failpoints import ROLLBACK
from tests.agent.chaos.kills import (
    approved,
    champion,
    done_once,
    in_child,
    killed_until_done,
    run_child,
    settle,
    workshop,  # noqa: F401 (a fixture)
)

HOLDING = ("not committed", "own records", "the alias", "previous noted", "not read back")
"""Places where a worker holds a lock: nobody takes over before it is gone, so these are for `kills`."""
PLACES = [point for point in ROLLBACK if not point.name.endswith(HOLDING) and point.name != "end: committed"]


def written(bench) -> list[object]:
    """All that a worker could have written."""
    with bench.services.store.read() as session:
        steps = session.execute(
            select(ExecutionStep.execution_id, ExecutionStep.name, ExecutionStep.state, ExecutionStep.token).order_by(
                ExecutionStep.execution_id, ExecutionStep.position
            )
        ).all()
        executions = session.execute(
            select(Execution.id, Execution.state, Execution.worker, Execution.token).order_by(Execution.id)
        ).all()
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (Deployment, Outbox)]
    return [steps, executions, counts, champion(bench)]


@pytest.mark.timeout(600)
def test_a_worker_stopped_past_its_lease_and_woken_changes_nothing(workshop):  # noqa: F811
    bench, proposals = workshop
    for point in PLACES:
        first = champion(bench)
        other = "1" if first == "2" else "2"
        wanted = approved(bench, bench.rollback(first, other))

        def work(point=point) -> None:
            point.arm(signal.SIGSTOP)
            executor.run_ready(bench.services, worker=f"asleep at {point.name}")

        sleeper = run_child(bench, work)
        assert os.WIFSTOPPED(os.waitpid(sleeper, os.WUNTRACED)[1]), point.name
        try:
            bench.clock.advance(executor.LEASE + timedelta(seconds=1))
            assert killed_until_done(bench, wanted, []) == []
            assert champion(bench) == other
            settle(bench, wanted)
            back = approved(bench, bench.rollback(other, first))
            assert in_child(bench, lambda: executor.run_ready(bench.services, worker="awake")) == 0
            settle(bench, back)
            before = written(bench)
        finally:
            os.kill(sleeper, signal.SIGCONT)
            ended = os.waitstatus_to_exitcode(os.waitpid(sleeper, 0)[1])
        assert ended == 0, f"{point.name}: the sleeper ended with {ended}"
        assert written(bench) == before, point.name
        assert champion(bench) == first, f"woken at {point.name}, it switched the version"
        proposals += [wanted, back]
    done_once(bench, proposals)
    sys.stdout.write(f"\nstopped {len(PLACES)} workers past their lease, and woke them: nothing changed\n")
