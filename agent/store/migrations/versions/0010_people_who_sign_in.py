"""People, their identities and their sessions."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import agent.store.tables

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, agent.store.tables.UtcDateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _of_person(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f(f"fk_{table}_person_id_person"))


def upgrade() -> None:
    op.create_table(
        "person",
        _text("id"),
        _text("name"),
        _text("folded"),
        _text("role"),
        sa.Column("models", JSON, nullable=False),
        _text("password", nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        _time("created_at"),
        _text("created_by"),
        _time("ended_at", nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'approver', 'admin')", name=op.f("ck_person_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("folded", name=op.f("uq_person_folded")),
    )
    op.create_table(
        "identity",
        _text("id"),
        _text("person_id"),
        _text("kind"),
        _text("key"),
        _text("label"),
        _time("created_at"),
        sa.CheckConstraint("kind IN ('slack', 'oidc')", name=op.f("ck_identity_kind")),
        _of_person("identity"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
        sa.UniqueConstraint("kind", "key", name="uq_identity_kind_key"),
    )
    op.create_table(
        "web_session",
        _text("id"),
        _text("person_id"),
        _text("hash"),
        _text("how"),
        _text("address"),
        _text("browser"),
        _time("created_at"),
        _time("signed_in_at"),
        _time("seen_at"),
        _time("expires_at"),
        _time("ended_at", nullable=True),
        _of_person("web_session"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_web_session")),
        sa.UniqueConstraint("hash", name=op.f("uq_web_session_hash")),
    )
    op.create_table(
        "one_time_code",
        _text("id"),
        _text("hash"),
        _text("purpose"),
        _text("person_id", nullable=True),
        _time("created_at"),
        _time("expires_at"),
        _time("used_at", nullable=True),
        sa.CheckConstraint("purpose IN ('setup', 'password', 'link')", name=op.f("ck_one_time_code_purpose")),
        _of_person("one_time_code"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_code")),
        sa.UniqueConstraint("hash", name=op.f("uq_one_time_code_hash")),
    )
    op.create_table(
        "kept_answer",
        _text("key"),
        _text("request"),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", JSON, nullable=False),
        _text("body"),
        _time("at"),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_kept_answer")),
    )
    for table, column in (
        ("identity", "person_id"),
        ("web_session", "person_id"),
        ("web_session", "expires_at"),
        ("one_time_code", "person_id"),
        ("kept_answer", "at"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.add_column("api_token", sa.Column("agent", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("api_token", "agent")
    for table in ("kept_answer", "one_time_code", "web_session", "identity", "person"):
        op.drop_table(table)
