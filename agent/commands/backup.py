"""`backup`, `restore`: a whole workspace as one file, taken while it runs; and a workspace from that file.

Order is what makes it whole without stopping anything. The database is taken first, at one moment; MLflow and the
prediction log come after and so are never behind it: whatever was done meanwhile looks like a step after which the
process was cut off, and that is what the executor and the log recover from anyway.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import func, make_url, select

from agent.commands.archive import DATABASE, HOME, MLFLOW, Writer, written
from agent.commands.output import console
from agent.domain.errors import Unavailable
from agent.settings import Settings, load_settings
from agent.store import audit, copying, migrate
from agent.store.session import Store
from agent.store.tables import Delivery, Incident, Model, Proposal

SUFFIX = ".backup.tar.gz"
LEFT = ("serving/models", "serving/jobs", "serving/metrics-", "serving/served-")
"""What a model server makes again from the registry."""


def back_up(home: Path | None, target: Path | None) -> dict[str, Any]:
    """Write the backup. Raises: InvalidInput when there is such a file, Unavailable."""
    settings = load_settings(home=home)
    at = datetime.now(UTC)
    target = (target or Path(f"watchkeeper-{at:%Y-%m-%dT%H%M%S}{SUFFIX}")).absolute()
    store = Store(settings.database_url)
    try:
        migrate.require_current(store)
        with tempfile.TemporaryDirectory(prefix="watchkeeper-backup-") as scratch, written(target) as archive:
            taken = Path(scratch) / DATABASE
            copying.take(store, taken)
            archive.add(taken, DATABASE)
            told = _counted(taken)
            mlflow = local_file(settings.mlflow_uri)
            if mlflow is not None and mlflow.is_file():
                copying.copy_sqlite(mlflow, Path(scratch) / MLFLOW)
                archive.add(Path(scratch) / MLFLOW, MLFLOW)
            log = _local_folder(settings.log_uri)
            _add_tree(archive, settings, but=[*_files_of(settings), *([log] if log else [])])
            if log is not None and log.is_dir():
                _add_log(archive, settings.home, log)
            elsewhere = list(_elsewhere(settings))
            archive.close(
                {
                    "program": version("watchkeeper"),
                    "taken_at": at.isoformat(),
                    "home": str(settings.home),
                    "mlflow": _inside(settings.home, mlflow),
                    "not_in_it": elsewhere,
                    **told,
                }
            )
            count = len(archive.files)
    finally:
        store.close()
    return {"file": target, "taken_at": at, "bytes": target.stat().st_size, "files": count, **told,
            "not_in_it": elsewhere}  # fmt: skip


def _counted(taken: Path) -> dict[str, Any]:
    """What the copy holds, and whether its audit is whole."""
    copy = Store(f"sqlite:///{taken}")
    try:
        with copy.read() as session:
            counts = {
                name: session.scalar(select(func.count()).select_from(table)) or 0
                for name, table in {"models": Model, "incidents": Incident, "proposals": Proposal}.items()
            }
            waiting = session.scalar(select(func.count()).select_from(Delivery).where(Delivery.state == "waiting"))
            found = audit.verify(session)
    finally:
        copy.close()
    chain = {"whole": found.whole, "events": found.events, "hash": found.hash}
    return {"revision": migrate.revisions(copy)[0], **counts, "messages_waiting": waiting or 0, "audit": chain}


def _add_tree(archive: Writer, settings: Settings, but: list[Path]) -> None:
    """The workspace's own files: settings, specs, policy, runbooks, trainers, models' files, the server's journal."""
    for path in _tree(settings.home):
        name = path.relative_to(settings.home).as_posix()
        if any(path == one or one in path.parents for one in but) or name.startswith(LEFT):
            continue
        if name.endswith((SUFFIX, ".part", ".lock", ".pyc")) or "__pycache__" in path.parts:
            continue
        try:
            archive.add(path, HOME + name)
        except FileNotFoundError:  # it was moved on meanwhile: a segment of a journal that is logged by now
            continue


