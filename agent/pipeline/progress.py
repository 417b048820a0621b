"""What an execution is at: the step, what it says of itself, and when it goes on where it waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.store.tables import Execution, ExecutionStep

OVER = ("done", "failed", "superseded")


@dataclass(frozen=True, slots=True)
class Progress:
    """says: for a person, empty where it is over. step: the one that was begun last. resume_at: when it goes on."""

    says: str
    step: str
    resume_at: datetime | None


def steps_of(session: Session, execution: Execution) -> Sequence[ExecutionStep]:
    """In order."""
    return session.scalars(
        select(ExecutionStep).where(ExecutionStep.execution_id == execution.id).order_by(ExecutionStep.position)
    ).all()


def progress_of(execution: Execution, steps: Sequence[ExecutionStep]) -> Progress:
    step = steps[-1] if steps else None
    name = step.name if step else ""
    return Progress(_says(execution, step), name, _resumes(execution))


def _resumes(execution: Execution) -> datetime | None:
    if execution.state == "waiting":
        return execution.resume_at
    put_off = execution.state == "running" and execution.worker is None
    return execution.lease_until if put_off else None


def _says(execution: Execution, step: ExecutionStep | None) -> str:
    if execution.state in OVER:
        return ""
    if execution.cancelled:
        return f"cancelled {execution.cancelled}; it ends within seconds"
    if step is None:
        return "about to start"
    name = step.name.replace("_", " ")
    if step.state == "done":
        return f"{name} is done" + ("; it waits" if execution.state == "waiting" else "")
    phase = (step.result or {}).get("phase")
    text = f"{name}: {phase}" if phase else name
    if step.tries and step.error:
        text += f" (tried {step.tries} time{'s'[: step.tries > 1]}: {step.error})"
    return text
