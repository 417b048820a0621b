"""Conversations, their messages and feedback, and what language models were used for."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import agent.store.tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, agent.store.tables.UtcDateTime(timezone=True), nullable=False)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "conversation",
        _text("id"),
        _text("key"),
        _text("person"),
        sa.Column("shared", sa.Boolean(), nullable=False),
        _text("title"),
        _time("created_at"),
        _time("updated_at"),
        _text("summary"),
        _text("summary_by"),
        sa.Column("summarised_to", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation")),
        sa.UniqueConstraint("key", name=op.f("uq_conversation_key")),
    )
    op.create_index(op.f("ix_conversation_person"), "conversation", ["person"])
    op.create_table(
        "message",
        _text("id"),
        _text("conversation_id"),
        sa.Column("position", sa.Integer(), nullable=False),
        _text("role"),
        _text("person"),
        _text("text"),
        _time("at"),
        _text("written_by"),
        _text("label"),
        sa.Column("models", JSON, nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.CheckConstraint("role IN ('person', 'watchkeeper')", name=op.f("ck_message_role")),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_message_conversation_id_conversation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("conversation_id", "position", name="uq_message_position"),
    )
    op.create_table(
        "feedback",
        _text("id"),
        _text("message_id"),
        _text("person"),
        _text("thumb"),
        _text("reason"),
        _time("at"),
        sa.CheckConstraint("thumb IN ('up', 'down')", name=op.f("ck_feedback_thumb")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_feedback_message_id_message")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sa.UniqueConstraint("message_id", "person", name="uq_feedback_person"),
    )
    op.create_index(op.f("ix_feedback_at"), "feedback", ["at"])
    op.create_table(
        "usage",
        sa.Column("id", NUMBER, nullable=False),
        _time("at"),
        _text("person"),
        _text("purpose"),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        _text("model"),
        _text("outcome"),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("tokens_in", sa.Integer(), nullable=False),
        sa.Column("tokens_out", sa.Integer(), nullable=False),
        sa.Column("usd", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_usage_conversation_id_conversation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage")),
    )
    op.create_index("ix_usage_at", "usage", ["at"])
    op.create_index("ix_usage_person_at", "usage", ["person", "at"])


def downgrade() -> None:
    for table in ("usage", "feedback", "message", "conversation"):
        op.drop_table(table)
