"""A deployment that looks bad before any label is there: predictions step with it, and the version before disagrees.

Any two versions disagree somewhat, and inputs move predictions too. So both are held against what is ordinary: windows
of healthy rows in their own order for the step, a version fitted anew on healthy rows for the disagreement, each at its
99th percentile. What is left is worth waking somebody for, and worth no certainty: a better version differs as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.diagnosis.density import distance
from ml.metrics import Floats, as_class, probability
from ml.models.predictor import Predictor
from ml.spec import FeatureType, ModelSpec, Task

MIN_SIDE, MIN_WINDOWS = 50, 5
QUANTILE, MARGIN = 0.99, 1.5
LEAST_STEP = 0.15

Answers = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Emergency:
    """step: distance of the predictions since the deployment from those before it, and from what the version before
    answers to the same rows, the lesser (Kolmogorov-Smirnov; total variation for classes); `usual_step` what healthy
    windows reach. disagreement: mean difference from the version before, row by row, in standard deviations of healthy
    predictions (share of rows for classes); `usual` what an ordinary new version reaches. n: rows since the deployment.
    replayed: False where the version before was not at hand and was learnt from its logged answers."""

    step: float
    usual_step: float
    disagreement: float
    usual: float
    n: int
    replayed: bool

    @property
    def grave(self) -> bool:
        return self.step > self.usual_step and self.disagreement > self.usual

    @property
    def text(self) -> str:
        whose = "the version before" if self.replayed else "what the version before answered to such rows"
        return (
            f"no labels since the deployment: predictions stepped by {self.step:.2f} (up to {self.usual_step:.2f} is "
            f"usual) and differ from {whose} by {self.disagreement:.2f} a row (up to {self.usual:.2f})"
        )


def look(
    spec: ModelSpec,
    healthy: pd.DataFrame,
    before: pd.DataFrame,
    after: pd.DataFrame,
    previous: Predictor | None,
    refit: Callable[[pd.DataFrame], Predictor],
) -> Emergency | str:
    """Judge the rows `after` a deployment; a sentence where that cannot be done.

    previous: the version before; without it, its logged answers (`before`, and the healthy rows) stand in.
    refit: fits an ordinary new version. Raises: DataError or SpecError where it cannot.
    """
    past, before, after = (f[f["prediction"].notna()] for f in (healthy, before, after))
    first, later = past.iloc[: len(past) // 2], past.iloc[len(past) // 2 :]
    size = min(len(after), len(later) // MIN_WINDOWS)
    if size < MIN_SIDE:
        need = f"{MIN_SIDE} and {2 * MIN_SIDE * MIN_WINDOWS} are needed"
        return f"{len(after)} rows since the deployment and {len(past)} healthy ones; {need}"
    scale = _Scale(spec, past, after)
    answers = previous.predict if previous is not None else _learnt(spec, pd.concat([first, before]), scale.scored)
    earlier = scale.numbers(before if len(before) >= MIN_SIDE else past.tail(max(len(after), MIN_SIDE)))
    new, old = scale.numbers(after), scale.numbers(answers(after))
    step = min(scale.apart(new, earlier), scale.apart(new, old))
    windows = [np.arange(k, k + size) for k in range(0, len(later) - size + 1, size)]
    usual, again = scale.numbers(later), scale.numbers(answers(later))
    steps = [scale.apart(usual[a], usual[b]) for a, b in pairwise(windows)]
    other = scale.numbers(refit(first).predict(later))
    ordinary = [
        max(float(scale.differ(other[w], again[w]).mean()), float(scale.differ(usual[w], again[w]).mean()))
        for w in windows
    ]
    noise = 1.95 * np.sqrt(1 / len(new) + 1 / len(earlier))  # of one distribution, passed once in a thousand
    return Emergency(
        step,
        max(float(np.quantile(steps, QUANTILE)), float(noise), LEAST_STEP),
        float(scale.differ(new, old).mean()),
        MARGIN * float(np.quantile(ordinary, QUANTILE)),
        len(after),
        previous is not None,
    )


class _Scale:
    """Answers as numbers that can be compared: scores, values, or class numbers."""

    def __init__(self, spec: ModelSpec, past: pd.DataFrame, after: pd.DataFrame) -> None:
        self.value = "prediction" if spec.task is Task.REGRESSION else "score"
        self.scored = spec.task is Task.REGRESSION or (
            spec.task is Task.BINARY and probability(spec, past) is not None and probability(spec, after) is not None
        )
        self.classes = pd.Index(np.unique(as_class(past["prediction"])))
        self.spread = max(float(self.numbers(past).std()), 1e-9) if self.scored else 1.0

    def numbers(self, answers: pd.DataFrame) -> Floats:
        if self.scored:
            return answers[self.value].to_numpy(np.float64)
        return self.classes.get_indexer(pd.Index(as_class(answers["prediction"]))).astype(np.float64)

    def apart(self, a: Floats, b: Floats) -> float:
        if self.scored:
            return distance(a, b)
        levels = np.union1d(a, b)
        return float(sum(abs(float((a == v).mean()) - float((b == v).mean())) for v in levels) / 2)

    def differ(self, a: Floats, b: Floats) -> Floats:
        gap: npt.NDArray[np.float64] = np.abs(a - b) / self.spread if self.scored else (a != b).astype(np.float64)
        return gap


def _learnt(spec: ModelSpec, rows: pd.DataFrame, scored: bool) -> Answers:
    """What a version answers, learnt from its logged answers."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    names = [f for f in spec.used_features if spec.features[f].type is not FeatureType.TEXT]
    levels = {f: pd.Index(rows[f].dropna().astype(str).unique()) for f in names}

    def matrix(frame: pd.DataFrame) -> Floats:
        columns = []
        for name in names:
            if spec.features[name].type is FeatureType.NUMERIC:
                columns.append(frame[name].to_numpy(np.float64))
            elif spec.features[name].type is FeatureType.DATETIME:
                columns.append((frame["timestamp"] - frame[name]).dt.total_seconds().to_numpy(np.float64))
            else:
                columns.append(levels[name].get_indexer(pd.Index(frame[name].astype(str))).astype(np.float64))
        return np.column_stack(columns) if columns else np.zeros((len(frame), 1))

    kind = HistGradientBoostingRegressor if scored else HistGradientBoostingClassifier
    value = "prediction" if spec.task is Task.REGRESSION else "score"
    truth = rows[value].to_numpy(np.float64) if scored else as_class(rows["prediction"])
    model = kind(max_iter=150, random_state=0, early_stopping=False).fit(matrix(rows), truth)
    return lambda frame: pd.DataFrame(
        {value if scored else "prediction": model.predict(matrix(frame))}, index=frame.index
    )
