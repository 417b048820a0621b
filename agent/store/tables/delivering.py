"""Where each message goes and what became of it there; what people want to be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from agent.store.tables.base import NUMBER, Base, new_id, one_of

DELIVERY_STATES = ("waiting", "delivered", "failed", "held", "collapsed")


class Outbox(Base):
    """An event that somebody is to be told of, promised in the transaction of what it tells. One row for each key.

    routed_at: when it was fanned out into deliveries. topic: the incident that it belongs to, else its subject.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_unrouted",
            "id",
            sqlite_where=text("routed_at IS NULL"),
            postgresql_where=text("routed_at IS NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    recipient: Mapped[str]
    title: Mapped[str]
    body: Mapped[str]
    subject: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(default="")
    model: Mapped[str] = mapped_column(default="")
    severity: Mapped[str] = mapped_column(default="info")
    topic: Mapped[str] = mapped_column(default="")
    document: Mapped[dict[str, Any]] = mapped_column(default=dict)
    files: Mapped[list[Any]] = mapped_column(default=list)
    routed_at: Mapped[datetime | None]


class Delivery(Base):
    """One event on its way to one address of one channel: the state of the delivery, apart from that of the work.

    held: kept for quiet hours, a digest or a storm, until `next_try_at`. collapsed: told by the digest `told_by`.
    failed: refused, or given up; `watchkeeper delivery retry` sends it again. started_at: a try began, and how it ended
    is not known. sent: the posts of it that have arrived, by key, with their references.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        one_of("state", DELIVERY_STATES),
        UniqueConstraint("event_id", "channel", "address", name="uq_delivery_event"),
        Index("ix_delivery_destination", "channel", "address", "state", "event_id"),
        Index("ix_delivery_state", "state", "next_try_at"),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("n"))
    event_id: Mapped[int] = mapped_column(ForeignKey("outbox.id"))
    channel: Mapped[str]
    address: Mapped[str]
    person: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default="waiting")
    why: Mapped[str] = mapped_column(default="")
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")
    sent: Mapped[dict[str, Any]] = mapped_column(default=dict)
    told_by: Mapped[str | None] = mapped_column(ForeignKey("delivery.id"))


class Destination(Base):
    """An address of a channel: one worker at a time serves it, in order; a broken one rests, and holds up no other."""

    __tablename__ = "destination"
    channel: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    worker: Mapped[str] = mapped_column(default="")
    lease_until: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")


class Preference(Base):
    """What one person wants to be told, where and when. Times of day are in their own zone.

    channels: `{channel: address}`. digest: seconds between two digests, 0 for each at once. quiet_from, quiet_to:
    minutes after midnight. models: patterns of names.
    """

    __tablename__ = "preference"
    __table_args__ = (one_of("severity", ("info", "warning", "critical")),)
    person: Mapped[str] = mapped_column(primary_key=True)
    channels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    severity: Mapped[str] = mapped_column(default="warning")
    models: Mapped[list[Any]] = mapped_column(default=lambda: ["*"])
    kinds: Mapped[list[Any]] = mapped_column(default=lambda: ["*"])
    quiet_from: Mapped[int | None]
    quiet_to: Mapped[int | None]
    time_zone: Mapped[str] = mapped_column(default="UTC")
    digest: Mapped[int] = mapped_column(default=0)
    updated_at: Mapped[datetime]


class Unsubscribed(Base):
    """An address that asked to be left alone; nothing is sent there until it is taken back."""

    __tablename__ = "unsubscribed"
    channel: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
