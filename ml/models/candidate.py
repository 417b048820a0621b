"""Rows -> a folder with everything a new version is made of, before any registry hears of it. Changes nothing.

The folder can be made anywhere (another process, another machine): `training` publishes it. It holds the model, its
held-out rows with the model's answers, and `candidate.json` with parameters, metrics and their intervals.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ml.errors import DataError
from ml.metrics import labelled, metric_interval
from ml.models import storage
from ml.models.recipes import FittedModel, fit
from ml.models.registry import MODEL_PATH, REFERENCE_PATH
from ml.results import Interval
from ml.spec import METRICS, ModelSpec

NUMBERS = "candidate.json"
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is logged of a candidate beside its files; metrics and intervals are on the held-out rows."""

    params: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        bounds = {name: [bound.low, bound.high] for name, bound in self.intervals.items()}
        document = {"params": dict(self.params), "metrics": dict(self.metrics), "intervals": bounds}
        (folder / NUMBERS).write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Numbers:
        document = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
        bounds = {name: Interval(*pair) for name, pair in document["intervals"].items()}
        return cls(document["params"], document["metrics"], bounds)


def train_in(
    spec: ModelSpec, frame: pd.DataFrame, folder: Path, *, seed: int = 0, progress: Progress = lambda phase: None
) -> None:
    """Fit on the earlier labelled rows, measure on the latest share (`training.holdout`), and leave both in `folder`.

    frame: log rows (features, timestamp, label). The model that is kept is the one that was measured: it is not
    refitted. progress: called with the name of each phase as it begins.
    Raises: DataError when there are fewer labels than `training.min_labels`; SpecError from the trainer.
    """
    early, late = split(spec, frame)
    progress(f"fitting on {len(early)} rows")
    model = fit(spec, early, seed=seed)
    params = {"trainer": spec.trainer, "seed": str(seed), "rows": str(len(early)), **_span(early)}
    params |= {f"parameter.{key}": str(value) for key, value in spec.training.parameters.items()}
    pack(spec, model, late, folder, params=params, seed=seed, progress=progress)


def pack(
    spec: ModelSpec,
    model: FittedModel,
    holdout: pd.DataFrame | None,
    folder: Path,
    *,
    params: Mapping[str, str],
    seed: int = 0,
    progress: Progress = lambda phase: None,
) -> None:
    """Leave a fitted model in `folder`, measured on the held-out rows where there are any.

    Raises: SpecError when it cannot be stored without pickle.
    """
    storage.check_storable(spec, model)
    reference: pd.DataFrame | None = None
    numbers = Numbers(params)
    if holdout is not None and len(holdout):
        progress(f"measuring on {len(holdout)} later rows")
        reference = as_reference(model, holdout)
        held = {"holdout.rows": str(len(holdout))} | {f"holdout.{key}": value for key, value in _span(holdout).items()}
        numbers = Numbers({**params, **held}, *measure(spec, reference, seed=seed))
    progress("writing the model")
    example = holdout if holdout is not None and len(holdout) else _empty_example(spec)
    storage.save(spec, model, folder / MODEL_PATH, example)
    if reference is not None:
        path = folder / REFERENCE_PATH
        path.parent.mkdir()
        _storable(reference).to_parquet(path, index=False)
    numbers.write(folder)


def split(spec: ModelSpec, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The labelled rows in order of time, cut before the latest `training.holdout` share.

    Rows of one moment stay on one side. Raises: DataError when there are too few labels or no usable times.
    """
    for column in ("label", "timestamp"):
        if column not in frame:
            raise DataError(
                f"{spec.name!r}: the training rows have no column {column!r}; read them from the prediction log."
            )
    rows = frame[frame["label"].notna() & frame["timestamp"].notna()]
    if len(rows) < spec.training.min_labels:
        raise DataError(
            f"{spec.name!r}: {len(rows)} rows have a label and training.min_labels is {spec.training.min_labels}; "
            "wait for labels or widen the window."
        )
    rows = rows.sort_values("timestamp", kind="stable")
    cut = rows["timestamp"].iloc[int(np.floor(len(rows) * (1 - spec.training.holdout)))]
    early, late = rows[rows["timestamp"] < cut], rows[rows["timestamp"] >= cut]
    if early.empty:
        raise DataError(
            f"{spec.name!r}: the training rows carry one single time, so none is later; check the timestamps."
        )
    return early, late


def as_reference(model: FittedModel, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the model's answers in the form of the prediction log."""
    rest = rows.drop(columns=["prediction", "score", "model_version"], errors="ignore")
    return rest.join(model.predict(rows)).assign(model_version=model.version)


def measure(spec: ModelSpec, scored: pd.DataFrame, *, seed: int = 0) -> tuple[dict[str, float], dict[str, Interval]]:
    """Every metric of the task on labelled, scored rows, with its interval; those that are undefined are left out."""
    rows = labelled(scored)
    values: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    for name in METRICS[spec.task]:
        value, interval = metric_interval(spec, rows, name)
        if np.isfinite(value):
            values[name] = value
            if interval is not None:
                intervals[name] = interval
    return values, intervals


def _span(rows: pd.DataFrame) -> dict[str, str]:
    return {
        "from": rows["timestamp"].min().floor("us").isoformat(),
        "to": rows["timestamp"].max().floor("us").isoformat(),
    }


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of mixed types as text, which Parquet can hold."""
    columns: dict[str, pd.Series] = {}
    for name in frame.columns:
        column = frame[name]
        known = column[column.notna()]
        mixed = column.dtype == object and known.map(type).nunique() > 1
        columns[str(name)] = known.astype(str).reindex(column.index) if mixed else column
    return pd.DataFrame(columns)


def _empty_example(spec: ModelSpec) -> pd.DataFrame:
    """One row with nothing in it, enough for a signature."""
    return pd.DataFrame({name: pd.Series([None], dtype=object) for name in spec.features})
