"""Bring a database to this version's tables (Alembic), or say that it is behind."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DatabaseError

from agent.domain.errors import Unavailable
from agent.store.session import Store


def _config(store: Store) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = store.engine
    return config


def upgrade(store: Store, revision: str = "head") -> None:
    """Apply every migration up to `revision`. Raises: Unavailable when the database cannot be reached."""
    try:
        command.upgrade(_config(store), revision)
    except DatabaseError as error:
        raise _unreachable(store, error) from None


def revisions(store: Store) -> tuple[str | None, str]:
    """The database's revision (None when it is empty) and the newest that this program knows."""
    newest = ScriptDirectory.from_config(_config(store)).get_current_head()
    assert newest is not None
    try:
        with store.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), newest
    except DatabaseError as error:
        raise _unreachable(store, error) from None


def require_current(store: Store) -> None:
    """Raises: Unavailable when the database is behind (or ahead of) this program, saying what to run."""
    current, newest = revisions(store)
    if current != newest:
        state = "has no tables yet" if current is None else f"is at revision {current}, this program needs {newest}"
        raise Unavailable(f"{_capital(store.describe())} {state}; run `watchkeeper db upgrade`.")


def _unreachable(store: Store, error: DatabaseError) -> Unavailable:
    cause = str(error.orig).strip().splitlines()[0]
    return Unavailable(
        f"{_capital(store.describe())} cannot be used ({cause}); start it, or correct WATCHKEEPER_DATABASE_URL."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
