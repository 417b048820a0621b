"""What the MLflow registry knows of a model's versions. Reads only; gives plain values and predictors, never a client.

Which version answers is MLflow's alias `champion`; the one that it replaced is `previous`. `canary` and `shadow` answer
beside it (see `docs/how-to/serve-model.md`).
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ml.errors import InvalidInput, NotFound
from ml.models import storage, tracking
from ml.models.recipes import FittedModel
from ml.spec import ModelSpec

CHAMPION = "champion"
PREVIOUS = "previous"
CANARY, SHADOW = "canary", "shadow"
TAG = "watchkeeper."
SHARE_TAG = f"{TAG}canary_share"
MODEL_PATH = "model"
REFERENCE_PATH = "reference/holdout.parquet"
_URI = re.compile(r"models:/(?P<model>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[\w-]+))")


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One registered version. `metrics` are those of its held-out rows, with bounds as `mae.low` and `mae.high`."""

    model: str
    version: str
    created_at: datetime
    run_id: str
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def data_version(self) -> str | None:
        """The version of the prediction log that it was trained on."""
        return self.tags.get(f"{TAG}data_version")

    @property
    def code_version(self) -> str | None:
        return self.tags.get(f"{TAG}code_version")

    @property
    def parent_version(self) -> str | None:
        """The version that was champion when this one was made to replace it."""
        return self.tags.get(f"{TAG}parent_version")

    @property
    def proposal(self) -> str | None:
        """The proposal that ordered this version to be made."""
        return self.tags.get(f"{TAG}proposal")

    @property
    def run_tag(self) -> str | None:
        """The key that makes training happen once: see `training.train`."""
        return self.tags.get(f"{TAG}run_tag")


KEPT = 16
"""Models and references held in memory by one `Registry`."""


