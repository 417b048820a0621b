"""Performance before labels: what labelled reference rows say of rows like the current ones; or nothing at all.

The expected loss of each current row comes from a model of the reference rows: for classes a calibration of the score
that also sees the features (CBPE of NannyML, refined), for numbers a model of the row loss. What that model gets wrong
on the reference rows that are most like the current ones is added, as far as it is more than noise (doubly robust, with
the weights of PAPE, arXiv 2401.08348). It is right under covariate shift only: a changed relation is invisible to it;
`healthy` is never said from an estimate alone. Where inputs leave the reference it abstains.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import DataError
from ml.metrics import Floats, as_class, labelled, positives, probability, row_loss
from ml.monitors.overlap import Inputs, overlap
from ml.monitors.performance import default_tolerance
from ml.results import Interval, Measurement, Status, Window
from ml.spec import ModelSpec, Task

MIN_REFERENCE, MIN_CURRENT = 200, 50
MIN_EFFECTIVE = 100.0
MOST_OUTSIDE = 0.1
MOST_ROWS = 10_000
FOLDS = 5

Expected = Callable[[Floats, Floats], Floats]
"""Expected losses of rows from their matrix of inputs and their answers (scores, or values)."""


def estimate(
    spec: ModelSpec, reference: pd.DataFrame, current: pd.DataFrame, *, window: Window, seed: int = 0
) -> list[Measurement]:
    """`estimation.loss`: the expected mean row loss of the current rows less the reference's, with a band.

    The loss is that of `metrics.row_loss`: Brier for binary scores, the share of wrong answers for multiclass scores,
    the metric's error for regression. Of more than 10,000 rows on a side, 10,000 are drawn.
    It is `no_data`, and says why, with fewer than 200 labelled reference or 50 current rows, without scores, or where
    more than a tenth of the current rows, or the weight, lies outside the reference.
    """
    monitor = "estimation.loss"

    def nothing(why: str) -> list[Measurement]:
        return [Measurement(monitor, window, None, len(current), Status.NO_DATA, detail=why)]

    healthy = labelled(reference)
    rows = current[current["prediction"].notna()] if "prediction" in current else current.iloc[:0]
    if len(healthy) < MIN_REFERENCE or len(rows) < MIN_CURRENT:
        had = f"{len(healthy)} labelled reference and {len(rows)} current rows"
        return nothing(f"{had}; {MIN_REFERENCE} and {MIN_CURRENT} are needed.")
    if spec.task is not Task.REGRESSION and (probability(spec, healthy) is None or probability(spec, rows) is None):
        return nothing("there are no probabilities to estimate from.")
    gone = [f for f in spec.used_features if f in healthy and f not in rows]
    if gone:
        return nothing(f"the feature {gone[0]!r} is missing from the current rows.")
    if spec.task is Task.REGRESSION:
        healthy = healthy[_finite(healthy, "prediction") & _finite(healthy, "label")]
        rows = rows[_finite(rows, "prediction")]
        if len(healthy) < MIN_REFERENCE or len(rows) < MIN_CURRENT:
            return nothing("too few predictions and labels are finite numbers.")
    rng = np.random.default_rng(seed)
    healthy, rows = _some(healthy, rng), _some(rows, rng)
    try:
        inputs = Inputs(spec, healthy, rows)
    except DataError as reason:
        return nothing(str(reason))
    shared = overlap(inputs, healthy, rows, seed)
    if shared.outside > MOST_OUTSIDE or shared.effective < MIN_EFFECTIVE:
        return nothing(
            f"{shared.outside:.0%} of the rows lie outside the reference and {shared.effective:.0f} reference rows are "
            "like the current ones: without labels nothing can be said."
        )
    usual = row_loss(spec, healthy)
    value, error = _expected(spec, inputs, healthy, rows, shared.weight, usual, seed)
    difference = value - float(usual.mean())
    band = 1.96 * float(np.sqrt(error**2 + usual.var() / len(usual)))
    tolerance = spec.tolerance or default_tolerance(usual)
    interval = Interval(difference - band, difference + band)
    status = Status.BREACH if interval.low > tolerance else Status.OK
    detail = f"expected mean loss {value:.4g} against {usual.mean():.4g}; blind to a changed relation."
    return [
        Measurement(
            monitor, window, difference, len(rows), status, interval=interval,
            unit="target" if spec.task is Task.REGRESSION else "loss", threshold=tolerance, detail=detail,
            facts={"estimate": value, "reference": float(usual.mean()), "effective": shared.effective,
                   "outside": shared.outside},
        )
    ]  # fmt: skip


def _finite(frame: pd.DataFrame, column: str) -> npt.NDArray[np.bool_]:
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.asarray(np.isfinite(values), dtype=bool)


def _some(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    if len(frame) <= MOST_ROWS:
        return frame
    return frame.iloc[np.sort(rng.choice(len(frame), MOST_ROWS, replace=False))]


def _expected(
    spec: ModelSpec,
    inputs: Inputs,
    healthy: pd.DataFrame,
    rows: pd.DataFrame,
    weight: Floats,
    usual: Floats,
    seed: int,
) -> tuple[float, float]:
    """Expected mean loss of the current rows and its standard error, cross-fitted in five folds."""
    answer = "prediction" if spec.task is Task.REGRESSION else "score"
    x, y = inputs.matrix(healthy), inputs.matrix(rows)
    known, now = healthy[answer].to_numpy(np.float64), rows[answer].to_numpy(np.float64)
    fold = np.random.default_rng(seed).permutation(len(healthy)) % FOLDS
    before, after = np.empty(len(healthy)), np.zeros(len(rows))
    for k in range(FOLDS):
        fit = fold != k
        expected = _model(spec, x[fit], known[fit], healthy[fit], usual[fit], seed)
        before[~fit] = expected(x[~fit], known[~fit])
        after += expected(y, now) / FOLDS
    rest = usual - before
    missed = float((weight * rest).sum() / weight.sum())
    noise = float(np.sqrt((weight**2 * (rest - missed) ** 2).sum()) / weight.sum())
    if abs(missed) > noise > 0:  # positive-part shrinkage: noise is not added, a clear miss is
        missed *= 1 - (noise / missed) ** 2
    else:
        missed = 0.0
    return float(after.mean()) + missed, float(np.hypot(after.std() / np.sqrt(len(after)), noise))


def _model(spec: ModelSpec, x: Floats, answer: Floats, rows: pd.DataFrame, loss: Floats, seed: int) -> Expected:
    if spec.task is Task.REGRESSION:
        return _of_errors(x, answer, loss, seed)
    if spec.task is Task.BINARY:
        chance = _calibrated(x, answer, positives(spec, rows["label"]))
        return lambda z, s: chance(z, s) * (1 - s) ** 2 + (1 - chance(z, s)) * s**2
    right = np.asarray(as_class(rows["label"]) == as_class(rows["prediction"]), np.float64)
    sure = _calibrated(x, answer, right)
    return lambda z, s: 1 - sure(z, s)


def _calibrated(x: Floats, score: Floats, truth: Floats) -> Expected:
    """The probability that `truth` is 1: a logistic curve with three knots on the logit of the score, and features."""
    from sklearn.linear_model import LogisticRegression

    if truth.min() == truth.max():
        only = float(truth[0])
        return lambda z, s: np.full(len(s), only)
    knots = np.quantile(_logit(score), [0.25, 0.5, 0.75])
    model = LogisticRegression(C=0.05, max_iter=500).fit(_terms(x, _logit(score), knots), truth)
    return lambda z, s: np.asarray(model.predict_proba(_terms(z, _logit(s), knots))[:, 1], np.float64)


def _of_errors(x: Floats, answer: Floats, loss: Floats, seed: int) -> Expected:
    """The row loss of a number: the mean of a smooth and a stepwise model, which err in different places."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge

    spread = float(answer.std()) or 1.0
    knots = np.quantile(answer / spread, [0.25, 0.5, 0.75])
    smooth = Ridge(alpha=30.0).fit(_terms(np.hstack([x, x**2]), answer / spread, knots), loss)
    steps = HistGradientBoostingRegressor(
        max_iter=40, max_depth=3, learning_rate=0.06, min_samples_leaf=50, random_state=seed, early_stopping=False
    ).fit(np.column_stack([x, answer]), loss)

    def expected(z: Floats, s: Floats) -> Floats:
        curve = smooth.predict(_terms(np.hstack([z, z**2]), s / spread, knots))
        return np.asarray(np.maximum((curve + steps.predict(np.column_stack([z, s]))) / 2, 0.0), np.float64)

    return expected


def _logit(score: Floats) -> Floats:
    p = np.clip(score, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)), np.float64)


def _terms(x: Floats, curve: Floats, knots: Floats) -> Floats:
    return np.column_stack([curve, *(np.maximum(curve - k, 0) for k in knots), x])
