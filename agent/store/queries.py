"""Reading the records: what steps and doors ask more than once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from agent.domain.errors import InvalidInput, NotFound
from agent.domain.incident import IncidentState
from agent.domain.proposal import LIVE, ProposalState
from agent.store.tables import (
    Alert,
    Control,
    Deployment,
    Diagnosis,
    Execution,
    ExecutionStep,
    Incident,
    MeasurementRow,
    Model,
    MonitorRun,
    Proposal,
    UnfitWindow,
)
from ml.results import Window
from ml.spec import ModelSpec, parse_spec

Row = TypeVar("Row", Incident, Proposal, Diagnosis)


@lru_cache(maxsize=128)
def _parsed(text: str, name: str) -> ModelSpec:
    """A spec is frozen and its text says all, so the same text is read once."""
    return parse_spec(text, source=name)


def model_names(session: Session) -> list[str]:
    return list(session.scalars(select(Model.name).order_by(Model.name)))


def specs(session: Session) -> dict[str, ModelSpec]:
    """Every model's spec, by name."""
    return {row.name: _parsed(row.spec, row.name) for row in session.scalars(select(Model).order_by(Model.name))}


def spec_of(session: Session, model: str) -> ModelSpec:
    """One model's spec. Raises: NotFound naming the models that there are."""
    row = session.get(Model, model)
    if row is None:
        names = session.scalars(select(Model.name).order_by(Model.name)).all()
        known = (
            f"the models are {', '.join(names)}"
            if names
            else "there is no model yet; add one with `watchkeeper model add SPEC.yaml`"
        )
        raise NotFound(f"There is no model {model!r}; {known}.")
    return _parsed(row.spec, model)


def by_id(session: Session, table: type[Row], wanted: str) -> Row:
    """A record by its id or the start of it. Raises: NotFound, or InvalidInput when several match."""
    name = table.__tablename__
    found = session.scalars(select(table).where(table.id.startswith(wanted, autoescape=True)).limit(3)).all()
    exact = [row for row in found if row.id == wanted]
    if exact:
        return exact[0]
    if not wanted or not found:
        raise NotFound(f"There is no {name} {wanted!r}; `watchkeeper {name} list` shows them.")
    if len(found) > 1:
        raise InvalidInput(
            f"Several {name}s start with {wanted!r}: {', '.join(row.id for row in found)}; write more of the id."
        )
    return found[0]


def unresolved_incidents(session: Session, model: str) -> Sequence[Incident]:
    """What is not over for a model: one for each cause, the oldest first."""
    wanted = select(Incident).where(Incident.model == model, Incident.state != IncidentState.RESOLVED)
    return session.scalars(wanted.order_by(Incident.opened_at, Incident.key, Incident.id)).all()


def unresolved_incident(session: Session, model: str) -> Incident | None:
    """The oldest of them."""
    return next(iter(unresolved_incidents(session, model)), None)


def live_proposals(session: Session, model: str) -> Sequence[Proposal]:
    """What is decided on or acted on for a model: at most one of each kind; what runs first, then the oldest."""
    order = (Proposal.state != ProposalState.EXECUTING, Proposal.created_at, Proposal.id)
    return session.scalars(
        select(Proposal).where(Proposal.model == model, Proposal.state.in_(LIVE)).order_by(*order)
    ).all()


def live_proposal(session: Session, model: str, kind: str | None = None) -> Proposal | None:
    """The first of them, of one kind where it is given."""
    return next((row for row in live_proposals(session, model) if kind in (None, row.kind)), None)


def latest_diagnosis(session: Session, incident_id: str) -> Diagnosis | None:
    return session.scalar(
        select(Diagnosis).where(Diagnosis.incident_id == incident_id).order_by(Diagnosis.at.desc()).limit(1)
    )


def firing_alerts(session: Session, model: str) -> Sequence[Alert]:
    return session.scalars(select(Alert).where(Alert.model == model, Alert.cleared_at.is_(None))).all()