class Registry:
    """The registry at an MLflow address; nothing is contacted before the first question.

    uri: sqlite:///FILE, postgresql+psycopg://… or http(s)://….
    artifacts: address for new models' files; default: the folder `artifacts` beside the SQLite file, else the server's.
    allow_pickle: read models that need pickle, which may run code while they load.
    """

    def __init__(self, uri: str, *, artifacts: str | None = None, allow_pickle: bool = False) -> None:
        self.uri = tracking.normal_uri(uri)
        file = tracking.sqlite_file(self.uri)
        self.artifacts = artifacts or (file.parent.joinpath("artifacts").as_uri() if file else None)
        self.allow_pickle = allow_pickle
        self.store = tracking.Store(self.uri)
        self._kept: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._keeping = threading.Lock()

    def ping(self) -> None:
        """Raises: Unavailable when the registry cannot be reached."""
        self.store.ask(lambda client: client.search_registered_models(max_results=1))

    def versions(self, model: str) -> list[VersionInfo]:
        """Every version, the newest first; empty when the model has none."""
        registered = self.registered(model)
        if registered is None:
            return []
        found = self.store.pages(lambda client, page: client.search_model_versions(f"name='{model}'", page_token=page))
        runs = {run.info.run_id: run for run in self.runs(model)}
        infos = [self._info(version, _aliases(registered), runs.get(version.run_id)) for version in found]
        return sorted(infos, key=lambda info: int(info.version), reverse=True)

    def version(self, model: str, version: str) -> VersionInfo:
        """Raises: NotFound."""
        registered = self.registered(model)
        found = self.store.lookup(lambda client: client.get_model_version(model, version)) if registered else None
        if found is None:
            raise NotFound(
                f"{model!r} has no version {version!r} in the registry; `watchkeeper model show {model}` lists them."
            )
        return self._info(found, _aliases(registered), None)

    def alias(self, model: str, name: str) -> str | None:
        """The version that an alias names, or None."""
        registered = self.registered(model)
        return _aliases(registered).get(name) if registered else None

    def champion(self, model: str) -> VersionInfo | None:
        """The version that answers, or None before the first promotion."""
        version = self.alias(model, CHAMPION)
        return None if version is None else self.version(model, version)

    def find(self, model: str, run_tag: str) -> VersionInfo | None:
        """The version that was registered under a run tag, or None."""
        return next((info for info in self.versions(model) if info.run_tag == run_tag), None)

    def load(self, model: str, version: str, spec: ModelSpec) -> FittedModel:
        """The predictor of a version. Raises: NotFound, InvalidInput when it may not be loaded, DataError."""

        def fetch() -> FittedModel:
            info = self.version(model, version)
            source = self.store.ask(lambda client: client.get_model_version_download_uri(model, version))
            with self._downloaded(source, f"the files of version {version} of {model!r}") as directory:
                return storage.load(spec, directory, version=info.version, allow_pickle=self.allow_pickle)

        found: FittedModel = self._once(("model", model, version, spec.model_dump_json()), fetch)
        return found

    def load_model(self, uri_or_dir: str | Path, spec: ModelSpec) -> FittedModel:
        """The predictor in a model directory, or at `models:/NAME/VERSION`, `models:/NAME@ALIAS` or any artifact URI.

        Raises: NotFound, InvalidInput, DataError, as `load`.
        """
        text = str(uri_or_dir)
        if found := _URI.fullmatch(text):
            version = found["version"] or self.alias(found["model"], found["alias"])
            if version is None:
                raise NotFound(
                    f"{found['model']!r} has no alias {found['alias']!r} in the registry; promote a version first."
                )
            return self.load(found["model"], version, spec)
        if "://" not in text and not text.startswith(("models:/", "runs:/", "file:")):
            return load_directory(text, spec, allow_pickle=self.allow_pickle)
        with self._downloaded(text, text) as directory:
            return storage.load(
                spec, directory, version=text.rstrip("/").rsplit("/", 1)[-1], allow_pickle=self.allow_pickle
            )

    def fetch(self, model: str, version: str, to: Path) -> Path:
        """Copy the files of a version under `to`, and say where they are; nothing of them is read. Raises: NotFound."""
        source = self.store.lookup(lambda client: client.get_model_version_download_uri(model, version))
        if source is None:
            raise NotFound(
                f"{model!r} has no version {version!r} in the registry; `watchkeeper model show {model}` lists them."
            )
        to.mkdir(parents=True, exist_ok=True)
        return self._download(source, to, f"the files of version {version} of {model!r}")

    def reference(self, model: str, version: str) -> pd.DataFrame | None:
        """The held-out rows of a version in the form of the prediction log (features, timestamp, prediction, score,
        label, model_version); None where none were stored (a version that was registered by other means)."""

        def fetch() -> pd.DataFrame | None:
            run_id = self.version(model, version).run_id
            if not run_id:
                return None
            folder, _, name = REFERENCE_PATH.partition("/")
            held = self.store.lookup(lambda client: client.list_artifacts(run_id, folder)) or []
            if not any(item.path == REFERENCE_PATH for item in held):
                return None
            what = f"the reference of version {version} of {model!r}"
            with self._downloaded(f"runs:/{run_id}/{folder}", what) as directory:
                return pd.read_parquet(directory / name).assign(model_version=version)

        found: pd.DataFrame | None = self._once(("reference", model, version), fetch)
        return None if found is None else found.copy()

    def _once(self, key: tuple[str, ...], fetch: Callable[[], Any]) -> Any:
        """What a version holds never changes, so the last few answers are kept; requests and jobs ask at once."""
        with self._keeping:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = fetch()
        with self._keeping:
            self._kept[key] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def registered(self, model: str) -> Any:
        """MLflow's own record of a model, or None; for `training`."""
        if not re.fullmatch(r"[\w. -]+", model):
            raise InvalidInput(f"{model!r} is no name of a model; names have letters, digits and dashes.")
        return self.store.lookup(lambda client: client.get_registered_model(model))

    def runs(self, model: str) -> list[Any]:
        """MLflow's own records of a model's training runs; for `training`."""
        experiment = self.store.lookup(lambda client: client.get_experiment_by_name(experiment_name(model)))
        if experiment is None:
            return []
        return self.store.pages(
            lambda client, page: client.search_runs([experiment.experiment_id], max_results=500, page_token=page)
        )

    def _info(self, version: Any, aliases: dict[str, str], run: Any) -> VersionInfo:
        if run is None and version.run_id:
            run = self.store.lookup(lambda client: client.get_run(version.run_id))
        return VersionInfo(
            model=version.name,
            version=str(version.version),
            created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
            run_id=version.run_id or "",
            metrics=dict(run.data.metrics) if run else {},
            params=dict(run.data.params) if run else {},
            tags=dict(version.tags),
            aliases=tuple(sorted(name for name, number in aliases.items() if number == str(version.version))),
        )

    @contextmanager
    def _downloaded(self, source: str, what: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="watchkeeper-") as folder:
            yield self._download(source, Path(folder), what)

    def _download(self, source: str, to: Path, what: str) -> Path:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            with tracking.reachable(self.uri):
                return Path(download_artifacts(artifact_uri=source, dst_path=str(to), tracking_uri=self.uri))
        except MlflowException as error:
            raise NotFound(f"{what} cannot be fetched: {str(error).splitlines()[0][:200]}") from error


def load_directory(path: str | Path, spec: ModelSpec, *, allow_pickle: bool = False) -> FittedModel:
    """The predictor in an MLflow model directory, without any registry. Raises: as `Registry.load`."""
    directory = Path(path)
    tracking.quiet()
    return storage.load(spec, directory, version=directory.resolve().name, allow_pickle=allow_pickle)


def experiment_name(model: str) -> str:
    """The MLflow experiment that holds a model's training runs."""
    return f"watchkeeper/{model}"


def _aliases(registered: Any) -> dict[str, str]:
    return {name: str(version) for name, version in dict(registered.aliases).items()} if registered else {}
