"""Tokens for programs, and alerts that are silenced for a while."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import agent.store.tables

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, agent.store.tables.UtcDateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "api_token",
        _text("id"),
        _text("name"),
        _text("person"),
        _text("hash"),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("models", JSON, nullable=False),
        _text("audience"),
        _time("created_at"),
        _time("expires_at"),
        _time("revoked_at", nullable=True),
        _text("revoked_by"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_token_hash")),
    )
    op.create_table(
        "silence",
        _text("id"),
        _text("model"),
        _text("monitor", nullable=True),
        _text("feature", nullable=True),
        _time("since"),
        _time("until"),
        _text("reason"),
        _text("proposal_id"),
        _time("ended_at", nullable=True),
        _text("ended_by"),
        sa.ForeignKeyConstraint(["model"], ["model.name"], name=op.f("fk_silence_model_model")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_silence_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silence")),
        sa.UniqueConstraint("proposal_id", name=op.f("uq_silence_proposal_id")),
    )
    op.create_index(op.f("ix_silence_model"), "silence", ["model"])


def downgrade() -> None:
    op.drop_table("silence")
    op.drop_table("api_token")
