"""What is proposed, decided, carried out and checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from agent.domain.proposal import LIVE, ProposalState
from agent.store.tables.base import NUMBER, Base, new_id, one_of

_LIVE = text(f"state IN ({', '.join(repr(str(s)) for s in LIVE)})")
_RUNNING = text("state = 'running'")


class Proposal(Base):
    """One action with its exact parameters, waiting for a person; a model has one live one of each kind at most."""

    __tablename__ = "proposal"
    __table_args__ = (
        one_of("state", ProposalState),
        Index("uq_proposal_live", "model", "kind", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
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
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Approval(Base):
    """A person's decision on the exact bytes of a proposal."""

    __tablename__ = "approval"
    __table_args__ = (
        UniqueConstraint("proposal_id", "person", name="uq_approval_person"),
        one_of("decision", ("approve", "reject")),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("v"))
    proposal_id: Mapped[str] = mapped_column(ForeignKey("proposal.id"))
    person: Mapped[str]
    decision: Mapped[str]
    digest: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class Execution(Base):
    """Carrying one proposal out. Lease and token say who may write; the unique keys say once, and one at a time.

    One that waits (between two stages of a release) has no lease; it is gone on with at `resume_at`, in the watch's
    time, by any worker.
    """

    __tablename__ = "execution"
    __table_args__ = (
        one_of("state", ("ready", "running", "waiting", "done", "failed", "superseded")),
        Index("uq_execution_running", "model", unique=True, sqlite_where=_RUNNING, postgresql_where=_RUNNING),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("x"))
    proposal_id: Mapped[str] = mapped_column(ForeignKey("proposal.id"), unique=True)
    model: Mapped[str] = mapped_column(ForeignKey("model.name"))
    state: Mapped[str] = mapped_column(default="ready")
    worker: Mapped[str | None]
    token: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None]
    resume_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    seconds: Mapped[float | None]
    error: Mapped[str] = mapped_column(default="")
    cancelled: Mapped[str] = mapped_column(default="")


class ExecutionStep(Base):
    """One step: the intent is written before the effect, the result after it was read back.

    `tries` counts how often it failed because something was out of reach; `error` is what it said last.
    """

    __tablename__ = "execution_step"
    __table_args__ = (
        UniqueConstraint("execution_id", "name", name="uq_execution_step_name"),
        one_of("state", ("intended", "done")),
    )
    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    execution_id: Mapped[str] = mapped_column(ForeignKey("execution.id"))
    name: Mapped[str]
    position: Mapped[int]
    state: Mapped[str]
    token: Mapped[int]
    result: Mapped[dict[str, Any] | None]
    intended_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")


class Verification(Base):
    """The check after an execution: what was compared, and what came of it."""

    __tablename__ = "verification"
    proposal_id: Mapped[str] = mapped_column(ForeignKey("proposal.id"), primary_key=True)
    started_at: Mapped[datetime]
    due_at: Mapped[datetime]
    verdict: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    document: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Silence(Base):
    """Alerts of a model that open no incident until a time; it ends by itself, or sooner by a person."""

    __tablename__ = "silence"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("s"))
    model: Mapped[str] = mapped_column(ForeignKey("model.name"), index=True)
    monitor: Mapped[str | None]
    feature: Mapped[str | None]
    since: Mapped[datetime]
    until: Mapped[datetime]
    reason: Mapped[str]
    proposal_id: Mapped[str] = mapped_column(ForeignKey("proposal.id"), unique=True)
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str] = mapped_column(default="")


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
