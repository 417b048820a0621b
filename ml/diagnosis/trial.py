"""Counterfactual replay: what would the recent labelled rows have cost under each possible action?

Every trial gives answers (`prediction`, `score`) for the same rows, so that gains are paired. Nothing is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.diagnosis.causes import Act
from ml.diagnosis.repair import Break, Mask
from ml.errors import DataError, SpecError
from ml.metrics import as_class, metric, positives, probability, roc_auc, row_loss
from ml.models.predictor import Predictor
from ml.monitors.performance import design_effect
from ml.spec import ModelSpec, Task

Floats = npt.NDArray[np.float64]
Z = 1.96
FOLDS = 5
RECENT_WEIGHT = 5.0
MOST_ROWS = 6000
MOST_CELLS, LEAST_ROWS, WIDE = 1_000_000, 500, 300
"""Rows times features of a base that is fitted again and again; beyond so many features, two folds will do."""
MIN_HEALTHY = 30


@dataclass(frozen=True, slots=True)
class Trial:
    """One action tried off-line. `gain` is the mean fall of loss per row, `low` to `high` its 95 % interval; for a
    retraining the ordinary gain of more data (`ordinary`, measured on healthy rows in the same way) is taken off.
    `skill`, of a retraining: how well its answers follow the labels, with the error of it (see `skill_of`)."""

    kind: Act
    gain: float
    low: float
    high: float
    se: float
    n: int
    loss_before: float
    loss_after: float
    metric_before: float
    metric_after: float
    ordinary: float = 0.0
    parameters: dict[str, Any] = field(default_factory=dict)
    gains: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    skill: tuple[float, float] = (float("nan"), 0.0)

    def to_json(self, metric_name: str) -> dict[str, Any]:
        from ml.diagnosis.evidence import finite

        return {
            "kind": self.kind.value, "gain": finite(self.gain), "n": self.n,
            "interval": [finite(self.low), finite(self.high)],
            "loss": {"before": finite(self.loss_before), "after": finite(self.loss_after)},
            "metric": {"name": metric_name, "before": finite(self.metric_before), "after": finite(self.metric_after)},
            "ordinary_gain": finite(self.ordinary), "parameters": self.parameters,
        }  # fmt: skip


def answer(spec: ModelSpec, model: Predictor, frame: pd.DataFrame, scored: bool) -> pd.DataFrame:
    """The model's answers, with the score taken away where the served rows have none (losses must be of one kind)."""
    out = model.predict(frame)[["prediction", "score"]]
    return out if scored else out.assign(score=np.nan)


def compare(
    spec: ModelSpec,
    kind: Act,
    frame: pd.DataFrame,
    after: pd.DataFrame,
    *,
    ordinary: float = 0.0,
    ordinary_se: float = 0.0,
    parameters: dict[str, Any] | None = None,
) -> Trial:
    """The paired trial of serving `after` instead of what `frame` says was served (rows in order of time)."""
    changed = frame.assign(prediction=after["prediction"].to_numpy(), score=after["score"].to_numpy())
    before_loss, after_loss = row_loss(spec, frame), row_loss(spec, changed)
    gains = before_loss - after_loss
    return _trial(
        kind,
        gains,
        float(before_loss.mean()),
        metric(spec, frame),
        metric(spec, changed),
        ordinary,
        ordinary_se,
        parameters or {},
    )


def _trial(
    kind: Act,
    gains: Floats,
    before: float,
    metric_before: float,
    metric_after: float,
    ordinary: float,
    ordinary_se: float,
    parameters: dict[str, Any],
) -> Trial:
    n = len(gains)
    raw = float(gains.mean())
    se = float(np.hypot(gains.std() * np.sqrt(design_effect(gains, 3) / max(n, 1)), ordinary_se))
    net = raw - max(ordinary, 0.0)
    return Trial(
        kind,
        net,
        net - Z * se,
        net + Z * se,
        se,
        n,
        before,
        before - raw,
        metric_before,
        metric_after,
        max(ordinary, 0.0),
        parameters,
        gains - max(ordinary, 0.0),
    )


