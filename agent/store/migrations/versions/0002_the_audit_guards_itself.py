"""The audit keeps its hashed text and refuses changes; when an action started; who asks to lift the kill switch."""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import agent.store.tables
from tools.actions import canonical_json

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")

POSTGRESQL = (
    "CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION USING MESSAGE = 'the audit is append-only: ' || TG_OP || ' refused'; END $$",
    "CREATE FUNCTION audit_head_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'UPDATE' AND NEW.id = OLD.id AND NEW.seq = OLD.seq + 1 THEN RETURN NEW; END IF; "
    "RAISE EXCEPTION USING MESSAGE = 'the end of the audit only moves on by one: ' || TG_OP || ' refused'; END $$",
    "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_never_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_head_grows BEFORE UPDATE OR DELETE ON audit_head FOR EACH ROW EXECUTE FUNCTION audit_head_only_grows()",
    "CREATE TRIGGER audit_head_never_emptied BEFORE TRUNCATE ON audit_head FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()",
)
SQLITE = (
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only: UPDATE refused'); END",
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only: DELETE refused'); END",
    "CREATE TRIGGER audit_head_grows BEFORE UPDATE ON audit_head WHEN NEW.id <> OLD.id OR NEW.seq <> OLD.seq + 1 "
    "BEGIN SELECT RAISE(ABORT, 'the end of the audit only moves on by one: UPDATE refused'); END",
    "CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head "
    "BEGIN SELECT RAISE(ABORT, 'the end of the audit only moves on by one: DELETE refused'); END",
)


def upgrade() -> None:
    connection = op.get_bind()
    op.create_table(
        "unfreeze_request",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", agent.store.tables.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_unfreeze_request")),
    )
    op.add_column("proposal", sa.Column("started_at", agent.store.tables.UtcDateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE proposal SET started_at = (SELECT min(at) FROM audit "
        "WHERE audit.subject = proposal.id AND audit.event = 'proposal executing')"
    )
    with op.batch_alter_table("audit") as audit:
        audit.alter_column(
            "data", existing_type=JSON, type_=sa.Text(), existing_nullable=False, postgresql_using="data::text"
        )
    written = connection.execute(sa.text("SELECT seq, data FROM audit")).all()
    for seq, data in written:
        text = canonical_json(json.loads(data)).decode()
        connection.execute(sa.text("UPDATE audit SET data = :data WHERE seq = :seq"), {"data": text, "seq": seq})
    for statement in POSTGRESQL if connection.dialect.name == "postgresql" else SQLITE:
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for table, names in (("audit", ("append_only", "never_emptied")), ("audit_head", ("grows", "never_emptied"))):
            for name in names:
                op.execute(f"DROP TRIGGER {table}_{name} ON {table}")
        op.execute("DROP FUNCTION audit_refuses()")
        op.execute("DROP FUNCTION audit_head_only_grows()")
    else:
        for name in ("audit_no_update", "audit_no_delete", "audit_head_grows", "audit_head_stays"):
            op.execute(f"DROP TRIGGER {name}")
    with op.batch_alter_table("audit") as audit:
        audit.alter_column(
            "data", existing_type=sa.Text(), type_=JSON, existing_nullable=False, postgresql_using="data::jsonb"
        )
    op.drop_column("proposal", "started_at")
    op.drop_table("unfreeze_request")
