"""Losses of a row, and the headline metrics with their intervals.

A *loss* is what diagnosis and the acceptance gate compare, row by row (Brier or 0/1 for classes, absolute or squared
error for numbers). A *metric* is what people read (ROC AUC, recall, MAE). Arrays are one-dimensional and of equal
length; rows whose label is missing are dropped by the caller (see `labelled`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml import intervals
from ml.errors import InvalidInput
from ml.results import Interval
from ml.spec import METRICS, ModelSpec, Task

Floats = npt.NDArray[np.float64]
MIN_ROWS = 10
"""Fewer rows than this have no interval."""


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
    if spec.task is Task.REGRESSION:
        error = frame["label"].to_numpy(np.float64) - frame["prediction"].to_numpy(np.float64)
        if name not in ("mae", "rmse"):
            raise InvalidInput(f"metric {name!r} does not exist for regression; use mae or rmse.")
        return _mean(np.abs(error)) if name == "mae" else float(np.sqrt(_mean(error**2)))
    label, prediction = as_class(frame["label"]), as_class(frame["prediction"])
    if name == "accuracy":
        return _mean((label == prediction).astype(np.float64))
    if name == "macro_f1":
        return _macro_f1(label, prediction)
    if spec.task is not Task.BINARY:
        raise InvalidInput(f"metric {name!r} does not exist for {spec.task}; use macro_f1 or accuracy.")
    truth, guess = positives(spec, frame["label"]), positives(spec, frame["prediction"])
    hits = float((truth * guess).sum())
    if name == "recall":
        return _ratio(hits, truth.sum())
    if name == "precision":
        return _ratio(hits, guess.sum())
    if name == "f1":
        return _ratio(2 * hits, truth.sum() + guess.sum())
    scored = probability(spec, frame)
    score = guess if scored is None else scored
    if name == "roc_auc":
        return roc_auc(truth, score)
    if name == "brier":
        return _mean((truth - score) ** 2)
    if name == "log_loss":
        return _mean(_log_loss(truth, score))
    raise InvalidInput(f"metric {name!r} does not exist for {spec.task}; use {', '.join(METRICS[spec.task])}.")


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def metric_interval(
    spec: ModelSpec, frame: pd.DataFrame, name: str | None = None, *, level: float = 0.95
) -> tuple[float, Interval | None]:
    """The metric and its confidence interval; where the spec names an entity, its rows count as belonging together.

    The interval is None with fewer than 10 rows, where the metric is undefined, and for a share of nothing.
    """
    name = name or spec.metric
    value = metric(spec, frame, name)
    if len(frame) < MIN_ROWS or not np.isfinite(value):
        return value, None
    codes = pd.factorize(frame[spec.entity])[0] if spec.entity and spec.entity in frame else None

    def worth(influence: Floats, rows: npt.NDArray[np.bool_] | None = None) -> float:
        mine = codes if codes is None or rows is None else codes[rows]
        return 1.0 if mine is None else intervals.clustering(influence, mine)

    if spec.task is Task.REGRESSION:
        error = frame["label"].to_numpy(np.float64) - frame["prediction"].to_numpy(np.float64)
        losses = np.abs(error) if name == "mae" else error**2
        found = intervals.mean(losses, worth(losses), level)
        if name == "rmse":
            found = Interval(float(np.sqrt(found.low)), float(np.sqrt(found.high)), level)
        return value, found
    if name in ("accuracy", "macro_f1"):
        label, prediction = as_class(frame["label"]), as_class(frame["prediction"])
        hit = (label == prediction).astype(np.float64)
        if name == "accuracy":
            return value, intervals.share(float(hit.sum()), len(hit), worth(hit), level)
        both = np.unique(np.concatenate([label, prediction]), return_inverse=True)
        given, said = np.split(both[1].reshape(-1), 2)
        return value, intervals.average_f_score(given, said, len(both[0]), worth(hit), level)
    truth, guess = positives(spec, frame["label"]), positives(spec, frame["prediction"])
    if name in ("recall", "precision", "f1"):
        among = {"recall": truth == 1, "precision": guess == 1, "f1": (truth == 1) | (guess == 1)}[name]
        hit = (truth * guess)[among]
        of = intervals.f_score if name == "f1" else intervals.share
        return value, of(float(hit.sum()), len(hit), worth(hit, among), level)
    scored = probability(spec, frame)
    score = guess if scored is None else scored
    if name == "roc_auc":
        return value, intervals.area(truth, score, value, worth(intervals.placement_of_rows(truth, score)), level)
    losses = (truth - score) ** 2 if name == "brier" else _log_loss(truth, score)
    return value, intervals.mean(losses, worth(losses), level, spread=_spread(name, score))


def _spread(name: str, score: Floats) -> float:
    """Standard deviation of the loss if the scores are right: it knows of positives that few rows do not show."""
    p = np.clip(score, 1e-6, 1 - 1e-6)
    if name == "brier":
        return float(np.sqrt((p * (1 - p) * (1 - 2 * p) ** 2).mean() + (p * (1 - p)).var()))
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    return float(np.sqrt((p * (1 - p) * np.log(p / (1 - p)) ** 2).mean() + entropy.var()))


def _log_loss(truth: Floats, score: Floats) -> Floats:
    p = np.clip(score, 1e-6, 1 - 1e-6)
    return np.asarray(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)), np.float64)
