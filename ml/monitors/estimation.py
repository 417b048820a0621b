"""Performance before labels: what the scores themselves say, corrected where the inputs moved; or nothing at all.

CBPE (NannyML): calibrate the score on labelled reference rows, then take the expected loss of the current rows. PAPE
(arXiv 2401.08348): refit it with reference rows weighted by how like the current ones they are. For
regression: a model of the row loss. Each is right under covariate shift only: concept drift and renamed categories are
invisible to it, so `healthy` is never said from an estimate alone, and where inputs leave the reference it abstains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import DataError
from ml.metrics import Floats, labelled, positives, probability, row_loss
from ml.monitors.performance import default_tolerance
from ml.results import Interval, Measurement, Status, Window
from ml.spec import FeatureType, ModelSpec, Task

MIN_REFERENCE, MIN_CURRENT = 200, 50
MIN_EFFECTIVE = 100.0
MOST_OUTSIDE = 0.1


def estimate(
    spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame, *, window: Window, seed: int = 0
) -> list[Measurement]:
    """`estimation.loss`: the expected mean row loss of the current rows less the reference's, with a band.

    binary: Brier loss from scores; regression: the loss of the metric. Multiclass has no estimate (`no_data`).
    It is `no_data`, and says why, with fewer than 200 labelled reference or 50 current rows, or where more than a tenth
    of the current rows, or the weight, lies outside the reference.
    """
    monitor = "estimation.loss"

    def nothing(why: str) -> list[Measurement]:
        return [Measurement(monitor, window, None, len(current), Status.NO_DATA, detail=why)]

    healthy = labelled(reference)
    rows = current[current["prediction"].notna()] if "prediction" in current else current.iloc[:0]
    if spec.task is Task.MULTICLASS:
        return nothing("no estimate without labels is made for multiclass.")
    if len(healthy) < MIN_REFERENCE or len(rows) < MIN_CURRENT:
        had = f"{len(healthy)} labelled reference and {len(rows)} current rows"
        return nothing(f"{had}; {MIN_REFERENCE} and {MIN_CURRENT} are needed.")
    if spec.task is Task.BINARY and (probability(spec, healthy) is None or probability(spec, rows) is None):
        return nothing("there are no probabilities to estimate from.")
    gone = [f for f in spec.used_features if f in healthy and f not in rows]
    if gone:
        return nothing(f"the feature {gone[0]!r} is missing from the current rows.")
    try:
        weight, effective, outside = density_ratio(spec, healthy, rows, seed)
    except DataError as reason:
        return nothing(str(reason))
    if outside > MOST_OUTSIDE or effective < MIN_EFFECTIVE:
        return nothing(
            f"{outside:.0%} of the rows lie outside the reference and {effective:.0f} reference rows are like the "
            "current ones: without labels nothing can be said."
        )
    usual = row_loss(spec, healthy)
    value, error = (
        _brier(spec, healthy, rows, weight)
        if spec.task is Task.BINARY
        else _absolute(spec, healthy, rows, weight, seed)
    )
    difference = value - float(usual.mean())
    band = 1.96 * float(np.sqrt(error**2 + usual.var() / len(usual) + usual.var() / effective))
    tolerance = spec.tolerance or default_tolerance(usual)
    interval = Interval(difference - band, difference + band)
    status = Status.BREACH if interval.low > tolerance else Status.OK
    detail = f"expected mean loss {value:.4g} against {usual.mean():.4g}; blind to a changed relation."
    return [
        Measurement(
            monitor, window, difference, len(rows), status, interval=interval, unit="loss", threshold=tolerance,
            detail=detail,
            facts={"estimate": value, "reference": float(usual.mean()), "effective": effective, "outside": outside},
        )
    ]  # fmt: skip


def density_ratio(
    spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame, seed: int
) -> tuple[Floats, float, float]:
    """Weights of the reference rows that make them look like the current ones (mean 1), their effective number, and the
    share of current rows outside the reference. Cross-fitted logistic regression. Raises: DataError without columns."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    x, y = _matrix(spec, reference), _matrix(spec, current)
    if x.shape[1] == 0:
        raise DataError("no used column has values to compare.")
    both = np.vstack([x, y])
    low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
    span = np.where(high > low, high - low, 1.0)
    beyond = ((y < low - 0.02 * span) | (y > high + 0.02 * span)).any(axis=1)
    center, spread = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    scaled = np.clip((both - center) / spread, -6, 6)
    numeric = scaled[:, scaled.std(axis=0) > 0]
    terms = np.hstack([numeric, numeric**2])
    side = np.r_[np.zeros(len(x)), np.ones(len(y))]
    order = np.random.default_rng(seed).permutation(len(side))
    model = LogisticRegression(C=0.1, max_iter=500)
    p = np.empty(len(side))
    p[order] = cross_val_predict(model, terms[order], side[order], cv=3, method="predict_proba")[:, 1]
    p = np.clip(p[: len(x)], 1e-3, 1 - 1e-3)
    ratio = p / (1 - p) * len(x) / len(y)
    ratio = np.minimum(ratio, np.quantile(ratio, 0.995))
    ratio /= ratio.mean()
    return ratio, float(ratio.sum() ** 2 / (ratio**2).sum()), float(beyond.mean())


