"""Who asked that a running execution be ended, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("execution", sa.Column("cancelled", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("execution") as table:
        table.drop_column("cancelled")
