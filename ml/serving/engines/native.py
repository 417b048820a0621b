"""The engine that is always right: the fitted model itself, fed a table. Slow: a millisecond and more for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.serving.rows import Answers, Rows

if TYPE_CHECKING:
    import pandas as pd

    from ml.models.recipes import FittedModel

TYPICAL_BYTES = 4_000_000


class NativeEngine:
    """A `FittedModel` that answers rows. Its memory is not known: `nbytes` is what the caller says."""

    kind = "native"

    def __init__(self, model: str, fitted: FittedModel, *, nbytes: int = TYPICAL_BYTES) -> None:
        self.model = model
        self.version = fitted.version
        self.nbytes = nbytes
        self._fitted = fitted

    def answer(self, rows: Rows) -> Answers:
        return answers_of(self._fitted.predict(rows.frame()))


def answers_of(frame: pd.DataFrame) -> Answers:
    """The columns `prediction` and `score` as plain values; a score that is NaN is None."""
    scores: list[float | None] = [None if score != score else score for score in frame["score"].tolist()]
    predictions: list[Any] = frame["prediction"].tolist()
    return Answers(predictions, scores)
