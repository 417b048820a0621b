"""Bring a database to this version's tables (Alembic), or say that it is behind."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

from agent.domain.errors import Conflict, Unavailable
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
    except OperationalError as error:
        raise Unavailable(f"{store.describe()} cannot be reached: {str(error.orig).splitlines()[0]}") from None


def revisions(store: Store) -> tuple[str | None, str]:
    """The database's revision (None when it is empty) and the newest that this program knows."""
    newest = ScriptDirectory.from_config(_config(store)).get_current_head()
    assert newest is not None
    try:
        with store.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), newest
    except OperationalError as error:
        raise Unavailable(f"{store.describe()} cannot be reached: {str(error.orig).splitlines()[0]}") from None


def require_current(store: Store) -> None:
    """Raises: Conflict when the database is behind (or ahead of) this program, saying what to run."""
    current, newest = revisions(store)
    if current != newest:
        state = "has no tables yet" if current is None else f"is at revision {current}, this program needs {newest}"
        raise Conflict(f"{store.describe()} {state}; run `watchkeeper db upgrade`.")
