"""Events from outside, kept before they are worked on."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import agent.store.tables

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, agent.store.tables.UtcDateTime(timezone=True), nullable=nullable)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "inbound_event",
        sa.Column("id", NUMBER, nullable=False),
        _text("source"),
        _text("key"),
        _text("lane"),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("proofs", JSON, nullable=False),
        _time("received_at"),
        _text("state"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _text("claim"),
        _time("claimed_until", nullable=True),
        _time("next_try_at", nullable=True),
        _time("ended_at", nullable=True),
        _text("error"),
        sa.CheckConstraint("state IN ('waiting', 'done', 'failed')", name=op.f("ck_inbound_event_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_event")),
        sa.UniqueConstraint("source", "key", name=op.f("uq_inbound_event_source")),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_inbound_event_waiting",
        "inbound_event",
        ["source", "lane", "id"],
        postgresql_where=waiting,
        sqlite_where=waiting,
    )
    op.create_index("ix_inbound_event_ended_at", "inbound_event", ["ended_at"])


def downgrade() -> None:
    op.drop_table("inbound_event")
