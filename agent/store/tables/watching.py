"""What the watch sees and makes of it: models, looks, alerts, incidents, diagnoses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from agent.domain.incident import IncidentState
from agent.store.tables.base import NUMBER, Base, new_id, one_of


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
    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
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


class HourlyProfile(Base):
    """The profile of one hour of a large log (none: it has no rows), and of which files it was made."""

    __tablename__ = "hourly_profile"
    model: Mapped[str] = mapped_column(ForeignKey("model.name"), primary_key=True)
    bins: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    document: Mapped[dict[str, Any] | None]


class MeasurementRow(Base):
    """One number of one run."""

    __tablename__ = "measurement"
    __table_args__ = (Index("ix_measurement_series", "model", "monitor", "feature", "window_end"),)
    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
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
    """A rule that is crossed; one row for each fingerprint and incident.

    source: who says so, "" for our own watch. model: "" where another program's alert is of no model that is watched.
    episode: since when it fires, as that program says; another time is another episode.
    """

    __tablename__ = "alert"
    __table_args__ = (
        one_of("severity", ("info", "warning", "critical")),
        Index(
            "uq_alert_firing",
            "model",
            "fingerprint",
            unique=True,
            sqlite_where=text("cleared_at IS NULL"),
            postgresql_where=text("cleared_at IS NULL"),
        ),
        Index("ix_alert_fingerprint", "fingerprint"),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("a"))
    model: Mapped[str]
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
    source: Mapped[str] = mapped_column(default="")
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    link: Mapped[str] = mapped_column(default="")
    episode: Mapped[str] = mapped_column(default="")


_UNRESOLVED = text(f"state <> '{IncidentState.RESOLVED}'")


class Incident(Base):
    """The alerts of one model that have one cause; while it is being asked for, all of the model's.

    key: "" for a model's first; for one that opens beside others that are acted on, the fingerprint of the alert that
    opened it. Alerts of other programs that name no model under watch make incidents of their own: their model is "",
    and `key` says which alerts belong together.
    """

    __tablename__ = "incident"
    __table_args__ = (
        one_of("state", IncidentState),
        Index(
            "uq_incident_unresolved",
            "model",
            "key",
            unique=True,
            sqlite_where=_UNRESOLVED,
            postgresql_where=_UNRESOLVED,
        ),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("i"))
    model: Mapped[str]
    key: Mapped[str] = mapped_column(default="")
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
