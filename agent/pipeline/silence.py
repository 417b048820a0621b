"""Alerts that open no incident for a while: begun by an approved proposal, ended by time, or sooner by a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.alerting import Quiet
from agent.domain.errors import Conflict, InvalidInput, NotAllowed, NotFound
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import MeasurementRow, Proposal, Silence
from ml.results import Measurement
from ml.spec import ModelSpec
from tools import actions


def begin(session: Session, action: actions.Silence, proposal: Proposal, at: datetime) -> None:
    """What an approved silence does; the transaction is that of its execution."""
    session.add(
        Silence(
            model=action.model,
            monitor=action.monitor,
            feature=action.feature,
            since=at,
            until=action.until,
            reason=proposal.why,
            proposal_id=proposal.id,
        )
    )


def silences(session: Session, model: str, at: datetime) -> list[Quiet]:
    """What is silent at `at`, the longest first."""
    query = select(Silence).where(
        Silence.model == model, Silence.since <= at, Silence.until > at, Silence.ended_at.is_(None)
    )
    rows = session.scalars(query.order_by(Silence.until.desc(), Silence.id))
    return [Quiet(row.id, row.until, row.monitor, row.feature) for row in rows]


def note(session: Session, spec: ModelSpec, measurement: Measurement, quiet: Quiet) -> None:
    """Write with a breach that it was silenced, by which silence and until when."""
    rows = session.scalars(
        select(MeasurementRow).where(
            MeasurementRow.model == spec.name,
            MeasurementRow.window_end == measurement.window.end,
            MeasurementRow.monitor == measurement.monitor,
            MeasurementRow.feature.is_not_distinct_from(measurement.feature),
            MeasurementRow.segment.is_not_distinct_from(measurement.segment),
        )
    )
    for row in rows:
        row.facts = {**row.facts, "silenced_by": quiet.id, "silenced_until": quiet.until.isoformat()}


def every(session: Session, now: datetime, *, past: bool = False) -> Sequence[Silence]:
    """The silences that hold now, or all there were, the newest first."""
    query = select(Silence)
    if not past:
        query = query.where(Silence.until > now, Silence.ended_at.is_(None))
    return session.scalars(query.order_by(Silence.since.desc(), Silence.id)).all()


def end(services: Services, wanted: str, *, person: str, reason: str) -> Silence:
    """End a silence now; whoever is named in approvals.yaml may, as hearing more is always the safe side.

    Raises: NotFound, InvalidInput without a reason or where several match, NotAllowed, Conflict when it is over.
    """
    if not reason.strip():
        raise InvalidInput("Ending a silence needs a --reason.")
    if person not in services.policy().people:
        raise NotAllowed(f"{person!r} is not among the people of approvals.yaml, so cannot end a silence.")
    with services.store.write() as session:
        now = services.now(session)
        query = select(Silence).where(Silence.id.startswith(wanted, autoescape=True)).limit(2)
        found = session.scalars(query.with_for_update()).all()
        if not wanted or not found:
            raise NotFound(f"There is no silence {wanted!r}; `watchkeeper silence list --all` shows them.")
        if len(found) > 1:
            raise InvalidInput(f"Several silences start with {wanted!r}; write more of the id.")
        row = found[0]
        if row.ended_at is not None or row.until <= now:
            raise Conflict(f"Silence {row.id} is over already.")
        row.ended_at, row.ended_by = now, person
        audit.append(session, at=now, actor=person, event="silence ended", subject=row.id, data={"reason": reason})
        return row
