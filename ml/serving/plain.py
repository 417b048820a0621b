"""Engines and a journal of the simplest kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ml.models.recipes import FittedModel
from ml.models.registry import Registry
from ml.serving.rows import Answers, Engine, Rows
from ml.spec import ModelSpec


class NativeEngine:
    kind = "native"
    nbytes = 4_000_000

    def __init__(self, model: str, fitted: FittedModel) -> None:
        self.model, self.version, self._fitted = model, fitted.version, fitted

    def answer(self, rows: Rows) -> Answers:
        frame = self._fitted.predict(rows.frame())
        scores = [None if score != score else score for score in frame["score"].tolist()]
        return Answers(frame["prediction"].tolist(), scores)


class PlainEngines:
    def __init__(self, registry: Registry, specs: Callable[[], Mapping[str, ModelSpec]]) -> None:
        self.registry, self.specs = registry, specs
        self.held: dict[tuple[str, str], Engine] = {}
        self.lock = threading.Lock()

    def get(self, model: str, version: str) -> Engine:
        with self.lock:
            if (model, version) not in self.held:
                fitted = self.registry.load(model, version, self.specs()[model])
                self.held[model, version] = NativeEngine(model, fitted)
            return self.held[model, version]

    def ready(self, model: str, version: str) -> Engine | None:
        return self.held.get((model, version))


class NoJournal:
    def record(self, *args: Any) -> None: ...
