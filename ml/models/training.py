"""Changes things: recipe -> a version in the registry, with everything needed to say later what it was made from.

A version is made once per run tag. Training again under the same tag gives the version that is there, also when the
first attempt was killed half way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ml.errors import DataError, InvalidInput
from ml.metrics import labelled, metric_interval
from ml.models import storage
from ml.models.recipes import FittedModel, fit
from ml.models.registry import MODEL_PATH, REFERENCE_PATH, TAG, Registry, VersionInfo, experiment_name
from ml.results import Interval, Window
from ml.spec import METRICS, ModelSpec

_COMPLETE = f"{TAG}complete"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A registered version that no alias names yet.

    metrics, intervals: by metric name, on the held-out rows. holdout: their span; None where nothing was held out.
    created: False when a version was already there under the run tag.
    """

    model: str
    version: str
    run_id: str
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    holdout: Window | None = None
    created: bool = True


def train(
    spec: ModelSpec,
    frame: pd.DataFrame,
    *,
    registry: Registry,
    data_version: str,
    code_version: str,
    run_tag: str,
    parent_version: str | None = None,
    seed: int = 0,
) -> Candidate:
    """Fit on the earlier labelled rows, measure on the latest share (`training.holdout`), and register.

    frame: log rows (features, timestamp, label). The registered model is the one that was measured: it is not refitted.
    Raises: DataError when there are fewer labels than `training.min_labels`; SpecError from the trainer; Unavailable.
    """
    if (done := registry.find(spec.name, run_tag)) is not None:
        return _candidate(done, created=False)
    if (run_id := _finished_run(registry, spec.name, run_tag)) is not None:
        return _register(spec, registry, run_id)
    early, late = split(spec, frame)
    model = fit(spec, early, seed=seed)
    params = {"trainer": spec.trainer, "seed": str(seed), "rows": str(len(early)), **_span(early)}
    params |= {f"parameter.{key}": str(value) for key, value in spec.training.parameters.items()}
    return _publish(
        spec, model, late, registry, params=params, run_tag=run_tag, data_version=data_version,
        code_version=code_version, parent_version=parent_version, seed=seed,
    )  # fmt: skip


