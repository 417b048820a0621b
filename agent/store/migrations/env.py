"""Alembic's entry: one connection, one transaction for all migrations."""

from alembic import context

from agent.store.tables import Base

engine = context.config.attributes["engine"]

with engine.execution_options(watchkeeper_immediate=True).connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=connection.dialect.name == "sqlite"
    )
    with context.begin_transaction():
        context.run_migrations()