def deployments(session: Session, model: str) -> list[dict[str, Any]]:
    """The ledger in order of time: `timestamp, version, kind, note`."""
    rows = session.scalars(select(Deployment).where(Deployment.model == model).order_by(Deployment.at, Deployment.id))
    return [{"timestamp": row.at, "version": row.version, "kind": row.kind, "note": row.note} for row in rows]


def unfit_windows(session: Session, model: str) -> list[Window]:
    rows = session.scalars(select(UnfitWindow).where(UnfitWindow.model == model).order_by(UnfitWindow.start))
    return [Window(row.start, row.end) for row in rows]


def past_incident_windows(session: Session, model: str) -> list[Window]:
    """Event time that a resolved incident of this model calls harmed: from its onset until it was resolved."""
    query = (
        select(Incident.resolved_at, func.min(func.coalesce(Diagnosis.onset, Diagnosis.window_start)))
        .join(Diagnosis, Diagnosis.incident_id == Incident.id)
        .where(Incident.model == model, Incident.state == IncidentState.RESOLVED, Diagnosis.verdict == "incident")
        .group_by(Incident.id, Incident.resolved_at)
    )
    return [Window(start, end) for end, start in session.execute(query) if end is not None and start < end]


def doubtful_windows(session: Session, model: str, *, since: datetime) -> list[Window]:
    """Windows of looks whose mean loss had risen by more than half of what is tolerated, and by more than chance.

    Leaving out what was worse by chance alone would make all that is left look better than it was.
    """
    rows = session.execute(
        select(MeasurementRow.window_start, MeasurementRow.window_end).where(
            MeasurementRow.model == model,
            MeasurementRow.monitor == "performance.loss",
            MeasurementRow.window_end > since,
            MeasurementRow.value > MeasurementRow.threshold / 2,
            MeasurementRow.low > 0,
        )
    )
    return [Window(start, end) for start, end in rows]


def latest_run(session: Session, model: str) -> MonitorRun | None:
    return session.scalar(
        select(MonitorRun).where(MonitorRun.model == model).order_by(MonitorRun.window_end.desc()).limit(1)
    )


def control(session: Session) -> Control:
    row = session.get(Control, 1)
    assert row is not None, "the first migration writes this row"
    return row


def last_ended(session: Session, model: str, *, by: Sequence[str], kinds: Sequence[str]) -> datetime | None:
    """When the latest proposal of a model ended (for its cooldown), of those made by somebody or of some kind."""
    counts = or_(Proposal.requested_by.in_(by), Proposal.kind.in_(kinds))
    return session.scalar(select(func.max(Proposal.ended_at)).where(Proposal.model == model, counts))


def may_have_switched(session: Session, execution: Execution) -> bool:
    """Whether an execution has come so far that a version may have been switched already."""
    switch = select(ExecutionStep.id).where(ExecutionStep.execution_id == execution.id, ExecutionStep.name == "switch")
    return session.scalar(switch) is not None


def was_released(session: Session, execution: Execution) -> bool:
    """Whether the version of an execution may answer beside the champion: a stage of its release was begun."""
    return session.scalar(select(ExecutionStep.id).where(*_stages(execution)).limit(1)) is not None


def released_version(session: Session, execution: Execution) -> str | None:
    """The version that may answer beside the champion, as the steps recorded it; None where none was released."""
    if not was_released(session, execution):
        return None
    makes = (*_stages(execution)[1:], ExecutionStep.name.in_(("train", "recalibrate")))
    rows = session.scalars(
        select(ExecutionStep)
        .where(ExecutionStep.execution_id == execution.id, or_(*makes))
        .order_by(ExecutionStep.position.desc())
    )
    versions = [row.result["version"] for row in rows if row.result and "version" in row.result]
    proposal = session.get_one(Proposal, execution.proposal_id)
    return str(versions[0]) if versions else proposal.action.get("to_version")


def _stages(execution: Execution) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    name = ExecutionStep.name
    return ExecutionStep.execution_id == execution.id, or_(name.startswith("shadow"), name.startswith("canary "))
