"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import agent.store.tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column(
            "data", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
        sa.UniqueConstraint("hash", name=op.f("uq_audit_hash")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_subject"), ["subject"], unique=False)

    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "control",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("frozen_by", sa.Text(), nullable=False),
        sa.Column("frozen_reason", sa.Text(), nullable=False),
        sa.Column("frozen_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("replayed_now", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_control")),
    )
    op.create_table(
        "model",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("registered_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("reference_start", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("reference_end", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("created_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("key", name=op.f("uq_outbox_key")),
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_subject"), ["subject"], unique=False)

    op.create_table(
        "slot",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("due_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("claimed_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("finished_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", "due_at", name=op.f("pk_slot")),
    )
    op.create_table(
        "incident",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("opened_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "state IN ('open', 'diagnosed', 'waiting', 'acting', 'verifying', 'resolved')",
            name=op.f("ck_incident_state"),
        ),
        sa.ForeignKeyConstraint(["model"], ["model.name"], name=op.f("fk_incident_model_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
    )
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.create_index(
            "uq_incident_unresolved",
            ["model"],
            unique=True,
            sqlite_where=sa.text("state <> 'resolved'"),
            postgresql_where=sa.text("state <> 'resolved'"),
        )

    op.create_table(
        "monitor_run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("window_start", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("window_end", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("champion", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column(
            "state", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["model"], ["model.name"], name=op.f("fk_monitor_run_model_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor_run")),
        sa.UniqueConstraint("model", "window_end", name="uq_monitor_run_look"),
    )
    op.create_table(
        "profile",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("bins", sa.Text(), nullable=False),
        sa.Column("window_end", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("window_start", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column(
            "document", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["model"], ["model.name"], name=op.f("fk_profile_model_model")),
        sa.PrimaryKeyConstraint("model", "bins", "window_end", name=op.f("pk_profile")),
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("monitor", sa.Text(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("first_seen", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_seen", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("cleared_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.CheckConstraint("severity IN ('info', 'warning', 'critical')", name=op.f("ck_alert_severity")),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_alert_incident_id_incident")),
        sa.ForeignKeyConstraint(["model"], ["model.name"], name=op.f("fk_alert_model_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
    )
    with op.batch_alter_table("alert", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alert_incident_id"), ["incident_id"], unique=False)
        batch_op.create_index(
            "uq_alert_firing",
            ["model", "fingerprint"],
            unique=True,
            sqlite_where=sa.text("cleared_at IS NULL"),
            postgresql_where=sa.text("cleared_at IS NULL"),
        )

    op.create_table(
        "diagnosis",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("window_start", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("window_end", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("onset", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "document", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_diagnosis_incident_id_incident")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_diagnosis")),
    )
    with op.batch_alter_table("diagnosis", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_diagnosis_incident_id"), ["incident_id"], unique=False)

    op.create_table(
        "measurement",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("monitor", sa.Text(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=True),
        sa.Column("segment", sa.Text(), nullable=True),
        sa.Column("window_start", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("window_end", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column(
            "facts", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["run_id"], ["monitor_run.id"], name=op.f("fk_measurement_run_id_monitor_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_measurement")),
    )
    with op.batch_alter_table("measurement", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_measurement_run_id"), ["run_id"], unique=False)
        batch_op.create_index("ix_measurement_series", ["model", "monitor", "feature", "window_end"], unique=False)

    op.create_table(
        "report",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.Column("created_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column(
            "facts", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_report_incident_id_incident")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report")),
        sa.UniqueConstraint("incident_id", name=op.f("uq_report_incident_id")),
    )
    op.create_table(
        "proposal",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.Column("diagnosis_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "action", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("risk", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column(
            "trial", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=True
        ),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("approve_by", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("approved_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("execute_by", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("ended_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'executing', 'executed', 'verifying', 'succeeded', 'failed', 'inconclusive', 'rejected', 'expired', 'superseded', 'withdrawn')",
            name=op.f("ck_proposal_state"),
        ),
        sa.ForeignKeyConstraint(["diagnosis_id"], ["diagnosis.id"], name=op.f("fk_proposal_diagnosis_id_diagnosis")),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_proposal_incident_id_incident")),
        sa.ForeignKeyConstraint(["model"], ["model.name"], name=op.f("fk_proposal_model_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposal")),
    )
    with op.batch_alter_table("proposal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_proposal_incident_id"), ["incident_id"], unique=False)
        batch_op.create_index(
            "uq_proposal_live",
            ["model"],
            unique=True,
            sqlite_where=sa.text("state IN ('pending', 'approved', 'executing')"),
            postgresql_where=sa.text("state IN ('pending', 'approved', 'executing')"),
        )

    op.create_table(
        "approval",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("proposal_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("decision IN ('approve', 'reject')", name=op.f("ck_approval_decision")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_approval_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
        sa.UniqueConstraint("proposal_id", "person", name="uq_approval_person"),
    )
    op.create_table(
        "deployment",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("proposal_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["model"], ["model.name"], name=op.f("fk_deployment_model_model")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_deployment_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
        sa.UniqueConstraint("proposal_id", name=op.f("uq_deployment_proposal_id")),
    )
    with op.batch_alter_table("deployment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deployment_model"), ["model"], unique=False)

    op.create_table(
        "execution",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("proposal_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_until", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("created_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("started_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("finished_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('ready', 'running', 'done', 'failed', 'superseded')", name=op.f("ck_execution_state")
        ),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_execution_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution")),
        sa.UniqueConstraint("proposal_id", name=op.f("uq_execution_proposal_id")),
    )
    op.create_table(
        "unfit_window",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("start", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("end", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column(
            "features", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposal_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["model"], ["model.name"], name=op.f("fk_unfit_window_model_model")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_unfit_window_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unfit_window")),
        sa.UniqueConstraint("proposal_id", name=op.f("uq_unfit_window_proposal_id")),
    )
    with op.batch_alter_table("unfit_window", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_unfit_window_model"), ["model"], unique=False)

    op.create_table(
        "verification",
        sa.Column("proposal_id", sa.Text(), nullable=False),
        sa.Column("started_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("due_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("decided_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.Column(
            "document", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.id"], name=op.f("fk_verification_proposal_id_proposal")),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_verification")),
    )
    op.create_table(
        "execution_step",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column(
            "result", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=True
        ),
        sa.Column("intended_at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.Column("done_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('intended', 'done')", name=op.f("ck_execution_step_state")),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.id"], name=op.f("fk_execution_step_execution_id_execution")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution_step")),
        sa.UniqueConstraint("execution_id", "name", name="uq_execution_step_name"),
    )
    # One row each: the end of the audit chain, and the kill switch.
    op.execute(f"INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '{'0' * 64}')")
    op.execute("INSERT INTO control (id, frozen, frozen_by, frozen_reason) VALUES (1, false, '', '')")


def downgrade() -> None:
    op.drop_table("execution_step")
    op.drop_table("verification")
    with op.batch_alter_table("unfit_window", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_unfit_window_model"))

    op.drop_table("unfit_window")
    op.drop_table("execution")
    with op.batch_alter_table("deployment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deployment_model"))

    op.drop_table("deployment")
    op.drop_table("approval")
    with op.batch_alter_table("proposal", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_proposal_live",
            sqlite_where=sa.text("state IN ('pending', 'approved', 'executing')"),
            postgresql_where=sa.text("state IN ('pending', 'approved', 'executing')"),
        )
        batch_op.drop_index(batch_op.f("ix_proposal_incident_id"))

    op.drop_table("proposal")
    op.drop_table("report")
    with op.batch_alter_table("measurement", schema=None) as batch_op:
        batch_op.drop_index("ix_measurement_series")
        batch_op.drop_index(batch_op.f("ix_measurement_run_id"))

    op.drop_table("measurement")
    with op.batch_alter_table("diagnosis", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_diagnosis_incident_id"))

    op.drop_table("diagnosis")
    with op.batch_alter_table("alert", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_alert_firing",
            sqlite_where=sa.text("cleared_at IS NULL"),
            postgresql_where=sa.text("cleared_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_alert_incident_id"))

    op.drop_table("alert")
    op.drop_table("profile")
    op.drop_table("monitor_run")
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_incident_unresolved",
            sqlite_where=sa.text("state <> 'resolved'"),
            postgresql_where=sa.text("state <> 'resolved'"),
        )

    op.drop_table("incident")
    op.drop_table("slot")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_subject"))

    op.drop_table("outbox")
    op.drop_table("model")
    op.drop_table("control")
    op.drop_table("audit_head")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_subject"))

    op.drop_table("audit")
