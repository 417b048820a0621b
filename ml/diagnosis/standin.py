"""A stand-in for a model that is not at hand, learnt from the answers it gave.

What a version answered on healthy rows says how it answers: a regression of its logged scores (or values) on its
inputs replays it, not to the digit, but well enough to ask what it would have said to repaired rows, or to rows that
another version answered. What the imitation gets wrong counts against it, in the same loss as everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.metrics import Floats, as_class, positives, probability
from ml.models.predictor import Predictor
from ml.spec import ModelSpec, Task, Training

MIN_ROWS = 200
MOST_ROWS = 6000
MOST_CELLS = 1_000_000
"""Rows times features that are learnt from: a thousand columns are learnt from a thousand rows."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """A `Predictor` that imitates version `version`. threshold: the score from which it answers the positive class."""

    inner: Predictor
    version: str
    scored: bool
    positive: object = 1
    negative: object = 0
    threshold: float = 0.5

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        out = self.inner.predict(frame)
        if not self.scored:
            return out
        score = np.clip(out["prediction"].to_numpy(np.float64), 0.0, 1.0)
        yes = score >= self.threshold
        prediction = np.where(yes, np.array(self.positive, dtype=object), np.array(self.negative, dtype=object))
        return pd.DataFrame({"prediction": prediction, "score": score}, index=frame.index)


def learn(spec: ModelSpec, rows: pd.DataFrame, version: str, seed: int) -> StandIn | None:
    """Imitate the version that answered `rows` (the spec's features, `prediction`, `score`); None below 200 of them.

    Raises: DataError or SpecError where nothing can be learnt from the rows.
    """
    rows = rows[rows["prediction"].notna()].tail(max(min(MOST_ROWS, MOST_CELLS // len(spec.used_features)), MIN_ROWS))
    if len(rows) < MIN_ROWS:
        return None
    from ml.models import recipes

    plain = {"trainer": "xgboost", "training": Training()}
    if spec.task is Task.REGRESSION:
        model = recipes.fit(spec.model_copy(update=plain), rows.assign(label=rows["prediction"]), seed=seed)
        return StandIn(model, version, False)
    score = probability(spec, rows) if spec.task is Task.BINARY else None
    if score is None:
        model = recipes.fit(spec.model_copy(update=plain), rows.assign(label=rows["prediction"]), seed=seed)
        return StandIn(model, version, False)
    numbers = spec.model_copy(update={**plain, "task": Task.REGRESSION, "metric": "mae"})
    model = recipes.fit(numbers, rows.assign(label=score), seed=seed)
    yes = positives(spec, rows["prediction"]) == 1
    names = as_class(rows["prediction"])
    other = names[~yes][0] if (~yes).any() else "0"
    return StandIn(model, version, True, str(as_class([spec.positive])[0]), str(other), _threshold(score, yes))


def _threshold(score: Floats, yes: npt.NDArray[np.bool_]) -> float:
    """Midway between the lowest score answered with yes and the highest answered with no; 0.5 where they do not say."""
    if not yes.any() or yes.all():
        return 0.5
    low, high = float(score[yes].min()), float(score[~yes].max())
    return (low + high) / 2 if low >= high else 0.5
