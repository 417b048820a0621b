"""The drain in a process of its own, beside the workers: what turns rows into tables neither takes their memory nor
makes their answers wait."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from ml.serving.journal import replace
from ml.serving.priority import stand_back
from ml.spec import ModelSpec

SPECS = "specs"
SOONEST = 3.0  # seconds between two starts
PACE = 10.0  # seconds between two commits under steady load
logger = logging.getLogger(__name__)


def keep_spec(root: Path, spec: ModelSpec) -> None:
    """Put a model's spec where the drain finds it, before the first record of the model and whenever it changes: what
    waits in a journal can then be drained by whoever comes. Raises: OSError."""
    folder = root / SPECS
    folder.mkdir(parents=True, exist_ok=True)
    path, text = folder / f"{spec.name}.json", spec.model_dump_json()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        replace(path, text)


def kept_specs(root: Path) -> Callable[[str], ModelSpec | None]:
    """Gives the spec that was kept last, None for a model that has none."""
    seen: dict[str, tuple[str, ModelSpec]] = {}

    def of(model: str) -> ModelSpec | None:
        try:
            text = (root / SPECS / f"{model}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        if model not in seen or seen[model][0] != text:
            seen[model] = text, ModelSpec.model_validate_json(text)
        return seen[model][1]

    return of


class DrainProcess:
    """Keeps one drain of a root going. Several may be started on one root: one drains, the others stand by."""

    def __init__(
        self, root: Path, log_uri: str, storage_options: Mapping[str, str] | None = None, *, pace: float = PACE
    ) -> None:
        self._arguments = (root, log_uri, dict(storage_options) if storage_options else None, pace)
        self._process: BaseProcess | None = None
        self._started = 0.0

    def ensure(self) -> None:
        """Start it if it does not run; to be called now and then."""
        if self._process is not None and (self._process.is_alive() or time.monotonic() - self._started < SOONEST):
            return
        if self._process is not None:
            logger.warning("the drain ended (exit code %s) and is started again", self._process.exitcode)
        self._started = time.monotonic()
        context = multiprocessing.get_context("spawn")  # not fork: it would inherit the locks of the journal
        self._process = context.Process(target=drain_until_told, args=(*self._arguments, os.getpid()), name="drain")
        self._process.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Let it drain what is there, and end; what cannot be drained stays in the journal for the next start."""
        if self._process is None:
            return
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(timeout)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process = None


def drain_until_told(
    root: Path, log_uri: str, storage_options: Mapping[str, str] | None, pace: float, parent: int
) -> None:
    """Drain a root until SIGTERM, or until the process that started this one is gone."""
    stand_back()
    from ml.data.prediction_log import PredictionLog
    from ml.serving.drain import Drain

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the server decides when this ends
    watch = threading.Thread(target=_watch, args=(parent, stop), daemon=True)
    watch.start()
    drain = Drain(root, PredictionLog(log_uri, storage_options), kept_specs(root), every=min(1.0, pace), pace=pace)
    drain.run(stop)


def _watch(parent: int, stop: threading.Event) -> None:
    while not stop.wait(1.0):
        if os.getppid() != parent:
            stop.set()