def fix_data(
    spec: ModelSpec,
    frame: pd.DataFrame,
    model: Predictor | None,
    found: Sequence[Break],
    rows: npt.NDArray[np.int_],
    healthy: pd.DataFrame,
    current: pd.DataFrame,
) -> Trial:
    """Undo the breaks and answer again. `rows` are the places of `frame` in the `current` frame.

    Lost values cannot be put back. What they cost is measured the other way round: healthy labelled rows get the values
    that the broken rows have, and answer again.
    """
    repaired = frame
    touched = np.zeros(len(frame), dtype=bool)
    lost = np.zeros(len(frame))
    rng = np.random.default_rng(len(frame))
    for item in found:
        hit = item.rows[rows]
        if item.repair is not None:
            repaired = item.repair.apply(repaired, hit)
            touched |= hit
        elif hit.any():
            cost = cost_of_loss(spec, model, item, healthy, current)
            lost[hit] += rng.choice(cost, int(hit.sum())) if len(cost) else 0.0
    scored = probability(spec, frame) is not None
    loss = row_loss(spec, frame)
    gains = lost
    changed = frame
    if touched.any() and model is not None:
        old, new = answer(spec, model, frame[touched], scored), answer(spec, model, repaired[touched], scored)
        part = frame[touched]
        served = row_loss(spec, part.assign(prediction=old["prediction"], score=old["score"]))
        gains[touched] += served - row_loss(spec, part.assign(prediction=new["prediction"], score=new["score"]))
        changed = frame.assign(**{c: _merged(frame[c], touched, new[c]) for c in ("prediction", "score")})
    parameters = {"features": sorted({f for item in found for f in item.features})}
    after = metric(spec, changed)
    return _trial(Act.FIX_DATA, gains, float(loss.mean()), metric(spec, frame), after, 0.0, 0.0, parameters)


def _merged(old: pd.Series, mask: npt.NDArray[np.bool_], new: pd.Series) -> npt.NDArray[Any]:
    kind = np.float64 if old.dtype.kind == "f" else object
    values = old.to_numpy(dtype=kind, copy=True)
    values[mask] = new.to_numpy(dtype=kind)
    return values


def cost_of_loss(
    spec: ModelSpec, model: Predictor | None, item: Break, healthy: pd.DataFrame, current: pd.DataFrame
) -> Floats:
    """What it costs each of up to 1,000 healthy rows to have the broken rows' values; empty without a model."""
    sample = healthy.tail(1000)
    broken = current[item.rows]
    if model is None or len(sample) < MIN_HEALTHY or len(broken) == 0:
        return np.zeros(0)
    take = np.random.default_rng(0).integers(0, len(broken), len(sample))
    spoiled = sample.assign(**{name: broken[name].to_numpy()[take] for name in item.features})
    scored = probability(spec, sample) is not None
    clean, worse = answer(spec, model, sample, scored), answer(spec, model, spoiled, scored)
    before = row_loss(spec, sample.assign(prediction=clean["prediction"], score=clean["score"]))
    return row_loss(spec, sample.assign(prediction=worse["prediction"], score=worse["score"])) - before


def rollback(spec: ModelSpec, frame: pd.DataFrame, previous: Predictor) -> Trial:
    """Let the earlier version answer."""
    after = answer(spec, previous, frame, probability(spec, frame) is not None)
    return compare(spec, Act.ROLLBACK, frame, after, parameters={"to_version": previous.version})