def _add_log(archive: Writer, home: Path, log: Path) -> None:
    """The prediction log: of each table its list of versions first, then the files that these name."""
    found = [path for path in _tree(log) if path.name != "_last_checkpoint"]
    for path in sorted(found, key=lambda path: ("_delta_log" not in path.parts, path)):
        if path.suffix == ".lock":
            continue
        try:
            archive.add(path, HOME + path.relative_to(home).as_posix())
        except FileNotFoundError:
            raise Unavailable(f"{path} was taken away while the log was copied; take the backup again.") from None


def _tree(folder: Path) -> Iterator[Path]:
    """Regular files below a folder. What a link points to is somebody else's."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not any(one.is_symlink() for one in path.parents):
            yield path


def _files_of(settings: Settings) -> list[Path]:
    """The databases' own files, which are copied as databases."""
    known = [local_file(settings.database_url), local_file(settings.mlflow_uri)]
    return [Path(f"{path}{end}") for path in known if path is not None for end in ("", "-wal", "-shm", "-journal")]


def _elsewhere(settings: Settings) -> Iterator[str]:
    """What the backup cannot hold, because it is kept elsewhere."""
    mlflow, log = local_file(settings.mlflow_uri), _local_folder(settings.log_uri)
    if mlflow is None or _inside(settings.home, mlflow) is None:
        yield f"MLflow ({_shown(settings.mlflow_uri)}): versions of models, their files"
    if log is None or _inside(settings.home, log) is None:
        yield f"the prediction log ({_shown(settings.log_uri)})"


def local_file(uri: str) -> Path | None:
    """The file of a SQLite address; None for anything else."""
    if uri.partition(":")[0].partition("+")[0] != "sqlite":
        return None
    name = make_url(uri).database
    return Path(name).resolve() if name and name != ":memory:" else None


def _local_folder(uri: str) -> Path | None:
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else uri).resolve()


def _inside(home: Path, path: Path | None) -> str | None:
    return path.relative_to(home).as_posix() if path is not None and path.is_relative_to(home) else None


def _shown(uri: str) -> str:
    """An address without what opens it."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def moved(mlflow: Path, before: str, after: Path) -> None:
    """Tell MLflow's database that its files stand in another folder now."""
    pairs = [(Path(before).as_uri() + "/", after.as_uri() + "/"), (before.rstrip("/") + "/", f"{after}/")]
    with closing(sqlite3.connect(mlflow)) as here, here:
        tables = [name for (name,) in here.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_rest in here.execute(f'PRAGMA table_info("{table}")').fetchall():
                if not kind.upper().startswith(("VARCHAR", "TEXT")):
                    continue
                for old, new in pairs:
                    here.execute(
                        f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '  # noqa: S608 (MLflow's own names)
                        f'WHERE substr("{column}", 1, ?) = ?',
                        (new, len(old) + 1, len(old), old),
                    )


def render_backup(item: dict[str, Any]) -> None:
    megabytes = item["bytes"] / 1024**2
    console.print(
        f"[bold]{item['file']}[/]: {item['files']} files, {megabytes:.1f} MB, as of {item['taken_at']:%H:%M:%S} UTC."
    )
    console.print(
        f"{item['models']} models, {item['incidents']} incidents, {item['proposals']} proposals; the audit's "
        f"{item['audit']['events']} events are {'whole' if item['audit']['whole'] else '[red]BROKEN[/]'}."
    )
    for left in item["not_in_it"]:
        console.print(f"[yellow]Not in it[/]: {left}. Back that up where it is.")
    console.print(
        "It opens what the workspace opens (hashes of passwords, the signing key): keep it as safe.", style="dim"
    )
    console.print(f"  watchkeeper restore {item['file'].name} DIR    brings it back, in a new folder")