def _matrix(spec: ModelSpec, frame: pd.DataFrame) -> Floats:
    """Used numeric columns (missing as the median, and a flag) and booleans; categories by frequency-coded flags."""
    columns: list[npt.NDArray[Any]] = []
    for name in spec.used_features:
        if name not in frame:
            continue
        kind = spec.features[name].type
        if kind is FeatureType.NUMERIC:
            values = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
            missing = ~np.isfinite(values)
            middle = float(np.median(values[~missing])) if (~missing).any() else 0.0
            columns += [np.where(missing, middle, values), missing.astype(np.float64)]
        elif kind in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN):
            text = frame[name].astype(str)
            # a stable number per level: both frames must get the same columns
            columns += [(text.map(hash_of) % 8 == k).to_numpy(np.float64) for k in range(8)]
    return np.column_stack(columns) if columns else np.zeros((len(frame), 0))


def hash_of(text: str) -> int:
    """A number for a level, the same in every process.

    >>> hash_of("north") == hash_of("north")
    True
    """
    import zlib

    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _brier(spec: ModelSpec, healthy: pd.DataFrame, rows: pd.DataFrame, weight: Floats) -> tuple[float, float]:
    """Expected Brier loss: c (1 - s)^2 + (1 - c) s^2 with c the refitted probability of a positive."""
    from sklearn.linear_model import LogisticRegression

    def logit(score: Floats) -> Floats:
        p = np.clip(score, 1e-4, 1 - 1e-4)
        return np.log(p / (1 - p))

    known, score = healthy["score"].to_numpy(np.float64), rows["score"].to_numpy(np.float64)
    truth = positives(spec, healthy["label"])
    if truth.min() == truth.max():
        chance = np.full(len(score), float(truth[0]))
    else:
        z, centers = logit(known), np.quantile(logit(known), [0.25, 0.5, 0.75])
        terms = np.column_stack([z, *(np.maximum(z - c, 0) for c in centers)])
        model = LogisticRegression(C=1.0, max_iter=500).fit(terms, truth, sample_weight=weight)
        now = logit(score)
        chance = model.predict_proba(np.column_stack([now, *(np.maximum(now - c, 0) for c in centers)]))[:, 1]
    loss = chance * (1 - score) ** 2 + (1 - chance) * score**2
    return float(loss.mean()), float(loss.std() / np.sqrt(len(loss)))


def _absolute(
    spec: ModelSpec, healthy: pd.DataFrame, rows: pd.DataFrame, weight: Floats, seed: int
) -> tuple[float, float]:
    """Expected loss from a model of the row loss, weighted like the current rows."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    x = np.column_stack([_matrix(spec, healthy), healthy["prediction"].to_numpy(np.float64)])
    y = np.column_stack([_matrix(spec, rows), rows["prediction"].to_numpy(np.float64)])
    model = HistGradientBoostingRegressor(
        max_iter=60, max_depth=3, learning_rate=0.08, random_state=seed, early_stopping=False
    )
    model.fit(x, row_loss(spec, healthy), sample_weight=weight)
    expected = np.maximum(model.predict(y), 0.0)
    return float(expected.mean()), float(expected.std() / np.sqrt(len(expected)))
