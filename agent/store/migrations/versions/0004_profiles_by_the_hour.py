"""Profiles of single hours, of which the window of a large log is the sum."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import agent.store.tables

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")


def upgrade() -> None:
    op.create_table(
        "hourly_profile",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("bins", sa.Text(), nullable=False),
        sa.Column("hour", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("document", JSON, nullable=True),
        sa.ForeignKeyConstraint(["model"], ["model.name"], name=op.f("fk_hourly_profile_model_model")),
        sa.PrimaryKeyConstraint("model", "bins", "hour", name=op.f("pk_hourly_profile")),
    )


def downgrade() -> None:
    op.drop_table("hourly_profile")
