"""Why an execution does not go on at once: something is out of reach, or a stage of a release takes days.

Both are written down before the worker lets go, so that any worker can go on; how often a step was tried too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import LeaseLost
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Execution, ExecutionStep

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
MOST_TRIES = 8
"""With these pauses: about ten minutes. What may have switched a version already is tried until it is known."""
FROZEN_PAUSE = timedelta(minutes=1)


def owned(session: Session, execution: Execution) -> Execution:
    """The execution, locked and still ours. Raises: LeaseLost."""
    row = session.scalar(select(Execution).where(Execution.id == execution.id).with_for_update())
    if row is None or row.state != "running" or row.token != execution.token:
        raise LeaseLost(
            f"execution {execution.id} was taken over after its lease; nothing was written by {execution.worker}"
        )
    return row


def require_owned(services: Services, execution: Execution) -> None:
    """Raises: LeaseLost where the execution is another worker's by now."""
    with services.store.read() as session:
        owned(session, execution)


def step_of(session: Session, execution: Execution, name: str) -> ExecutionStep:
    return session.scalars(
        select(ExecutionStep).where(ExecutionStep.execution_id == execution.id, ExecutionStep.name == name)
    ).one()


def put_off(services: Services, execution: Execution, name: str, error: Exception) -> str | None:
    """A step needed something that is out of reach: it is tried again after a pause. Why not, when it is given up."""
    with services.store.write() as session:
        row, step = owned(session, execution), step_of(session, execution, name)
        step.tries, step.error = step.tries + 1, str(error)
        if step.tries >= MOST_TRIES and not queries.may_have_switched(session, row):
            return f"{name} was tried {step.tries} times, and each time: {error}"
        row.worker = None
        row.lease_until = services.wall() + min(FIRST_PAUSE * 2 ** (step.tries - 1), LONGEST_PAUSE)
        return None


def park(
    services: Services,
    execution: Execution,
    until: datetime | None,
    name: str = "",
    found: dict[str, Any] | None = None,
) -> None:
    """Let go of an execution until then (None: a freeze, asked about every minute); no worker holds it meanwhile."""
    with services.store.write() as session:
        row = owned(session, execution)
        if found is not None:
            step = step_of(session, execution, name)
            step.result = {**found, "phase": found["statement"], "since": services.now(session).isoformat()}
        row.state, row.worker, row.lease_until = "waiting", None, None
        row.resume_at = until or services.now(session) + FROZEN_PAUSE
