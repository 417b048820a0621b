"""Asking models in a process of their own: what versions answer to some rows, and which features drive them.

The web server's own process loads no model: a file that does harm while it is read does it elsewhere, without the
database, and a question that takes too long is ended.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from agent.domain.errors import Conflict, Unavailable, WatchkeeperError
from ml.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

SECONDS = 60.0
STARTING = 90.0
WAITING = 10.0
"""Seconds that a question waits for another to be answered."""


@dataclass(frozen=True)
class Answered:
    """What one version says to one row. pushes: feature -> how much it moved the answer; `failed` says why there is
    nothing."""

    version: str
    prediction: str
    score: float | None
    pushes: Mapping[str, float]
    method: str = ""
    unit: str = ""
    failed: str = ""


@dataclass(frozen=True)
class Drivers:
    """The share of each feature in how far a version's answers move, on two samples of rows."""

    then: Mapping[str, float]
    now: Mapping[str, float]
    method: str


class ModelProcess:
    """One process, started when it is first needed; one question at a time."""

    def __init__(self, registry_uri: str, *, allow_pickle: bool = False, seconds: float = SECONDS) -> None:
        self._uri, self._allow_pickle, self._seconds = registry_uri, allow_pickle, seconds
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._line: Connection | None = None
        self._ready = False

    def answers(
        self, spec: ModelSpec, versions: Sequence[str], row: pd.DataFrame, background: pd.DataFrame | None = None
    ) -> list[Answered]:
        """What each version says to the one row. Raises: Conflict while busy, Unavailable when it is too slow."""
        found: list[Answered] = self._ask("answers", spec, tuple(versions), row, background)
        return found

    def drivers(self, spec: ModelSpec, version: str, then: pd.DataFrame, now: pd.DataFrame) -> Drivers:
        """Importance then and now. Raises: as `answers`; NotFound, DataError of the registry."""
        found: Drivers = self._ask("drivers", spec, version, then, now)
        return found

    def close(self) -> None:
        """End the process, and any question with it."""
        if self._process is not None:
            self._process.kill()
            self._process.join(5)
        if self._line is not None:
            self._line.close()
        self._process = self._line = None

    def _ask(self, kind: str, *question: Any) -> Any:
        if not self._lock.acquire(timeout=WAITING):
            raise Conflict("Models are being asked by somebody else; ask again in a few seconds.")
        try:
            line = self._begun()
            if not self._ready:
                if not line.poll(STARTING):
                    raise Unavailable("The process that asks models is starting; ask again in a few seconds.")
                self._ready = bool(line.recv())
            line.send((kind, question))
            if not line.poll(self._seconds):
                self.close()
                raise Unavailable(f"The model took longer than {self._seconds:g} s and was ended.")
            answer = line.recv()
        except (EOFError, OSError):
            self.close()
            raise Unavailable("The process that asks models ended before it answered; ask again.") from None
        finally:
            self._lock.release()
        if isinstance(answer, WatchkeeperError):
            raise answer
        return answer

    def _begun(self) -> Connection:
        if self._line is None or self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._line, theirs = context.Pipe()
            arguments = (theirs, self._uri, self._allow_pickle)
            self._process = context.Process(target=serve, args=arguments, name="models", daemon=True)
            self._process.start()
            self._ready = False
            theirs.close()
        return self._line


# -- in the process -------------------------------------------------------------------------------------------------


def serve(line: Connection, uri: str, allow_pickle: bool) -> None:
    """Answer questions until the other end is gone."""
    from ml.models import explain  # noqa: F401 (what takes long to import, before the first question)
    from ml.models.registry import Registry

    registry = Registry(uri, allow_pickle=allow_pickle)
    work = {"answers": _answers, "drivers": _drivers}
    try:
        line.send(True)
        while True:
            kind, question = line.recv()
            try:
                line.send(work[kind](registry, *question))
            except WatchkeeperError as error:
                line.send(error)
            except Exception as error:  # noqa: BLE001 (a model of others may raise anything)
                line.send(Unavailable(f"The model failed: {type(error).__name__}: {str(error)[:200]}"))
    except (EOFError, OSError, KeyboardInterrupt):
        return


def _answers(
    registry: Any, spec: ModelSpec, versions: Sequence[str], row: pd.DataFrame, background: pd.DataFrame | None
) -> list[Answered]:
    from ml.models import explain

    found = []
    for version in versions:
        try:
            model = registry.load(spec.name, version, spec)
            said = model.predict(row).iloc[0]
            pushes = explain.contributions(spec, model, row, background=background).iloc[0].to_dict()
        except WatchkeeperError as error:
            found.append(Answered(version, "", None, {}, failed=str(error)))
            continue
        score = float(said["score"])
        found.append(
            Answered(
                version,
                str(said["prediction"]),
                None if score != score else score,
                {str(name): float(value) for name, value in pushes.items()},
                *explain.method(spec, model),
            )
        )
    return found


def _drivers(registry: Any, spec: ModelSpec, version: str, then: pd.DataFrame, now: pd.DataFrame) -> Drivers:
    from ml.models import explain

    model = registry.load(spec.name, version, spec)
    before, after = (explain.importance(spec, model, frame) if len(frame) else {} for frame in (then, now))
    return Drivers(before, after, explain.method(spec, model)[0])
