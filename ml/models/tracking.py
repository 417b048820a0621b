"""The one door to the MLflow client: quiet, with time limits, and with its errors put into our own tree.

MLflow reads its time limits from the environment at each call, so they are set here, in code, before its import: by
default a call to a server that is down blocks for four minutes.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ml.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

_SECONDS = 4
_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}
_OUT_OF_REACH = (
    "INTERNAL_ERROR",
    "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "REQUEST_LIMIT_EXCEEDED",
)
_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg", "http", "https")


def normal_uri(uri: str) -> str:
    """The address as MLflow wants it: an absolute SQLite file, PostgreSQL through psycopg 3. Raises: InvalidInput."""
    scheme, _, rest = uri.partition("://")
    if scheme not in _SCHEMES or not rest:
        raise InvalidInput(
            f"The MLflow address {uri.split('@')[-1]!r} is none that is understood; write sqlite:///FILE, "
            "postgresql+psycopg://… or http(s)://…."
        )
    if scheme == "postgresql":
        return f"postgresql+psycopg://{rest}"
    if scheme == "sqlite":
        return f"sqlite:///{Path(rest.removeprefix('/')).absolute()}"
    return uri


def shown(uri: str) -> str:
    """The address without its password, for messages."""
    parts = urlsplit(uri)
    return uri if parts.password is None else uri.replace(f":{parts.password}@", ":…@")


def sqlite_file(uri: str) -> Path | None:
    """The file behind a normal SQLite address, else None."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def quiet() -> None:
    """Set time limits, switch telemetry off and keep MLflow's log lines from the user's terminal."""
    os.environ.update(_LIMITS)
    for name in ("mlflow", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.ERROR)


def connect(uri: str) -> MlflowClient:
    """A client of the store at a normal address, checked to be reachable; a new SQLite file gets its tables here.

    Raises: Unavailable, within about ten seconds, when the store cannot be reached.
    """
    quiet()
    _probe(uri)
    with reachable(uri), _first_migration(uri):
        from mlflow import MlflowClient

        quiet()  # MLflow configures its own logging at import
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_registered_models(max_results=1)
    return client


class Store:
    """Questions to the MLflow store at a normal address; connects at the first one."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @cached_property
    def _client(self) -> MlflowClient:
        return connect(self.uri)

    def ask(self, question: Callable[[MlflowClient], T]) -> T:
        """Raises: Unavailable; MlflowException when the store refuses."""
        client = self._client
        with reachable(self.uri):
            return question(client)

    def lookup(self, question: Callable[[MlflowClient], T]) -> T | None:
        """As `ask`, None where what is looked for does not exist."""
        client = self._client
        from mlflow.exceptions import MlflowException

        try:
            with reachable(self.uri):
                return question(client)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def pages(self, page_of: Callable[[MlflowClient, str | None], Any]) -> list[Any]:
        """Every item of an answer that comes in pages."""
        items: list[Any] = []
        token: str | None = None
        while True:
            page = self.ask(partial(_swapped, page_of, token))
            items += page
            token = page.token
            if not token:
                return items


def _swapped(page_of: Callable[[MlflowClient, str | None], Any], token: str | None, client: MlflowClient) -> Any:
    return page_of(client, token)


@contextmanager
def silence() -> Iterator[None]:
    """MLflow warns of its own type hints at import and of whole numbers in signatures: nothing a user can act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def reachable(uri: str) -> Iterator[None]:
    """Turns what MLflow raises when its store fails into Unavailable; refusals that callers can act on pass through."""
    with silence():
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

    try:
        with silence():
            yield
    except MlflowException as error:
        # Its store calls every trouble but the operational a bad request, also that no connection became free.
        trouble = isinstance(error.__cause__, (OperationalError, InterfaceError, InternalError, PoolTimeout))
        if trouble or error.error_code in _OUT_OF_REACH:
            raise _down(uri, error) from error
        raise
    except (SQLAlchemyError, OSError) as error:
        raise _down(uri, error) from error


def _down(uri: str, error: Exception) -> Unavailable:
    """A sentence: what is down, why, what next. requests wraps a refused connection in several hundred characters."""
    wrapped = "Max retries exceeded" in str(error)
    what = "cannot be reached" if wrapped else f"failed ({_first_line(error).rstrip('.')})"
    return Unavailable(f"MLflow at {shown(uri)} {what}; start it, or correct WATCHKEEPER_MLFLOW_URI.")


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock between processes of one machine; the empty file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _first_migration(uri: str) -> Iterator[None]:
    """Two processes that start on a new SQLite file must not both create its tables."""
    path = sqlite_file(uri)
    if path is None:
        yield
        return
    with file_lock(path.with_name(path.name + ".lock")):
        yield


def _probe(uri: str) -> None:
    """One quick attempt, because MLflow itself tries a database ten times over minutes."""
    if (path := sqlite_file(uri)) is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with sqlite3.connect(path, timeout=_SECONDS) as connection:
                connection.execute("PRAGMA user_version")
            connection.close()
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(
                f"MLflow's database {path} cannot be opened ({error}); check the folder's rights."
            ) from error
    elif uri.startswith("postgresql"):
        from sqlalchemy import create_engine
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.pool import NullPool

        try:
            engine = create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": _SECONDS})
            engine.connect().close()
        except SQLAlchemyError as error:
            raise Unavailable(f"MLflow's database {shown(uri)} is not reachable: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return text[:240].rstrip(".") + "."
