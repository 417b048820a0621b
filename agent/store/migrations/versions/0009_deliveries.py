"""Where each message goes, and what became of it there; what people want to be told; alerts of other programs."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import agent.store.tables

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UNROUTED = sa.text("routed_at IS NULL")
UNRESOLVED = sa.text("state <> 'resolved'")


def _time(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, agent.store.tables.UtcDateTime(timezone=True), nullable=nullable)


def _text(name: str, *, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def upgrade() -> None:
    _outbox()
    _deliveries()
    _alerts_of_others()


def _outbox() -> None:
    """What was delivered stays delivered: it is not sent again to the channels that there are now."""
    for name in ("kind", "model", "topic"):
        op.add_column("outbox", _text(name, default=""))
    op.add_column("outbox", _text("severity", default="info"))
    op.add_column("outbox", sa.Column("document", JSON, nullable=False, server_default="{}"))
    op.add_column("outbox", sa.Column("files", JSON, nullable=False, server_default="[]"))
    op.add_column("outbox", _time("routed_at"))
    op.execute("UPDATE outbox SET routed_at = delivered_at, topic = subject")
    with op.batch_alter_table("outbox") as table:
        for name in ("attempts", "next_try_at", "delivered_at", "error"):
            table.drop_column(name)
    op.create_index("ix_outbox_unrouted", "outbox", ["id"], sqlite_where=UNROUTED, postgresql_where=UNROUTED)


def _deliveries() -> None:
    op.create_table(
        "delivery",
        _text("id"),
        sa.Column("event_id", NUMBER, nullable=False),
        *(_text(name) for name in ("channel", "address", "person", "state", "why")),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("next_try_at"),
        _time("started_at"),
        _time("created_at", nullable=False),
        _time("delivered_at"),
        _text("error"),
        sa.Column("sent", JSON, nullable=False),
        sa.Column("told_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.ForeignKeyConstraint(["event_id"], ["outbox.id"], name=op.f("fk_delivery_event_id_outbox")),
        sa.ForeignKeyConstraint(["told_by"], ["delivery.id"], name=op.f("fk_delivery_told_by_delivery")),
        sa.UniqueConstraint("event_id", "channel", "address", name="uq_delivery_event"),
        sa.CheckConstraint(
            "state IN ('waiting', 'delivered', 'failed', 'held', 'collapsed')", name=op.f("ck_delivery_state")
        ),
    )
    op.create_index("ix_delivery_destination", "delivery", ["channel", "address", "state", "event_id"])
    op.create_index("ix_delivery_state", "delivery", ["state", "next_try_at"])
    op.create_table(
        "destination",
        *(_text(name) for name in ("channel", "address", "worker")),
        _time("lease_until"),
        _time("ready_at"),
        sa.Column("failures", sa.Integer(), nullable=False),
        _text("error"),
        sa.PrimaryKeyConstraint("channel", "address", name=op.f("pk_destination")),
    )
    op.create_table(
        "preference",
        _text("person"),
        sa.Column("channels", JSON, nullable=False),
        _text("severity"),
        sa.Column("models", JSON, nullable=False),
        sa.Column("kinds", JSON, nullable=False),
        sa.Column("quiet_from", sa.Integer(), nullable=True),
        sa.Column("quiet_to", sa.Integer(), nullable=True),
        _text("time_zone"),
        sa.Column("digest", sa.Integer(), nullable=False),
        _time("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_preference")),
        sa.CheckConstraint("severity IN ('info', 'warning', 'critical')", name=op.f("ck_preference_severity")),
    )
    op.create_table(
        "unsubscribed",
        _text("channel"),
        _text("address"),
        _time("at", nullable=False),
        sa.PrimaryKeyConstraint("channel", "address", name=op.f("pk_unsubscribed")),
    )


def _alerts_of_others() -> None:
    """An alert or an incident may be of no model under watch."""
    op.drop_index("uq_incident_unresolved", "incident")
    with op.batch_alter_table("incident") as table:
        table.drop_constraint(op.f("fk_incident_model_model"), type_="foreignkey")
        table.add_column(_text("key", default=""))
    op.create_index(
        "uq_incident_unresolved",
        "incident",
        ["model", "key"],
        unique=True,
        sqlite_where=UNRESOLVED,
        postgresql_where=UNRESOLVED,
    )
    with op.batch_alter_table("alert") as table:
        table.drop_constraint(op.f("fk_alert_model_model"), type_="foreignkey")
        table.add_column(_text("source", default=""))
        table.add_column(_text("link", default=""))
        table.add_column(_text("episode", default=""))
        table.add_column(sa.Column("labels", JSON, nullable=False, server_default="{}"))

    op.create_index("ix_alert_fingerprint", "alert", ["fingerprint"])


def downgrade() -> None:
    """Alerts of others and their incidents stay; a database that has some refuses the older keys."""
    op.drop_index("ix_alert_fingerprint", "alert")
    with op.batch_alter_table("alert") as table:
        for name in ("labels", "episode", "link", "source"):
            table.drop_column(name)
        table.create_foreign_key(op.f("fk_alert_model_model"), "model", ["model"], ["name"])
    op.drop_index("uq_incident_unresolved", "incident")
    with op.batch_alter_table("incident") as table:
        table.drop_column("key")
        table.create_foreign_key(op.f("fk_incident_model_model"), "model", ["model"], ["name"])
    op.create_index(
        "uq_incident_unresolved",
        "incident",
        ["model"],
        unique=True,
        sqlite_where=UNRESOLVED,
        postgresql_where=UNRESOLVED,
    )
    for name in ("unsubscribed", "preference", "destination", "delivery"):
        op.drop_table(name)
    op.drop_index("ix_outbox_unrouted", "outbox")
    op.add_column("outbox", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", _time("next_try_at"))
    op.add_column("outbox", _time("delivered_at"))
    op.add_column("outbox", _text("error", default=""))
    op.execute("UPDATE outbox SET delivered_at = routed_at")
    with op.batch_alter_table("outbox") as table:
        for name in ("routed_at", "files", "document", "severity", "topic", "model", "kind"):
            table.drop_column(name)
