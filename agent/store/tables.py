"""The records. The database holds the invariants too: CHECK, unique and partial unique indexes, version columns."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from agent.domain.incident import IncidentState
from agent.domain.proposal import LIVE, ProposalState

_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
"""A growing row number; SQLite only counts up by itself in a plain INTEGER."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """An id that a person can type: `p-7k2m9xq4c1` (50 random bits, no letters that look like digits)."""
    return f"{prefix}-" + "".join(secrets.choice(_ALPHABET) for _ in range(10))


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC: `timestamptz` on PostgreSQL, naive UTC on SQLite, always aware in Python."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone must not reach the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it as a class attribute)
        datetime: UtcDateTime(),
        dict[str, Any]: JSON().with_variant(JSONB(), "postgresql"),
        list[Any]: JSON().with_variant(JSONB(), "postgresql"),
        str: Text(),
    }


def _one_of(column: str, values: Iterable[StrEnum | str]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(v)) for v in values)})", name=column)


class Model(Base):
    """A model under watch; its spec as the engineer wrote it."""

    __tablename__ = "model"
    name: Mapped[str] = mapped_column(primary_key=True)
    spec: Mapped[str]
    registered_at: Mapped[datetime]
    reference_start: Mapped[datetime | None]
    reference_end: Mapped[datetime | None]


class Deployment(Base):
    """The deployment ledger: which version answered from when."""

    __tablename__ = "deployment"
    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("model.name"), index=True)
    version: Mapped[str]
    kind: Mapped[str]
    at: Mapped[datetime]
    note: Mapped[str] = mapped_column(default="")
    proposal_id: Mapped[str | None] = mapped_column(ForeignKey("proposal.id"), unique=True)


class MonitorRun(Base):
    """One look at one window; the unique key makes each look happen once."""

    __tablename__ = "monitor_run"
    __table_args__ = (UniqueConstraint("model", "window_end", name="uq_monitor_run_look"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("r"))
    model: Mapped[str] = mapped_column(ForeignKey("model.name"))
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    rows: Mapped[int]
    champion: Mapped[str | None]
    seconds: Mapped[float]
    state: Mapped[dict[str, Any]] = mapped_column(default=dict)


class StoredProfile(Base):
    """The profile of one window, kept to rank later ones against; stored windows do not overlap."""

    __tablename__ = "profile"
    model: Mapped[str] = mapped_column(ForeignKey("model.name"), primary_key=True)
    bins: Mapped[str] = mapped_column(primary_key=True)
    window_end: Mapped[datetime] = mapped_column(primary_key=True)
    window_start: Mapped[datetime]
    document: Mapped[dict[str, Any]]


class MeasurementRow(Base):
    """One number of one run."""

    __tablename__ = "measurement"
    __table_args__ = (Index("ix_measurement_series", "model", "monitor", "feature", "window_end"),)
    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("monitor_run.id"), index=True)
    model: Mapped[str]
    monitor: Mapped[str]
    feature: Mapped[str | None]
    segment: Mapped[str | None]
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    value: Mapped[float | None]
    low: Mapped[float | None]
    high: Mapped[float | None]
    n: Mapped[int]
    unit: Mapped[str]
    threshold: Mapped[float | None]
    status: Mapped[str]
    detail: Mapped[str]
    facts: Mapped[dict[str, Any]]


class Alert(Base):
    """A rule that is crossed; one row for each fingerprint and incident."""

    __tablename__ = "alert"
    __table_args__ = (
        _one_of("severity", ("info", "warning", "critical")),
        Index(
            "uq_alert_firing",
            "model",
            "fingerprint",
            unique=True,
            sqlite_where=text("cleared_at IS NULL"),
            postgresql_where=text("cleared_at IS NULL"),
        ),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("a"))
    model: Mapped[str] = mapped_column(ForeignKey("model.name"))
    incident_id: Mapped[str] = mapped_column(ForeignKey("incident.id"), index=True)
    fingerprint: Mapped[str]
    severity: Mapped[str]
    monitor: Mapped[str]
    feature: Mapped[str | None]
    detail: Mapped[str]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
    cleared_at: Mapped[datetime | None]
    looks: Mapped[int] = mapped_column(default=1)


_UNRESOLVED = text(f"state <> '{IncidentState.RESOLVED}'")


class Incident(Base):
    """The alerts of one model that belong together; a model has one unresolved incident at most."""

    __tablename__ = "incident"
    __table_args__ = (
        _one_of("state", IncidentState),
        Index("uq_incident_unresolved", "model", unique=True, sqlite_where=_UNRESOLVED, postgresql_where=_UNRESOLVED),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("i"))
    model: Mapped[str] = mapped_column(ForeignKey("model.name"))
    state: Mapped[str]
    severity: Mapped[str]
    title: Mapped[str]
    opened_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolution: Mapped[str] = mapped_column(default="")
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Diagnosis(Base):
    """What was made of an incident at one time: the whole document, with its numbered evidence."""

    __tablename__ = "diagnosis"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("d"))
    incident_id: Mapped[str] = mapped_column(ForeignKey("incident.id"), index=True)
    at: Mapped[datetime]
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    verdict: Mapped[str]
    cause: Mapped[str]
    probability: Mapped[float]
    onset: Mapped[datetime | None]
    action: Mapped[str]
    document: Mapped[dict[str, Any]]
    seconds: Mapped[float]


_LIVE = text(f"state IN ({', '.join(repr(str(s)) for s in LIVE)})")


class Proposal(Base):
    """One action with its exact parameters, waiting for a person; a model has one live proposal at most."""

    __tablename__ = "proposal"
    __table_args__ = (
        _one_of("state", ProposalState),
        Index("uq_proposal_live", "model", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("p"))
    model: Mapped[str] = mapped_column(ForeignKey("model.name"))
    incident_id: Mapped[str | None] = mapped_column(ForeignKey("incident.id"), index=True)
    diagnosis_id: Mapped[str | None] = mapped_column(ForeignKey("diagnosis.id"))
    kind: Mapped[str]
    action: Mapped[dict[str, Any]]
    digest: Mapped[str]
    risk: Mapped[str]
    why: Mapped[str]
    trial: Mapped[dict[str, Any] | None]
    requested_by: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    approve_by: Mapped[datetime]
    approved_at: Mapped[datetime | None]
    execute_by: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Approval(Base):
    """A person's decision on the exact bytes of a proposal."""

    __tablename__ = "approval"
    __table_args__ = (
        UniqueConstraint("proposal_id", "person", name="uq_approval_person"),
        _one_of("decision", ("approve", "reject")),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("v"))
    proposal_id: Mapped[str] = mapped_column(ForeignKey("proposal.id"))
    person: Mapped[str]
    decision: Mapped[str]
    digest: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class Execution(Base):
    """Carrying one proposal out. Lease and token say who may write; the unique key says once."""

    __tablename__ = "execution"
    __table_args__ = (_one_of("state", ("ready", "running", "done", "failed", "superseded")),)
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("x"))
    proposal_id: Mapped[str] = mapped_column(ForeignKey("proposal.id"), unique=True)
    state: Mapped[str] = mapped_column(default="ready")
    worker: Mapped[str | None]
    token: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    seconds: Mapped[float | None]
    error: Mapped[str] = mapped_column(default="")


