"""Alembic's entry: one connection, one transaction for all migrations."""

from alembic import context

from agent.store.tables import Base

engine = context.config.attributes["engine"]

with engine.execution_options(watchkeeper_immediate=True).connect() as connection:
    sqlite = connection.dialect.name == "sqlite"
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=sqlite)
    if sqlite:  # a table that others refer to is altered by making it anew; the setting counts outside a transaction
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")
    try:
        with context.begin_transaction():
            context.run_migrations()
            if sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
                raise RuntimeError(f"the migration would leave a row of {broken[0]} that refers to nothing")
    finally:
        connection.rollback()  # what was committed stays; the setting is only heard outside a transaction
        if sqlite:
            connection.connection.driver_connection.execute("PRAGMA foreign_keys=ON")
