"""A registered version -> a folder that any process opens in milliseconds, made in a process of its own.

Reading a model file, converting it and checking the result takes a second or two, much memory, and code that a bad
file can crash. None of that shall happen where requests are answered.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache, cached_property
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from ml.errors import DataError
from ml.serving.priority import stand_back

if TYPE_CHECKING:
    from ml.serving.rows import Engine
    from ml.spec import ModelSpec

IDLE = 60.0
"""Seconds after which the process is let go, with its memory; the next version starts another."""
MODEL, VERSION_FILE = "model", "version.json"


@dataclass(frozen=True)
class Job:
    """What is to be prepared. origin: what tells this version from another of the same number, in another registry or
    in one that was restored and went on from there."""

    registry_uri: str
    allow_pickle: bool
    spec: ModelSpec
    version: str
    origin: str

    @cached_property
    def folder(self) -> str:
        """Where it goes, under the root: another spec, origin or release never finds files that are not its own."""
        fed = {name: str(feature.type) for name, feature in self.spec.features.items()}
        parts = [
            self.origin,
            str(self.allow_pickle),
            str(self.spec.task),
            str(self.spec.positive),
            json.dumps(fed),
            _release(),
        ]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
        return f"{self.spec.name}/{self.version}-{digest}"


class Preparer:
    """Prepares one version after another. Used by one thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pool: ProcessPoolExecutor | None = None
        self._used = 0.0
        self._known: set[str] = set()

    def tidy(self) -> None:
        """Delete what preparations left behind that were killed long ago."""
        for part in self.root.glob("*/.part-*"):
            if time.time() - part.stat().st_mtime > 3600:
                shutil.rmtree(part, ignore_errors=True)

    def is_prepared(self, folder: str) -> bool:
        """Whether a version is ready; what was once is taken to be until it is discarded."""
        if folder not in self._known and (self.root / folder / VERSION_FILE).is_file():
            self._known.add(folder)
        return folder in self._known

    def discard(self, folder: str) -> None:
        """Forget a folder that cannot be opened; it is made again when it is wanted."""
        self._known.discard(folder)
        (self.root / folder / VERSION_FILE).unlink(missing_ok=True)

    def start(self, job: Job) -> Future[None]:
        """Begin; the future raises a WatchkeeperError when the version cannot be prepared."""
        self._used = time.monotonic()
        if self._pool is None:
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin)
        try:
            return self._pool.submit(prepare_version, job, self.root)
        except BrokenProcessPool:  # a file crashed it; that file's own future said so
            self.close()
            return self.start(job)

    def rest(self) -> None:
        """Let the process go when it was not needed for a while."""
        if self._pool is not None and time.monotonic() - self._used > IDLE:
            self.close()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _begin() -> None:
    stand_back()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's process holds both ends of its own queue: it would wait for work forever after the server was killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _release() -> str:
    from importlib.metadata import version

    from ml.serving.engines import prepare

    return f"{prepare.FORMAT}/{version('watchkeeper')}/{version('xgboost')}/{version('onnxruntime')}"


def prepare_version(job: Job, root: Path) -> None:
    """Fetch, convert, check, and put in place as a whole. Raises: WatchkeeperError."""
    from ml.models.registry import Registry, load_directory
    from ml.serving.engines.prepare import prepare

    target = root / job.folder
    if (target / VERSION_FILE).is_file():
        return
    registry = Registry(job.registry_uri, allow_pickle=job.allow_pickle)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as part:
        folder = Path(part) / "made"
        source = registry.fetch(job.spec.name, job.version, Path(part) / "fetched")
        fitted = load_directory(source, job.spec, allow_pickle=job.allow_pickle).with_version(job.version)
        reference = registry.reference(job.spec.name, job.version)
        kinds = {name: str(feature.type) for name, feature in job.spec.features.items()}
        made = prepare(job.spec.name, fitted, kinds, folder, reference=reference)
        if made.kind == "native":
            shutil.copytree(source, folder / MODEL)
        about = {"model": job.spec.name, "version": job.version, "kind": made.kind, "notes": list(made.notes)}
        (folder / VERSION_FILE).write_text(json.dumps(about), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)


def open_version(folder: Path, spec: ModelSpec, version: str, *, allow_pickle: bool) -> Engine:
    """The engine in a prepared folder. Raises: WatchkeeperError when the folder is broken."""
    from ml.serving.engines.prepare import open_prepared

    _, engine = open_prepared(folder)
    if engine is not None:
        return engine
    from ml.models.registry import load_directory
    from ml.serving.engines.native import NativeEngine

    if not (folder / MODEL).is_dir():
        raise DataError(f"{folder}: the model's own files are missing; delete the folder.")
    fitted = load_directory(folder / MODEL, spec, allow_pickle=allow_pickle).with_version(version)
    return NativeEngine(spec.name, fitted)


def notes_of(folder: Path) -> list[str]:
    """What preparing found worth telling: a slower engine, and why."""
    try:
        return [str(note) for note in json.loads((folder / VERSION_FILE).read_text(encoding="utf-8"))["notes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
