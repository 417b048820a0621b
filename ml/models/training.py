"""Changes things: a candidate -> a version in the registry, with everything needed to say later what it was made from.

A version is made once per run tag. Training again under the same tag gives the version that is there, also when the
first attempt was killed half way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ml.errors import InvalidInput
from ml.models.candidate import NUMBERS, Numbers, pack, train_in
from ml.models.recipes import FittedModel
from ml.models.registry import MODEL_PATH, TAG, Registry, VersionInfo, experiment_name
from ml.results import Interval, Window
from ml.spec import ModelSpec

_COMPLETE = f"{TAG}complete"
Make = Callable[[Path], None]
"""Leaves a candidate (see `ml.models.candidate`) in the folder that it is given."""


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


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a version was made from, by whose order: the tags of its run and of its entry in the registry."""

    run_tag: str
    data_version: str = ""
    code_version: str = ""
    parent_version: str | None = None
    proposal: str | None = None

    def tags(self) -> dict[str, str]:
        known = {
            "run_tag": self.run_tag,
            "data_version": self.data_version,
            "code_version": self.code_version,
            "parent_version": self.parent_version,
            "proposal": self.proposal,
        }
        return {f"{TAG}{name}": value for name, value in known.items() if value is not None}


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
    """Fit and measure in this process (see `candidate.train_in`), and register.

    Raises: DataError when there are fewer labels than `training.min_labels`; SpecError from the trainer; Unavailable.
    """
    lineage = Lineage(run_tag, data_version, code_version, parent_version)
    return register(spec, registry, lineage, lambda folder: train_in(spec, frame, folder, seed=seed))


def register_external(
    spec: ModelSpec,
    model: FittedModel,
    *,
    registry: Registry,
    run_tag: str,
    data_version: str = "",
    code_version: str = "",
    parent_version: str | None = None,
    proposal: str | None = None,
    reference: pd.DataFrame | None = None,
    params: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Candidate:
    """Register a model that was fitted elsewhere (the user's own, a recalibrated one) as a version.

    reference: labelled rows that the model was not trained on (features, timestamp, label); measured and kept as its
    reference. Without them the version has neither. Raises: SpecError when it cannot be stored without pickle.
    """
    named = {"trainer": "external", **(params or {})}
    lineage = Lineage(run_tag, data_version, code_version, parent_version, proposal)
    return register(
        spec, registry, lineage, lambda folder: pack(spec, model, reference, folder, params=named, seed=seed)
    )


def register(spec: ModelSpec, registry: Registry, lineage: Lineage, make: Make) -> Candidate:
    """The version of a run tag; `make` is asked for a candidate only where there is none yet.

    Raises: what `make` raises; Unavailable.
    """
    if not lineage.run_tag:
        raise InvalidInput("A run tag is needed: it is what keeps a training from happening twice.")
    if (done := registry.find(spec.name, lineage.run_tag)) is not None:
        return _candidate(done, created=False)
    if (run_id := _finished_run(registry, spec.name, lineage.run_tag)) is not None:
        return _register(spec, registry, run_id)
    with tempfile.TemporaryDirectory(prefix="watchkeeper-") as made:
        make(Path(made))
        return _register(spec, registry, _log(spec, registry, lineage, Path(made)))


def _log(spec: ModelSpec, registry: Registry, lineage: Lineage, made: Path) -> str:
    """Log a run with all its files and mark it complete: killed anywhere, the next call carries on."""
    numbers = Numbers.read(made)
    run_id = _start_run(registry, spec.name, lineage.tags())
    for part in sorted(path for path in made.iterdir() if path.name != NUMBERS):
        registry.store.ask(partial(_log_folder, run_id, part))
    _log_numbers(registry, run_id, numbers)
    registry.store.ask(lambda client: client.set_tag(run_id, _COMPLETE, "true"))
    registry.store.ask(lambda client: client.set_terminated(run_id))
    return run_id


def _log_folder(run_id: str, folder: Path, client: Any) -> None:
    client.log_artifacts(run_id, str(folder), folder.name)


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


def _log_numbers(registry: Registry, run_id: str, numbers: Numbers) -> None:
    from mlflow.entities import Metric, Param

    bounds = {f"{k}.low": v.low for k, v in numbers.intervals.items()}
    bounds |= {f"{k}.high": v.high for k, v in numbers.intervals.items()}
    values = [Metric(key, value, 0, 0) for key, value in {**numbers.metrics, **bounds}.items()]
    texts = [Param(key, value[:500]) for key, value in numbers.params.items()]
    registry.store.ask(lambda client: client.log_batch(run_id, metrics=values, params=texts))


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
