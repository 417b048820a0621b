"""Which features drive a model's answers, over a window and row by row.

For our XGBoost pipelines these are exact SHAP values of the trees (Lundberg et al. 2020, Nature Machine Intelligence
2:56), summed over the matrix columns that come from one feature; for any other model, permutation importance (Breiman
2001) over a window and, row by row, what changes when a feature takes a typical value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ml.metrics import Floats, as_class
from ml.models.predictor import Predictor
from ml.spec import ModelSpec, Task

ROWS = 500


def importance(
    spec: ModelSpec, predictor: Predictor, frame: pd.DataFrame, *, rows: int = ROWS, seed: int = 0
) -> dict[str, float]:
    """Share of each used feature in how far the answers move, the largest first; shares add up to 1.

    Needs no labels. All shares are 0 when the answers do not depend on anything, or without rows.
    """
    sample = frame if len(frame) <= rows else frame.sample(rows, random_state=seed)
    names = _fed(spec, predictor)
    if sample.empty:
        return dict.fromkeys(names, 0.0)
    values = _tree_shap(predictor, sample)
    if values is not None:
        moved = {name: float(values[name].abs().mean()) for name in names}
    else:
        rng = np.random.default_rng(seed)
        base = _answers(spec, predictor, sample)
        moved = {}
        for name in names:
            shuffled = sample.assign(**{name: sample[name].to_numpy()[rng.permutation(len(sample))]})
            moved[name] = float(_distance(base, _answers(spec, predictor, shuffled)).mean())
    total = sum(moved.values())
    shares = {name: value / total if total > 0 else 0.0 for name, value in moved.items()}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def contributions(
    spec: ModelSpec, predictor: Predictor, frame: pd.DataFrame, *, background: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One column per used feature, one row per row of `frame`: how much the feature pushed this answer.

    Trees: SHAP values (log-odds of the positive class, or the target's unit; for multiclass the length over classes).
    Other models: the answer less the answer when the feature takes its typical value in `background` (default:
    `frame`), in probability or the target's unit.
    """
    names = _fed(spec, predictor)
    if frame.empty:
        return pd.DataFrame({name: pd.Series(dtype=np.float64) for name in names}, index=frame.index)
    values = _tree_shap(predictor, frame)
    if values is not None:
        return values
    typical = background if background is not None and len(background) else frame
    base = _answers(spec, predictor, frame)
    columns: dict[str, Floats] = {}
    for name in names:
        changed = frame.assign(**{name: pd.Series([_typical(typical[name])] * len(frame), index=frame.index)})
        other = _answers(spec, predictor, changed)
        columns[name] = base - other if base.ndim == 1 else _distance(base, other)
    return pd.DataFrame(columns, index=frame.index)


def method(spec: ModelSpec, predictor: Predictor) -> tuple[str, str]:
    """How `contributions` are found for a model, and their unit."""
    trees = _our_trees(getattr(predictor, "pipeline", None)) is not None
    units = {
        Task.REGRESSION: "target",
        Task.BINARY: "log-odds" if trees else "probability",
        Task.MULTICLASS: "length over classes" if trees else "distance",
    }
    return "SHAP" if trees else "typical value", units[spec.task]


def _fed(spec: ModelSpec, predictor: Predictor) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(predictor, "feature_names", spec.used_features)
    return names


def _tree_shap(predictor: Predictor, frame: pd.DataFrame) -> pd.DataFrame | None:
    """SHAP values per feature when the predictor is a pipeline of ours around XGBoost, else None."""
    found = _our_trees(getattr(predictor, "pipeline", None))
    if found is None:
        return None
    from xgboost import DMatrix

    encoder, trees, names, positive = found
    raw = trees.get_booster().predict(DMatrix(encoder.transform(frame)), pred_contribs=True)
    if raw.ndim == 3:  # rows, classes, columns: the length over classes
        parts = {name: raw[:, :, columns].sum(axis=2) for name, columns in names.items()}
        return pd.DataFrame({name: np.linalg.norm(part, axis=1) for name, part in parts.items()}, index=frame.index)
    wanted = getattr(predictor, "positive", None)
    sign = -1.0 if positive is not None and wanted == positive[0] else 1.0
    return pd.DataFrame(
        {name: sign * raw[:, columns].sum(axis=1, dtype=np.float64) for name, columns in names.items()},
        index=frame.index,
    )


def _our_trees(pipeline: Any) -> tuple[Any, Any, dict[str, list[int]], list[str] | None] | None:
    if pipeline is None:
        return None
    from xgboost import XGBModel

    from ml.models.encoding import ClassNames, Recalibrated, RowEncoder

    inner = pipeline.pipeline if isinstance(pipeline, Recalibrated) else pipeline
    steps = [step for _, step in getattr(inner, "steps", [])]
    if len(steps) != 2 or not isinstance(steps[0], RowEncoder):
        return None
    encoder, model = steps
    classes = None
    if isinstance(model, ClassNames):
        classes = as_class(pd.Series(model.names_)).tolist()
        model = model.estimator_
    if not isinstance(model, XGBModel) or model.get_booster().feature_names not in (None, []):
        return None
    columns: dict[str, list[int]] = {name: [] for name in encoder.features}
    for number, owner in enumerate(encoder.owners_):
        columns[owner].append(number)
    return encoder, model, columns, classes


def _answers(spec: ModelSpec, predictor: Predictor, frame: pd.DataFrame) -> Any:
    """The answer as numbers: value, probability, or (multiclass) class and score as a coded pair."""
    answer = predictor.predict(frame)
    if spec.task is Task.REGRESSION:
        return answer["prediction"].to_numpy(np.float64)
    if spec.task is Task.BINARY:
        if answer["score"].notna().all():
            return answer["score"].to_numpy(np.float64)
        return (as_class(answer["prediction"]) == as_class([spec.positive])[0]).astype(np.float64)
    pair = np.empty((len(answer), 2), dtype=object)
    pair[:, 0] = as_class(answer["prediction"])
    pair[:, 1] = answer["score"].fillna(1.0).to_numpy(np.float64)
    return pair


def _distance(one: Any, other: Any) -> Floats:
    """How far two answers to each row are apart; classes: 1 where the class differs, else the change of its score."""
    if one.ndim == 1:
        return np.asarray(np.abs(one - other), dtype=np.float64)
    return np.where(one[:, 0] != other[:, 0], 1.0, np.abs((one[:, 1] - other[:, 1]).astype(np.float64)))


def _typical(column: pd.Series) -> Any:
    """The median of numbers, the most frequent value of anything else; None where there is none."""
    known = column.dropna()
    if known.empty:
        return None
    if pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known):
        return float(known.median())
    return known.mode().iloc[0]
