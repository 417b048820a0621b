"""Why a model answered what it did, row by row, on request and within a time limit.

The values are those of `ml.models.explain`, so the server says what a report says. They are computed in a process of
their own: it may import what it likes, and when it takes too long it is ended, while answers go on.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ml.errors import Unavailable, WatchkeeperError
from ml.serving.problems import Refused
from ml.spec import ModelSpec

log = logging.getLogger(__name__)
MOST_ROWS = 100
SECONDS = 15.0
STARTING = 20.0
"""Seconds that the first question waits for the process to be there."""


@dataclass(frozen=True)
class Question:
    """Rows (columns of plain values, `count` of them) for a version of a model."""

    registry_uri: str
    allow_pickle: bool
    spec: ModelSpec
    version: str
    columns: Mapping[str, Sequence[Any]]
    count: int


@dataclass(frozen=True)
class Explained:
    """contributions: feature -> how much it pushed the answer, for each row. method, unit: see `explain.method`."""

    contributions: list[dict[str, float]]
    method: str
    unit: str


class Explainer:
    """Asks one process, which is started when it is first needed; questions wait for each other."""

    def __init__(self, registry_uri: str, *, allow_pickle: bool = False, seconds: float = SECONDS) -> None:
        self._registry_uri, self._allow_pickle, self._seconds = registry_uri, allow_pickle, seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._line: Connection | None = None
        self._ready = self._closed = False

    async def explain(
        self, spec: ModelSpec, version: str, columns: Mapping[str, Sequence[Any]], count: int
    ) -> Explained:
        """What moved the answers of a version to `count` checked rows.

        Raises: Refused (413 for many rows, 504 when it is too slow); Unavailable where the registry is out of reach;
        NotFound; DataError.
        """
        if count > MOST_ROWS:
            said = f"{count:,} rows are more than the {MOST_ROWS} that are explained at once."
            raise Refused(413, "too many rows", said)
        question = Question(self._registry_uri, self._allow_pickle, spec, version, columns, count)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, question)

    def close(self) -> None:
        """End the process, and any question with it."""
        self._closed = True
        self._end()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _ask(self, question: Question) -> Explained:
        try:
            line = self._begun()
            if not self._ready:
                if not line.poll(STARTING):
                    raise Unavailable("The process that explains is starting; ask again in a few seconds.")
                self._ready = bool(line.recv())
            line.send(question)
            if not line.poll(self._seconds):
                self._end()
                raise Refused(
                    504,
                    "too slow",
                    f"Explaining took longer than {self._seconds:g} s and was ended; explain fewer rows.",
                )
            answer = line.recv()
        except (EOFError, OSError):
            self._end()
            raise Unavailable("The process that explains ended before it answered; ask again.") from None
        if isinstance(answer, WatchkeeperError):
            raise answer
        found: Explained = answer
        return found

    def _begun(self) -> Connection:
        with self._lock:
            if self._closed:
                raise Unavailable("The server is ending.")
            if self._line is None or self._process is None or not self._process.is_alive():
                context = multiprocessing.get_context("spawn")
                self._line, theirs = context.Pipe()
                self._process = context.Process(target=answer, args=(theirs,), name="explainer", daemon=True)
                self._process.start()
                self._ready = False
                theirs.close()
            return self._line

    def _end(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.join()
            if self._line is not None:
                self._line.close()
            self._process = self._line = None


def answer(line: Connection) -> None:
    """The process: question by question, until nobody asks any more."""
    import signal

    import ml.models.explain
    import ml.models.registry  # noqa: F401 (now, not within the time of the first question)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line.send(True)
    while True:
        try:
            question: Question = line.recv()
        except (EOFError, OSError):
            return
        try:
            line.send(explained(question))
        except WatchkeeperError as error:
            line.send(type(error)(str(error)))
        except Exception as error:  # the edge to model files
            log.exception("explaining version %s of %s broke", question.version, question.spec.name)
            line.send(Unavailable(f"Explaining broke ({type(error).__name__}); the server's log says more."))


def explained(question: Question) -> Explained:
    """What each feature contributed to each answer. Raises: WatchkeeperError."""
    import pandas as pd

    from ml.models import explain

    spec = question.spec.model_dump_json()
    model, background = _model(question.registry_uri, question.allow_pickle, spec, question.version)
    frame = pd.DataFrame({name: list(values) for name, values in question.columns.items()}, index=range(question.count))
    found = explain.contributions(question.spec, model, frame, background=background)
    rows = [{str(name): float(value) for name, value in row.items()} for row in found.to_dict("records")]
    return Explained(rows, *explain.method(question.spec, model))


@lru_cache(maxsize=8)
def _model(registry_uri: str, allow_pickle: bool, written: str, version: str) -> tuple[Any, Any]:
    """The fitted model and rows to compare with; a version never changes."""
    from ml.models.registry import Registry

    spec = ModelSpec.model_validate_json(written)
    registry = Registry(registry_uri, allow_pickle=allow_pickle)
    return registry.load(spec.name, version, spec), registry.reference(spec.name, version)
