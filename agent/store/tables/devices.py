"""Browsers and phones that take push messages, and who has seen an alert."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from agent.store.tables.base import Base, new_id


class Device(Base):
    """One browser that a person let show messages (Web Push). `endpoint` is where its push service takes them."""

    __tablename__ = "device"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("g"))
    person: Mapped[str] = mapped_column(index=True)
    endpoint: Mapped[str] = mapped_column(unique=True)
    p256dh: Mapped[str]
    auth: Mapped[str]
    label: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]


class Acknowledgement(Base):
    """Somebody has seen an alert and looks after it; the alert itself goes on as it is."""

    __tablename__ = "acknowledgement"
    alert_id: Mapped[str] = mapped_column(ForeignKey("alert.id"), primary_key=True)
    person: Mapped[str]
    note: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]
