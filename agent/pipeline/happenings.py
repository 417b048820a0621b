"""What has changed since somebody last looked, as topics that a page may be interested in.

A topic is `queue`, `watch`, `alerts`, `reports`, `activity`, `control`, or a kind and a name: `model:NAME`,
`incident:ID`, `proposal:ID`. The audit says most of it; looks and the steps of an execution have marks of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.store.tables import (
    Alert,
    AuditEvent,
    AuditHead,
    Execution,
    ExecutionStep,
    Incident,
    MeasurementRow,
    Model,
    Outbox,
    Proposal,
    Silence,
)

MOST_EVENTS = 500
"""More than that since the last look: `everything` has changed."""
EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far somebody has seen; two that are equal mean that nothing changed."""

    seq: int = 0
    measurement: int = 0
    outbox: int = 0
    steps: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One topic that changed. `model`: the model that it is about, so that only who may see that one is told."""

    topic: str
    model: str | None = None


def mark(session: Session) -> Mark:
    """How far the records go now: one short query."""
    head = select(AuditHead.seq).where(AuditHead.id == 1).scalar_subquery()
    measured = select(func.max(MeasurementRow.id)).scalar_subquery()
    sent = select(func.max(Outbox.id)).scalar_subquery()
    row = session.execute(select(head, measured, sent)).one()
    return Mark(row[0] or 0, row[1] or 0, row[2] or 0, _steps(session))


def since(session: Session, before: Mark, now: Mark) -> list[Change]:
    """What changed between two marks, each topic once."""
    if now == before:
        return []
    if now.seq - before.seq > MOST_EVENTS or now.seq < before.seq:
        return [Change(EVERYTHING)]
    changes = [*_audited(session, before.seq, now.seq)]
    if now.measurement > before.measurement:
        fresh = select(MeasurementRow.model).distinct()
        models = session.scalars(fresh.where(MeasurementRow.id > before.measurement)).all()
        changes += [Change("watch"), *(Change(f"model:{name}", name) for name in models)]
    if now.outbox > before.outbox:
        changes.append(Change("reports"))
    if now.steps != before.steps:
        moved = {step[0] for step in set(now.steps) ^ set(before.steps)}
        changes += _of_proposals(session, moved)
    return list(dict.fromkeys(changes))


def _steps(session: Session) -> tuple[tuple[str, int, int], ...]:
    """Each execution at work: its proposal, how many steps were begun, and how many are done or were tried again."""
    tries = func.coalesce(func.sum(ExecutionStep.tries), 0)
    rows = session.execute(
        select(Execution.proposal_id, func.count(ExecutionStep.id), func.count(ExecutionStep.done_at) + tries)
        .outerjoin(ExecutionStep, ExecutionStep.execution_id == Execution.id)
        .where(Execution.state.in_(("ready", "running", "waiting")))
        .group_by(Execution.proposal_id)
        .order_by(Execution.proposal_id)
    )
    return tuple((row[0], int(row[1]), int(row[2])) for row in rows)


def _audited(session: Session, after: int, until: int) -> Iterable[Change]:
    rows = session.execute(
        select(AuditEvent.event, AuditEvent.subject)
        .where(AuditEvent.seq > after, AuditEvent.seq <= until)
        .order_by(AuditEvent.seq)
    ).all()
    if not rows:
        return
    yield Change("activity")
    subjects = {subject for _, subject in rows}
    yield from _of_proposals(session, subjects)
    for table, kind in ((Incident, "incident"), (Alert, "alert"), (Silence, "silence")):
        found = session.execute(select(table.id, table.model).where(table.id.in_(subjects)))
        for identity, model in found:
            yield from _about(kind, identity, model)
    for model in session.scalars(select(Model.name).where(Model.name.in_(subjects))):
        yield from (Change("watch"), Change(f"model:{model}", model))
    if "control" in subjects:
        yield Change("control")


def _about(kind: str, identity: str, model: str) -> Iterable[Change]:
    if kind == "incident":
        yield Change(f"incident:{identity}", model)
    yield from (Change("alerts"), Change("watch"), Change(f"model:{model}", model))


def _of_proposals(session: Session, ids: Iterable[str]) -> Sequence[Change]:
    rows = session.execute(
        select(Proposal.id, Proposal.model, Proposal.incident_id).where(Proposal.id.in_(list(ids)))
    ).all()
    changes = [Change("queue"), Change("watch")] if rows else []
    for identity, model, incident in rows:
        changes += [Change(f"proposal:{identity}", model), Change(f"model:{model}", model)]
        if incident is not None:
            changes.append(Change(f"incident:{incident}", model))
    return changes
