"""Reports that are due, and who gets them."""

import sqlalchemy as sa
from alembic import op

import agent.store.tables

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("report") as table:
        for name in ("period_start", "period_end", "due_at"):
            table.add_column(sa.Column(name, agent.store.tables.UtcDateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("audience", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("schedule", sa.Text(), nullable=True))
        table.create_unique_constraint("uq_report_due", ["schedule", "due_at"])


def downgrade() -> None:
    with op.batch_alter_table("report") as table:
        table.drop_constraint("uq_report_due", type_="unique")
        for name in ("schedule", "audience", "due_at", "period_end", "period_start"):
            table.drop_column(name)
