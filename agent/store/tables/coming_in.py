"""What comes from outside: kept before it is acknowledged, then worked on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from agent.store.tables.base import NUMBER, Base, one_of

STATES = ("waiting", "done", "failed")


class InboundEvent(Base):
    """One event of another system, known by its sender's id.

    lane: events of one source and lane are worked on one after the other. urgent: somebody waits in front of a screen.
    proofs: hashes of the signatures that it came with; the same one twice is a replay. claim, claimed_until: who works
    on it; a claim that ran out belongs to a process that died.
    """

    __tablename__ = "inbound_event"
    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    source: Mapped[str]
    key: Mapped[str]
    lane: Mapped[str] = mapped_column(default="")
    urgent: Mapped[bool] = mapped_column(default=False)
    body: Mapped[dict[str, Any]]
    proofs: Mapped[list[Any]] = mapped_column(default=list)
    received_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    claim: Mapped[str] = mapped_column(default="")
    claimed_until: Mapped[datetime | None]
    next_try_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")
    __table_args__ = (
        UniqueConstraint("source", "key"),
        one_of("state", STATES),
        Index(
            "ix_inbound_event_waiting",
            "source",
            "lane",
            "id",
            postgresql_where=text("state = 'waiting'"),
            sqlite_where=text("state = 'waiting'"),
        ),
        Index("ix_inbound_event_ended_at", "ended_at"),
    )
