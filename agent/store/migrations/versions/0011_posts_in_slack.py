"""What was posted where, so that it can be edited."""

from typing import Any

import sqlalchemy as sa
from alembic import op

import agent.store.tables

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, agent.store.tables.UtcDateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "slack_post",
        sa.Column("id", NUMBER, nullable=False),
        *(_text(name) for name in ("subject", "kind", "address", "reference", "digest")),
        _time("posted_at"),
        _time("edited_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slack_post")),
        sa.UniqueConstraint("subject", "kind", "address", name="uq_slack_post_subject"),
    )
    op.create_index("ix_slack_post_reference", "slack_post", ["reference"])
    op.create_table(
        "slack_followed",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slack_followed")),
    )
    op.create_table(
        "slack_answer",
        *(_text(name) for name in ("once", "thread", "user", "state", "reference")),
        _text("message_id", nullable=True),
        _time("begun_at"),
        _time("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("once", name=op.f("pk_slack_answer")),
        sa.CheckConstraint("state IN ('working', 'stopped', 'done')", name=op.f("ck_slack_answer_state")),
    )
    op.create_index("ix_slack_answer_thread", "slack_answer", ["thread"])


def downgrade() -> None:
    for name in ("slack_answer", "slack_followed", "slack_post"):
        op.drop_table(name)
