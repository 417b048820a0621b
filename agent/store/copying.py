"""A database as one SQLite file, and back: what a backup holds, whichever database it comes from or goes to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, Table, func, insert, select, text, update
from sqlalchemy.exc import DatabaseError

from agent.domain.errors import Conflict, Unavailable
from agent.store import migrate
from agent.store.session import Store
from agent.store.tables import AuditEvent, Base, Model

ROWS = 1000
GUARDED = ("audit", "audit_head")
"""Tables whose triggers refuse what a copy must do: write the head of a chain that is there already."""


def copy_sqlite(source: Path, target: Path) -> None:
    """One SQLite file as it is at this moment, however many processes write to it. Raises: Unavailable."""
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=15)) as there,
            closing(sqlite3.connect(target)) as here,
        ):
            there.backup(here)
            here.execute("PRAGMA journal_mode=DELETE")
            said = here.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        raise Unavailable(f"{source} cannot be copied ({error}); see `watchkeeper doctor`.") from None
    if said != "ok":
        raise Unavailable(f"{source} is damaged ({said}); a copy of it would be, too.")


def take(store: Store, target: Path) -> None:
    """All rows at one moment, as the SQLite file `target`. Raises: Unavailable."""
    if store.engine.dialect.name == "sqlite" and store.engine.url.database:
        copy_sqlite(Path(store.engine.url.database), target)
        return
    copy = Store(f"sqlite:///{target}")
    try:
        migrate.upgrade(copy)
        with store.engine.connect().execution_options(isolation_level="REPEATABLE READ") as there:
            _pour(there, copy)
        with copy.engine.connect() as here:
            here.exec_driver_sql("COMMIT")  # a change of the journal's kind is no transaction
            here.exec_driver_sql("PRAGMA journal_mode=DELETE")
            here.exec_driver_sql("BEGIN")
    except DatabaseError as error:
        raise Unavailable(f"{store.describe()} cannot be copied ({str(error.orig).splitlines()[0]}).") from None
    finally:
        copy.close()


def bring(source: Path, store: Store) -> None:
    """The rows of a file that `take` made, into a database that has none. All of them or none.

    Raises: Conflict when it has some, Unavailable.
    """
    copy = Store(f"sqlite:///{source}")
    try:
        migrate.upgrade(store)
        with store.read() as session:
            if session.scalar(select(func.count()).select_from(AuditEvent)) or session.scalar(select(Model.name)):
                raise Conflict(f"{store.describe()} holds a workspace already; name an empty one.")
        with copy.engine.connect() as there:
            _pour(there, store)
    except DatabaseError as error:
        raise Unavailable(f"{store.describe()} cannot be filled ({str(error.orig).splitlines()[0]}).") from None
    finally:
        copy.close()


def _pour(there: Connection, target: Store) -> None:
    """Every row of every table, in one transaction."""
    tables = Base.metadata.sorted_tables
    with target.engine.execution_options(watchkeeper_immediate=True).begin() as here, _unguarded(here):
        for table in reversed(tables):
            here.execute(table.delete())
        for table in tables:
            _pour_table(there, here, table)


def _pour_table(there: Connection, here: Connection, table: Table) -> None:
    """The rows of one table. What points within it is set when all of them are there."""
    inward = [column for column in table.columns if any(key.column.table is table for key in column.foreign_keys)]
    key = next(iter(table.primary_key.columns))
    for rows in there.execution_options(yield_per=ROWS).execute(select(table)).mappings().partitions():
        plain = [dict(row) for row in rows]
        here.execute(insert(table), [row | {column.name: None for column in inward} for row in plain])
    for column in inward:
        for found in there.execute(select(key, column).where(column.is_not(None))).partitions(ROWS):
            for own, other in found:
                here.execute(update(table).where(key == own).values({column: other}))
    if here.dialect.name == "postgresql" and (number := _counted(table)) is not None:
        here.execute(
            text(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', '{number.name}'), "  # noqa: S608 (names of ours)
                f"(SELECT max({number.name}) FROM {table.name})) WHERE EXISTS (SELECT 1 FROM {table.name})"
            )
        )


def _counted(table: Table) -> Column[int] | None:
    """The key that the database itself counts up."""
    keys = list(table.primary_key.columns)
    found = table.autoincrement_column
    return found if len(keys) == 1 and found is not None and isinstance(keys[0].type, Integer) else None


@contextmanager
def _unguarded(here: Connection) -> Iterator[None]:
    """Without the triggers of the audit, within this transaction."""
    if here.dialect.name == "postgresql":
        for name in GUARDED:
            here.execute(text(f"ALTER TABLE {name} DISABLE TRIGGER USER"))
        yield
        for name in GUARDED:
            here.execute(text(f"ALTER TABLE {name} ENABLE TRIGGER USER"))
        return
    found = here.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
    for name, _ in found:
        here.execute(text(f"DROP TRIGGER {name}"))
    yield
    for _, statement in found:
        here.exec_driver_sql(statement)
