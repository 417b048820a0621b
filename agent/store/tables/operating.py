"""What keeps the whole honest and running: audit, reports, slots, the kill switch."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from agent.store.tables.base import NUMBER, Base, CanonicalJson, new_id


class AuditEvent(Base):
    """Append-only and hash-chained; written in the transaction of the change it records.

    Triggers of the database refuse to change or delete a row; whoever may drop them is found out by the chain.
    """

    __tablename__ = "audit"
    seq: Mapped[int] = mapped_column(NUMBER, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str]
    event: Mapped[str]
    subject: Mapped[str] = mapped_column(index=True)
    data: Mapped[dict[str, Any]] = mapped_column(CanonicalJson())
    previous: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)


class AuditHead(Base):
    """The end of the chain: one row, locked by each append, so that a cut-off tail is found."""

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger())
    hash: Mapped[str]


class ApiToken(Base):
    """What opens a door to a program, in a person's name. Only its hash is kept; it ends by itself or is revoked.

    scopes: those of `agent.domain.roles`. models: patterns of names, or none for all. audience: the address that it is
    for. agent: a language model holds it, so it never decides.
    """

    __tablename__ = "api_token"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("k"))
    name: Mapped[str]
    person: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]]
    models: Mapped[list[Any]]
    audience: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str] = mapped_column(default="")
    agent: Mapped[bool] = mapped_column(default=False, server_default=false())


class Report(Base):
    """A report's facts; every format is rendered from them.

    audience, schedule, due_at: for whom, by which line of reports.yaml and for which time it was written, each once.
    """

    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("schedule", "due_at", name="uq_report_due"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("t"))
    kind: Mapped[str]
    model: Mapped[str | None]
    incident_id: Mapped[str | None] = mapped_column(ForeignKey("incident.id"), unique=True)
    created_at: Mapped[datetime]
    facts: Mapped[dict[str, Any]]
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    audience: Mapped[str] = mapped_column(default="", server_default="")
    schedule: Mapped[str | None]
    due_at: Mapped[datetime | None]


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


class UnfreezeRequest(Base):
    """Somebody's word that the kill switch may be lifted; it is, once enough different people have given theirs."""

    __tablename__ = "unfreeze_request"
    person: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    at: Mapped[datetime]
