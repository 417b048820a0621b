"""Answers to rows that were asked before, for a while: an engine around an engine.

Only for models whose spec asks for it: an answer from here is as right as the model's own, as a version never changes,
but memory is spent on it. What is found here is logged like any other answer.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ml.serving.rows import Answers, Engine, Rows

BYTES_A_ROW = 600
"""About what a remembered row of twenty values takes."""

Key = tuple[Any, ...]


class CachingEngine:
    """Asks `engine` only for rows that it has not answered within `lifetime`; the longest unused of `size` go first.

    looked: told how many rows were found and how many were not, for each request.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        size: int,
        lifetime: timedelta,
        looked: Callable[[str, int, int], None] = lambda model, found, missed: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._size, self._seconds = engine, size, lifetime.total_seconds()
        self._looked, self._clock = looked, clock
        self._kept: OrderedDict[Key, tuple[float, Any, float | None]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        return self._engine.model

    @property
    def version(self) -> str:
        return self._engine.version

    @property
    def kind(self) -> str:
        return self._engine.kind

    @property
    def nbytes(self) -> int:
        return self._engine.nbytes + BYTES_A_ROW * self._size

    def answer(self, rows: Rows) -> Answers:
        """As the engine's own. Raises: what the engine raises; then nothing of the request is remembered."""
        if len(rows) > self._size:
            return self._engine.answer(rows)
        keys = [tuple(map(_same, row)) for row in zip(*rows.columns.values(), strict=True)]
        now = self._clock()
        found = self._look(keys, now)
        missing = [place for place, answer in enumerate(found) if answer is None]
        self._looked(self.model, len(keys) - len(missing), len(missing))
        if missing:
            asked = rows if len(missing) == len(keys) else rows.take(missing)
            made = self._engine.answer(asked)
            for place, prediction, score in zip(missing, made.predictions, made.scores, strict=True):
                found[place] = (now + self._seconds, prediction, score)
            self._keep(keys, found, missing)
        return Answers([answer[1] for answer in found if answer], [answer[2] for answer in found if answer])

    def _look(self, keys: list[Key], now: float) -> list[tuple[float, Any, float | None] | None]:
        found: list[tuple[float, Any, float | None] | None] = []
        with self._lock:
            for key in keys:
                answer = self._kept.get(key)
                if answer is not None and answer[0] <= now:
                    del self._kept[key]
                    answer = None
                elif answer is not None:
                    self._kept.move_to_end(key)
                found.append(answer)
        return found

    def _keep(self, keys: list[Key], found: list[tuple[float, Any, float | None] | None], places: list[int]) -> None:
        with self._lock:
            for place in places:
                answer = found[place]
                if answer is not None:
                    self._kept[keys[place]] = answer
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


def _same(value: Any) -> Any:
    """A value as part of a key: 1, 1.0 and True are different, and one NaN is like another."""
    if value != value:  # NaN alone is not itself
        return ("nan",)
    return value if isinstance(value, str) else (type(value).__name__, value)
