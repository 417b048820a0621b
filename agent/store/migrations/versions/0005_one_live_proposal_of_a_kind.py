"""One live proposal for each model and kind; one execution of a model at a time, which may wait; tries of a step."""

import sqlalchemy as sa
from alembic import op

import agent.store.tables

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LIVE = sa.text("state IN ('pending', 'approved', 'executing')")
RUNNING = sa.text("state = 'running'")
BEFORE = "state IN ('ready', 'running', 'done', 'failed', 'superseded')"
AFTER = "state IN ('ready', 'running', 'waiting', 'done', 'failed', 'superseded')"


def upgrade() -> None:
    op.drop_index("uq_proposal_live", "proposal")
    op.create_index(
        "uq_proposal_live", "proposal", ["model", "kind"], unique=True, sqlite_where=LIVE, postgresql_where=LIVE
    )
    op.add_column("execution_step", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("execution_step", sa.Column("error", sa.Text(), nullable=False, server_default=""))
    op.add_column("execution", sa.Column("model", sa.Text(), nullable=True))
    op.add_column("execution", sa.Column("resume_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True))
    op.execute("UPDATE execution SET model = (SELECT model FROM proposal WHERE proposal.id = execution.proposal_id)")
    with op.batch_alter_table("execution") as table:
        table.alter_column("model", existing_type=sa.Text(), nullable=False)
        table.create_foreign_key(op.f("fk_execution_model_model"), "model", ["model"], ["name"])
        table.drop_constraint(op.f("ck_execution_state"), type_="check")
        table.create_check_constraint(op.f("ck_execution_state"), AFTER)
    op.create_index(
        "uq_execution_running", "execution", ["model"], unique=True, sqlite_where=RUNNING, postgresql_where=RUNNING
    )


def downgrade() -> None:
    op.drop_index("uq_execution_running", "execution")
    with op.batch_alter_table("execution") as table:
        table.drop_constraint(op.f("ck_execution_state"), type_="check")
        table.create_check_constraint(op.f("ck_execution_state"), BEFORE)
        table.drop_constraint(op.f("fk_execution_model_model"), type_="foreignkey")
        table.drop_column("model")
        table.drop_column("resume_at")
    with op.batch_alter_table("execution_step") as table:
        table.drop_column("tries")
        table.drop_column("error")
    op.drop_index("uq_proposal_live", "proposal")
    op.create_index("uq_proposal_live", "proposal", ["model"], unique=True, sqlite_where=LIVE, postgresql_where=LIVE)