class ExecutionStep(Base):
    """One step: the intent is written before the effect, the result after it was read back."""

    __tablename__ = "execution_step"
    __table_args__ = (
        UniqueConstraint("execution_id", "name", name="uq_execution_step_name"),
        _one_of("state", ("intended", "done")),
    )
    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    execution_id: Mapped[str] = mapped_column(ForeignKey("execution.id"))
    name: Mapped[str]
    position: Mapped[int]
    state: Mapped[str]
    token: Mapped[int]
    result: Mapped[dict[str, Any] | None]
    intended_at: Mapped[datetime]
    done_at: Mapped[datetime | None]


class Verification(Base):
    """The check after an execution: what was compared, and what came of it."""

    __tablename__ = "verification"
    proposal_id: Mapped[str] = mapped_column(ForeignKey("proposal.id"), primary_key=True)
    started_at: Mapped[datetime]
    due_at: Mapped[datetime]
    verdict: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    document: Mapped[dict[str, Any]] = mapped_column(default=dict)


class UnfitWindow(Base):
    """Event time whose rows must not be trained on."""

    __tablename__ = "unfit_window"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("u"))
    model: Mapped[str] = mapped_column(ForeignKey("model.name"), index=True)
    start: Mapped[datetime]
    end: Mapped[datetime]
    features: Mapped[list[Any]]
    reason: Mapped[str]
    proposal_id: Mapped[str | None] = mapped_column(ForeignKey("proposal.id"), unique=True)


class AuditEvent(Base):
    """Append-only and hash-chained; written in the transaction of the change it records."""

    __tablename__ = "audit"
    seq: Mapped[int] = mapped_column(_NUMBER, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str]
    event: Mapped[str]
    subject: Mapped[str] = mapped_column(index=True)
    data: Mapped[dict[str, Any]]
    previous: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)


class AuditHead(Base):
    """The end of the chain: one row, locked by each append, so that a cut-off tail is found."""

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger())
    hash: Mapped[str]


class Outbox(Base):
    """A message that was promised; delivered at least once, collapsed by its key."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    recipient: Mapped[str]
    title: Mapped[str]
    body: Mapped[str]
    subject: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")


class Report(Base):
    """A report's facts; every format is rendered from them."""

    __tablename__ = "report"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("t"))
    kind: Mapped[str]
    model: Mapped[str | None]
    incident_id: Mapped[str | None] = mapped_column(ForeignKey("incident.id"), unique=True)
    created_at: Mapped[datetime]
    facts: Mapped[dict[str, Any]]


class Slot(Base):
    """One due time of one job; the key makes each slot run once, however many schedulers there are."""

    __tablename__ = "slot"
    job: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    worker: Mapped[str]
    claimed_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")


class Control(Base):
    """One row: the kill switch, and the clock of a replayed workspace."""

    __tablename__ = "control"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    frozen: Mapped[bool] = mapped_column(default=False)
    frozen_by: Mapped[str] = mapped_column(default="")
    frozen_reason: Mapped[str] = mapped_column(default="")
    frozen_at: Mapped[datetime | None]
    replayed_now: Mapped[datetime | None]
