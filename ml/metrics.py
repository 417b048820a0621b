"""Losses of a row, and the headline metrics with their intervals.

A *loss* is what diagnosis and the acceptance gate compare, row by row (Brier or 0/1 for classes, absolute or squared
error for numbers). A *metric* is what people read (ROC AUC, recall, MAE). Arrays are one-dimensional and of equal
length; rows whose label is missing are dropped by the caller (see `labelled`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import InvalidInput
from ml.results import Interval
from ml.spec import METRICS, ModelSpec, Task

Floats = npt.NDArray[np.float64]
LARGEST_DRAW = 10_000
"""Rows of one bootstrap draw; more only cost time."""


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a label and a prediction."""
    if "label" not in frame or "prediction" not in frame:
        return frame.iloc[0:0]
    return frame[frame["label"].notna() & frame["prediction"].notna()]


def as_class(values: pd.Series | Floats | Any) -> npt.NDArray[np.str_]:
    """Class names as comparable text: 1, 1.0, "1" and True are one class, as are 0, 0.0, "0" and False.

    >>> as_class(pd.Series([1.0, True, "yes"])).tolist()
    ['1', '1', 'yes']
    """

    def name(value: Any) -> str:
        if isinstance(value, (bool, np.bool_)):
            return str(int(value))
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return str(int(value))
        text = str(value)
        if text in ("True", "False"):
            return str(int(text == "True"))
        return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text

    series = pd.Series(values)
    codes, levels = pd.factorize(series, use_na_sentinel=True)
    names = np.array([name(level) for level in levels] + ["nan"], dtype=np.str_)
    return names[codes]


def positives(spec: ModelSpec, values: pd.Series) -> Floats:
    """1.0 where a value is the spec's positive class, else 0.0."""
    return np.asarray(as_class(values) == as_class([spec.positive])[0], np.float64)


def probability(spec: ModelSpec, frame: pd.DataFrame) -> Floats | None:
    """The score as a probability of the positive class, or None where the frame has none for every row."""
    if "score" not in frame or frame["score"].isna().any():
        return None
    score = frame["score"].to_numpy(np.float64)
    return score if len(score) == 0 or (score.min() >= 0 and score.max() <= 1) else None


def row_loss(spec: ModelSpec, frame: pd.DataFrame) -> Floats:
    """Loss of each row of a frame with `label`, `prediction` and, where the task has one, `score`.

    binary: Brier score where there are probabilities, else 0/1. multiclass: 0/1. regression: absolute error (squared
    for `rmse`), in the target's unit.
    """
    if spec.task is Task.REGRESSION:
        error = frame["label"].to_numpy(np.float64) - frame["prediction"].to_numpy(np.float64)
        return np.asarray(error**2 if spec.metric == "rmse" else np.abs(error), np.float64)
    if spec.task is Task.BINARY and (score := probability(spec, frame)) is not None:
        return (positives(spec, frame["label"]) - score) ** 2
    return np.asarray(as_class(frame["label"]) != as_class(frame["prediction"]), np.float64)