def register_external(
    spec: ModelSpec,
    model: FittedModel,
    *,
    registry: Registry,
    run_tag: str,
    data_version: str = "",
    code_version: str = "",
    parent_version: str | None = None,
    reference: pd.DataFrame | None = None,
    params: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Candidate:
    """Register a model that was fitted elsewhere (the user's own, a recalibrated one) as a version.

    reference: labelled rows that the model was not trained on (features, timestamp, label); measured and kept as its
    reference. Without them the version has neither. Raises: SpecError when it cannot be stored without pickle.
    """
    if (done := registry.find(spec.name, run_tag)) is not None:
        return _candidate(done, created=False)
    if (run_id := _finished_run(registry, spec.name, run_tag)) is not None:
        return _register(spec, registry, run_id)
    return _publish(
        spec, model, reference, registry, params={"trainer": "external", **(params or {})}, run_tag=run_tag,
        data_version=data_version, code_version=code_version, parent_version=parent_version, seed=seed,
    )  # fmt: skip


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


def _span(rows: pd.DataFrame) -> dict[str, str]:
    return {
        "from": rows["timestamp"].min().floor("us").isoformat(),
        "to": rows["timestamp"].max().floor("us").isoformat(),
    }


def _publish(
    spec: ModelSpec,
    model: FittedModel,
    holdout: pd.DataFrame | None,
    registry: Registry,
    *,
    params: dict[str, str],
    run_tag: str,
    data_version: str,
    code_version: str,
    parent_version: str | None,
    seed: int,
) -> Candidate:
    """Log a run with all its files, mark it complete, then register it: killed anywhere, the next call carries on."""
    if not run_tag:
        raise InvalidInput("A run tag is needed: it is what keeps a training from happening twice.")
    storage.check_storable(spec, model)
    reference: pd.DataFrame | None = None
    metrics: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    if holdout is not None and len(holdout):
        reference = as_reference(model, holdout)
        metrics, intervals = measure(spec, reference, seed=seed)
        params = params | {"holdout.rows": str(len(holdout))}
        params |= {f"holdout.{key}": value for key, value in _span(holdout).items()}
    tags = {f"{TAG}run_tag": run_tag, f"{TAG}data_version": data_version, f"{TAG}code_version": code_version}
    if parent_version is not None:
        tags[f"{TAG}parent_version"] = parent_version
    run_id = _start_run(registry, spec.name, tags)
    with tempfile.TemporaryDirectory(prefix="watchkeeper-") as folder:
        root = Path(folder)
        example = holdout if holdout is not None and len(holdout) else _empty_example(spec)
        storage.save(spec, model, root / MODEL_PATH, example)
        if reference is not None:
            path = root / REFERENCE_PATH
            path.parent.mkdir()
            _storable(reference).to_parquet(path, index=False)
        registry.store.ask(lambda client: client.log_artifacts(run_id, folder))
    _log_numbers(registry, run_id, params, metrics, intervals)
    registry.store.ask(lambda client: client.set_tag(run_id, _COMPLETE, "true"))
    registry.store.ask(lambda client: client.set_terminated(run_id))
    return _register(spec, registry, run_id)


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
        value, interval = metric_interval(spec, rows, name, seed=seed)
        if np.isfinite(value):
            values[name] = value
            if interval is not None:
                intervals[name] = interval
    return values, intervals


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


def _start_run(registry: Registry, model: str, tags: dict[str, str]) -> str:
    name = experiment_name(model)
    experiment = registry.store.lookup(lambda client: client.get_experiment_by_name(name))
    if experiment is None:
        place = f"{registry.artifacts.rstrip('/')}/{model}" if registry.artifacts else None
        experiment_id = registry.store.ask(lambda client: client.create_experiment(name, artifact_location=place))
    else:
        experiment_id = experiment.experiment_id
    run = registry.store.ask(
        lambda client: client.create_run(experiment_id, tags=tags, run_name=tags[f"{TAG}run_tag"][:80])
    )
    return str(run.info.run_id)


def _log_numbers(
    registry: Registry,
    run_id: str,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    intervals: Mapping[str, Interval],
) -> None:
    from mlflow.entities import Metric, Param

    bounds = {f"{k}.low": v.low for k, v in intervals.items()} | {f"{k}.high": v.high for k, v in intervals.items()}
    numbers = [Metric(key, value, 0, 0) for key, value in {**metrics, **bounds}.items()]
    texts = [Param(key, value[:500]) for key, value in params.items()]
    registry.store.ask(lambda client: client.log_batch(run_id, metrics=numbers, params=texts))


def _finished_run(registry: Registry, model: str, run_tag: str) -> str | None:
    """The run that logged everything under this tag and was stopped before it could register."""
    for run in registry.runs(model):
        if run.data.tags.get(f"{TAG}run_tag") == run_tag and run.data.tags.get(_COMPLETE) == "true":
            return str(run.info.run_id)
    return None


def _register(spec: ModelSpec, registry: Registry, run_id: str) -> Candidate:
    """Enter a complete run in the registry, unless it is there already."""
    if registry.registered(spec.name) is None:
        registry.store.lookup(
            lambda client: client.create_registered_model(spec.name, description=spec.description or None)
        )
    run = registry.store.ask(lambda client: client.get_run(run_id))
    tags = {key: value for key, value in run.data.tags.items() if key.startswith(TAG) and key != _COMPLETE}
    source = f"{run.info.artifact_uri}/{MODEL_PATH}"
    made = registry.store.ask(lambda client: client.create_model_version(spec.name, source, run_id=run_id, tags=tags))
    return _candidate(registry.version(spec.name, str(made.version)), created=True)


def _candidate(info: VersionInfo, *, created: bool) -> Candidate:
    """What was logged, read back: the same answer whether it was just trained or found."""
    m = info.metrics
    values = {name: value for name, value in m.items() if not name.endswith((".low", ".high"))}
    intervals = {k: Interval(m[f"{k}.low"], m[f"{k}.high"]) for k in values if f"{k}.low" in m and f"{k}.high" in m}
    window = None
    if "holdout.from" in info.params:
        first, last = (datetime.fromisoformat(info.params[f"holdout.{end}"]) for end in ("from", "to"))
        window = Window(first, last + timedelta(microseconds=1))
    return Candidate(info.model, info.version, info.run_id, values, intervals, window, created)
