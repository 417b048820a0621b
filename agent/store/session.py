"""Transactions: one request or job = one `Store.write()`, committed at the edge.

SQLite: a writer takes the lock at its first statement (`BEGIN IMMEDIATE`), because a read that becomes a write fails
with BUSY_SNAPSHOT whatever the time-out. PostgreSQL: ordinary transactions, which wait for a lock as long as on SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, Executable, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from agent.domain.errors import Conflict, InvalidInput, Unavailable
from agent.store.precedence import Precedence

LOCK_SECONDS = 15
ASLEEP_SECONDS = 300
"""On PostgreSQL, a transaction that says nothing for so long is ended: its process is stopped, and holds up all."""
OVERTAKEN = "Somebody else changed this at the same moment, and nothing was done; look again, then decide."


class Store:
    """The database of one workspace. Use `write()` for a transaction that changes something, `read()` otherwise."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._alone: Engine | None = None
        self.precedence = Precedence(needed=self.engine.dialect.name == "sqlite")

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction; commits at the end, rolls back on any error.

        Raises: Unavailable when the database is, Conflict when somebody else was first.
        """
        with self._session(immediate=True) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only view; nothing is committed. Raises: Unavailable when the database is."""
        with self._session(immediate=False) as session:
            yield session

    def alone(self, statement: Executable, rows: Sequence[Mapping[str, Any]] = ()) -> Sequence[Any]:
        """What one statement, of many rows or of none, returns that is a transaction of its own: on PostgreSQL one
        round trip, where a look at the connection, the beginning and the end would be three more. Raises: Unavailable.
        """
        if self.engine.dialect.name != "postgresql":
            with self.write() as session:
                return session.connection().execute(statement, rows or None).all()
        if self._alone is None:
            self._alone = _postgresql(self.engine.url, alone=True)
        for last in (False, True):
            try:
                with self._alone.connect() as connection:
                    return connection.execute(statement, rows or None).all()
            except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
                if last or not getattr(error, "connection_invalidated", False):  # it had idled until the server left
                    raise Unavailable(f"{self.describe()}: {_cause(error)}; try again.") from error
        raise AssertionError("unreachable")

    @contextmanager
    def _session(self, *, immediate: bool) -> Iterator[Session]:
        options = {"watchkeeper_immediate": immediate}
        try:  # around the end of the session too: to roll back takes a database that answers
            with Session(self.engine.execution_options(**options), expire_on_commit=False) as session:
                yield session
        except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
            raise Unavailable(f"{self.describe()}: {_cause(error)}; nothing was changed, try again.") from error
        except StaleDataError as error:
            raise Conflict(OVERTAKEN) from error
        except IntegrityError as error:
            if not _is_twice(error):
                raise
            raise Conflict(OVERTAKEN) from error

    def describe(self) -> str:
        """The database by name, without its password."""
        return f"the database {make_url(self.url).render_as_string(hide_password=True)}"

    def close(self) -> None:
        self.engine.dispose()
        if self._alone is not None:
            self._alone.dispose()


def _is_twice(error: IntegrityError) -> bool:
    """Whether a unique key says that somebody else was first; any other broken rule is a mistake of ours."""
    unique = "23505"  # SQLSTATE unique_violation
    return getattr(error.orig, "sqlstate", None) == unique or "UNIQUE constraint failed" in str(error.orig)


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _postgresql(url: URL, *, alone: bool = False) -> Engine:
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if alone else {}
    engine = create_engine(url, pool_pre_ping=not alone, connect_args={"connect_timeout": 5}, **options)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        limits = {"lock_timeout": LOCK_SECONDS, "idle_in_transaction_session_timeout": ASLEEP_SECONDS}
        for name, seconds in limits.items():
            connection.execute(f"SET {name} = {round(seconds * 1000)}")
        connection.commit()

    return engine


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput(
            f"WATCHKEEPER_DATABASE_URL {url!r} is not a database address; "
            "write sqlite:////path/file.db or postgresql+psycopg://user@host/name."
        ) from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed)
    if parsed.get_backend_name() != "sqlite":
        raise InvalidInput(f"{parsed.drivername!r} is not supported; use sqlite or postgresql+psycopg.")
    if parsed.database and parsed.database != ":memory:":
        try:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"The folder of the database {parsed.database} cannot be made ({error.strerror}); "
                "correct WATCHKEEPER_DATABASE_URL, or the folder's rights."
            ) from None
    engine = create_engine(parsed, connect_args={"timeout": LOCK_SECONDS})

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        immediate = connection.get_execution_options().get("watchkeeper_immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