def roc_auc(truth: Floats, score: Floats) -> float:
    """Area under the ROC curve by ranks (ties count half); NaN where one class is missing.

    >>> roc_auc(np.array([0., 0., 1., 1.]), np.array([.1, .4, .35, .8]))
    0.75
    """
    n1 = truth.sum()
    n0 = len(truth) - n1
    if n1 == 0 or n0 == 0:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[truth == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def _auc_of_rows(truth: Floats, score: Floats) -> Callable[[npt.NDArray[np.int_]], float]:
    """`roc_auc` of any rows, the scores sorted once: what makes a bootstrap of 100,000 rows bearable."""
    levels, codes = np.unique(score, return_inverse=True)

    def compute(rows: npt.NDArray[np.int_]) -> float:
        drawn = codes[rows]
        positive = np.bincount(drawn, weights=truth[rows], minlength=len(levels))
        negative = np.bincount(drawn, minlength=len(levels)) - positive
        below = np.cumsum(negative) - negative / 2
        return _ratio(float((positive * below).sum()), float(positive.sum() * negative.sum()))

    return compute


def _ratio(top: float, bottom: float) -> float:
    return float(top / bottom) if bottom > 0 else float("nan")


def _macro_f1(label: npt.NDArray[np.str_], prediction: npt.NDArray[np.str_]) -> float:
    scores = []
    for level in np.unique(np.concatenate([label, prediction])):
        hit = float(((label == level) & (prediction == level)).sum())
        scores.append(2 * hit / float((label == level).sum() + (prediction == level).sum()))
    return float(np.mean(scores)) if scores else float("nan")


def metric(spec: ModelSpec, frame: pd.DataFrame, name: str | None = None) -> float:
    """A headline metric over the rows of a labelled frame; NaN where it is not defined (one class, no rows).

    Raises: InvalidInput for a metric that the task does not have.
    """
    name = name or spec.metric
    return _on_arrays(spec, frame, name)(np.arange(len(frame)))


def metric_interval(
    spec: ModelSpec,
    frame: pd.DataFrame,
    name: str | None = None,
    *,
    draws: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, Interval | None]:
    """The metric and its bootstrap interval (percentile, rows resampled; blocks of one entity where the spec has one).

    Beyond 10,000 rows, 10,000 are drawn and the spread is scaled by sqrt(drawn / rows): the metrics here converge at
    that rate (m-out-of-n bootstrap, Bickel, Götze and van Zwet 1997, Statistica Sinica 7).
    The interval is None with fewer than 10 rows or where the metric is undefined.
    """
    name = name or spec.metric
    compute = _on_arrays(spec, frame, name)
    n = len(frame)
    value = compute(np.arange(n))
    if n < 10 or not np.isfinite(value):
        return value, None
    rng = np.random.default_rng(seed)
    drawn = n
    if spec.entity and spec.entity in frame:
        codes = pd.factorize(frame[spec.entity])[0]
        groups = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
        values = [
            compute(np.concatenate([groups[g] for g in rng.integers(0, len(groups), len(groups))]))
            for _ in range(draws)
        ]
    else:
        drawn = min(n, LARGEST_DRAW)
        values = [compute(rng.integers(0, n, drawn)) for _ in range(draws)]
    tail = (1 - level) / 2
    finite = np.array(values)[np.isfinite(values)]
    if len(finite) < draws / 2:
        return value, None
    low, high = np.quantile(finite, [tail, 1 - tail])
    if drawn < n:
        shrink = np.sqrt(drawn / n)
        low, high = value + (low - finite.mean()) * shrink, value + (high - finite.mean()) * shrink
    return value, Interval(float(low), float(high), level)


def _on_arrays(spec: ModelSpec, frame: pd.DataFrame, name: str) -> Callable[[npt.NDArray[np.int_]], float]:
    """The metric as a function of row numbers, with columns decoded once."""
    if spec.task is Task.REGRESSION:
        error = frame["label"].to_numpy(np.float64) - frame["prediction"].to_numpy(np.float64)
        if name == "mae":
            return lambda rows: float(np.abs(error[rows]).mean()) if len(rows) else float("nan")
        if name == "rmse":
            return lambda rows: float(np.sqrt((error[rows] ** 2).mean())) if len(rows) else float("nan")
        raise InvalidInput(f"metric {name!r} does not exist for regression; use mae or rmse.")
    label, prediction = as_class(frame["label"]), as_class(frame["prediction"])
    if name == "accuracy":
        return lambda rows: float((label[rows] == prediction[rows]).mean()) if len(rows) else float("nan")
    if name == "macro_f1":
        return lambda rows: _macro_f1(label[rows], prediction[rows])
    if spec.task is not Task.BINARY:
        raise InvalidInput(f"metric {name!r} does not exist for {spec.task}; use macro_f1 or accuracy.")
    truth, guess = positives(spec, frame["label"]), positives(spec, frame["prediction"])
    if name == "recall":
        return lambda rows: _ratio((truth[rows] * guess[rows]).sum(), truth[rows].sum())
    if name == "precision":
        return lambda rows: _ratio((truth[rows] * guess[rows]).sum(), guess[rows].sum())
    if name == "f1":
        return lambda rows: _ratio(2 * (truth[rows] * guess[rows]).sum(), truth[rows].sum() + guess[rows].sum())
    score = probability(spec, frame)
    if name == "roc_auc":
        ranking = guess if score is None else score
        return _auc_of_rows(truth, ranking)
    if name in ("brier", "log_loss"):
        p = guess if score is None else score
        if name == "brier":
            return lambda rows: float(((truth[rows] - p[rows]) ** 2).mean()) if len(rows) else float("nan")
        p = np.clip(p, 1e-6, 1 - 1e-6)
        loss = -(truth * np.log(p) + (1 - truth) * np.log(1 - p))
        return lambda rows: float(loss[rows].mean()) if len(rows) else float("nan")
    raise InvalidInput(f"metric {name!r} does not exist for {spec.task}; use {', '.join(METRICS[spec.task])}.")