def recalibrated(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame | None:
    """The served answers with scores from a logistic on the logit of the score, out of fold; None where the task or the
    rows do not allow it."""
    if spec.task is not Task.BINARY:
        return None
    p = probability(spec, frame)
    truth = positives(spec, frame["label"])
    if p is None or len(frame) < 60 or min(truth.sum(), len(truth) - truth.sum()) < 10:
        return None
    from sklearn.linear_model import LogisticRegression

    clipped = np.clip(p, 1e-4, 1 - 1e-4)
    logit = np.log(clipped / (1 - clipped))[:, None]
    score = p.copy()
    fold = folds(spec, frame, FOLDS)
    for k in range(FOLDS):
        test = fold == k
        if test.any() and len(np.unique(truth[~test])) == 2:
            score[test] = LogisticRegression(C=10.0).fit(logit[~test], truth[~test]).predict_proba(logit[test])[:, 1]
    return frame[["prediction", "score"]].assign(score=score)


def recalibrate(spec: ModelSpec, frame: pd.DataFrame, judged: Mask) -> Trial | None:
    """Refit the map from score to probability, compared on the `judged` rows; None where that cannot be done."""
    after = recalibrated(spec, frame)
    return None if after is None else compare(spec, Act.RECALIBRATE, frame[judged], after[judged])


def retrain(
    spec: ModelSpec, base: pd.DataFrame, frame: pd.DataFrame, judged: Mask, seed: int, *, measure_ordinary: bool = True
) -> Trial:
    """Fit on healthy and recent rows (recent weighted), out of fold, compared on the `judged` rows, less what the same
    gains on healthy rows.

    Raises: DataError or SpecError when the recipe cannot be fitted on these rows.
    """
    base = base.tail(max(min(MOST_ROWS, MOST_CELLS // len(spec.used_features)), LEAST_ROWS))
    after = out_of_fold(spec, base, frame, seed)
    ordinary, error = 0.0, 0.0
    if measure_ordinary:
        healthy = base[base["label"].notna() & base["prediction"].notna()]
        size = min(len(frame), len(healthy) // 2)
        if size >= 60:
            held = healthy.tail(size)
            try:
                again = out_of_fold(spec, base.drop(index=held.index), held, seed)
                usual = compare(spec, Act.RETRAIN, held, again)
                ordinary, error = usual.gain, usual.se
            except DataError:
                pass
    error = error if ordinary > 0 else 0.0
    result = compare(spec, Act.RETRAIN, frame[judged], after[judged], ordinary=ordinary, ordinary_se=error)
    return replace(result, skill=skill_of(spec, frame["label"][judged], after[judged]))


def skill_of(spec: ModelSpec, label: pd.Series, answers: pd.DataFrame) -> tuple[float, float]:
    """How well answers follow the labels, from 0 (not at all) to 1, and the standard error of it.

    Twice the area under the ROC curve less one, the correlation of numbers, or what is right beyond the usual class.
    """
    n = max(len(label), 1)
    if spec.task is Task.REGRESSION:
        pair = np.stack([label.to_numpy(np.float64), answers["prediction"].to_numpy(np.float64)])
        return (float(np.corrcoef(pair)[0, 1]) if (pair.std(axis=1) > 0).all() else 0.0), 1 / float(np.sqrt(n))
    scored = answers["score"].notna().all()
    if spec.task is Task.BINARY:
        truth = positives(spec, label)
        few = max(min(truth.sum(), len(truth) - truth.sum()), 1.0)
        ranking = answers["score"].to_numpy(np.float64) if scored else positives(spec, answers["prediction"])
        return 2 * roc_auc(truth, ranking) - 1, 2 * float(np.sqrt(0.25 / (3 * few)))
    names = as_class(label)
    usual = float(np.unique(names, return_counts=True)[1].max()) / n
    hit = float((names == as_class(answers["prediction"])).mean())
    return (hit - usual) / max(1 - usual, 1e-9), float(np.sqrt(0.25 / n)) / max(1 - usual, 1e-9)


def out_of_fold(
    spec: ModelSpec, base: pd.DataFrame, frame: pd.DataFrame, seed: int, scored: bool | None = None
) -> pd.DataFrame:
    """Answers to each row of `frame` from a model fitted on `base` and the other folds of `frame` (weighted)."""
    scored = probability(spec, frame) is not None if scored is None else scored
    pieces = FOLDS if len(spec.used_features) <= WIDE else 2
    fold = folds(spec, frame, pieces)
    own, content = _content(spec, base), _content(spec, frame)
    parts = []
    for k in range(pieces):
        test = fold == k
        if not test.any():
            continue
        recent = frame[~test]
        fresh = ~np.isin(own, content[test])  # a row that the base knows by heart says nothing about learning
        past = base[fresh] if 2 * fresh.sum() > len(base) else base
        rows = pd.concat([past, recent], ignore_index=True)
        weight = np.concatenate([np.ones(len(past)), np.full(len(recent), RECENT_WEIGHT)])
        parts.append(answer(spec, fit_weighted(spec, rows, weight, seed), frame[test], scored))
    return pd.concat(parts).loc[frame.index]


def fit_weighted(spec: ModelSpec, rows: pd.DataFrame, weight: Floats, seed: int) -> Predictor:
    """The spec's recipe with weights, or without where its trainer takes none."""
    from ml.models import recipes

    try:
        return recipes.fit(spec, rows, seed=seed, sample_weight=weight)
    except SpecError as error:
        if "weigh" not in str(error):
            raise
        return recipes.fit(spec, rows, seed=seed)


def _content(spec: ModelSpec, frame: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """A hash of what the model is fed: rows of equal content are one row, whatever their ids."""
    if len(frame) == 0:
        return np.zeros(0, dtype=np.uint64)
    columns = [frame[f] if frame[f].dtype.kind == "f" else frame[f].astype(str) for f in spec.used_features]
    return np.asarray(pd.util.hash_pandas_object(pd.concat(columns, axis=1), index=False), dtype=np.uint64)


def folds(spec: ModelSpec, frame: pd.DataFrame, k: int) -> npt.NDArray[np.int_]:
    """Fold number of each row: consecutive blocks of time; rows of one entity, and equal rows, stay together."""
    if spec.entity and spec.entity in frame:
        codes = pd.factorize(frame[spec.entity].astype(str))[0]
    else:
        codes = pd.factorize(_content(spec, frame))[0]
    first = np.full(codes.max() + 1 if len(codes) else 0, len(codes))
    np.minimum.at(first, codes, np.arange(len(codes)))
    size = np.bincount(codes, minlength=len(first))
    order = np.argsort(first, kind="stable")
    begin = np.cumsum(size[order]) - size[order]
    block = np.empty(len(first), dtype=int)
    block[order] = np.minimum(begin * k // max(len(codes), 1), k - 1)
    return block[codes]
