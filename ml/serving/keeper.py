"""Follows the registry for all processes that answer: which versions take part, and are they ready on disk?

Aliases are asked for every 0.3 s (of a local SQLite registry only when something was committed to it, which is looked
at twenty times a second), for all models at once. A version is prepared as soon as it is the newest or has an
alias, so that it can take traffic at once when it becomes champion. When the registry is away, or a new version cannot
be prepared, what was told last stands.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.errors import DataError, WatchkeeperError
from ml.models.changes import Changes
from ml.models.registry import SHARE_TAG
from ml.serving import state as states
from ml.serving.drain_process import keep_spec
from ml.serving.preparing import Job, Preparer, notes_of
from ml.serving.routing import CANARY, CHAMPION, SHADOW, Routes
from ml.serving.state import ModelState, State
from ml.spec import ModelSpec

if TYPE_CHECKING:
    from ml.models.registry import Registry

log = logging.getLogger(__name__)
EVERY, SPECS_EVERY, TICK = 0.3, 2.0, 0.05
FIRST_RETRY, LAST_RETRY = 2.0, 60.0
MOST_FAILED = 1_000
MOST_ASKED = 32
"""Versions of a model beside those with an alias that are kept because somebody asked for them by number."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the registry says of a model."""

    aliases: Mapping[str, str]
    tags: Mapping[str, str]
    newest: str | None

    @property
    def versions(self) -> list[str]:
        """The champion, then the others that have an alias, then the newest: in this order they are prepared."""
        newest = [self.newest] if self.newest else []
        return list(dict.fromkeys([self.aliases[CHAMPION], *self.aliases.values(), *newest]))


@dataclass(frozen=True, slots=True)
class _Failure:
    why: str
    wait: float
    again: float


@dataclass(slots=True)
class _Preparations:
    running: dict[tuple[str, str], tuple[Job, Future[None]]] = field(default_factory=dict)
    failed: dict[tuple[str, str], _Failure] = field(default_factory=dict)
    asked: dict[str, dict[str, None]] = field(default_factory=dict)
    jobs: dict[tuple[str, str], Job] = field(default_factory=dict)
    origins: dict[tuple[str, str], str] = field(default_factory=dict)


class Keeper:
    """Run by one thread; `tell` is given every new state.

    specs: the models' specs, asked every two seconds, so that a model that is added is served without a restart.
    """

    def __init__(
        self,
        registry: Registry,
        specs: Callable[[], Mapping[str, ModelSpec]],
        tell: Callable[[State], None],
        *,
        models: Path,
        journal: Path,
        saved: Path,
        only: frozenset[str] = frozenset(),
    ) -> None:
        self.registry, self.preparer = registry, Preparer(models)
        self.state = State()
        self._specs_of, self._tell, self._only = specs, tell, only
        self._journal, self._saved = journal, saved
        self._specs: Mapping[str, ModelSpec] = {}
        self._specs_at = float("-inf")
        self._registered: Mapping[str, Registered] = {}
        self._preparations = _Preparations()
        self._asks: list[tuple[str, str, bool]] = []
        self._changes = Changes(registry.uri)
        self._looked = float("-inf")
        self._lock = threading.Lock()

    def ask(self, model: str, version: str, broken: bool = False) -> None:
        """Somebody wants a version that no alias names, or found its folder broken; any thread."""
        with self._lock:
            self._asks.append((model, version, broken))

    def run(self, stop: threading.Event) -> None:
        """Follow until told to stop. This thread does not stand back: it has little to do, and that within a second."""
        self.preparer.tidy()
        try:
            while not stop.is_set():
                if self._is_due():
                    self._looked = time.monotonic()
                    self.look()
                elif self._has_news():
                    self.settle()
                stop.wait(TICK)
        finally:
            self._changes.close()
            self.preparer.close()

    def _is_due(self) -> bool:
        """Whether the registry is to be asked: now and then, and where something may have changed in it."""
        since = time.monotonic() - self._looked
        return since >= SPECS_EVERY or ((self._changes.cheap or since >= EVERY) and self._changes.since_last_asked())

    def _has_news(self) -> bool:
        return bool(self._asks) or any(future.done() for _, future in self._preparations.running.values())

    def look(self) -> None:
        """Ask the store and the registry once, and tell what follows. Nothing that is out of reach is raised."""
        from mlflow.exceptions import MlflowException

        try:
            self._read_specs()
            self._registered = self._read_registry()
            if self.state.away_since is not None:
                self._preparations.origins.clear()  # it may have been restored, and gone on from there
            self._read_origins()
            away_since, away, asked = None, "", True
        except (WatchkeeperError, MlflowException) as error:
            away_since, away = self.state.away_since or time.time(), str(error).splitlines()[0][:300]
            asked = self.state.asked
            if self.state.away_since is None:
                log.warning("The last good versions go on answering: %s", away)
            if not asked and not self.state.models:
                self._take_up_saved()
        self.settle(replace(self.state, away_since=away_since, away=away, asked=asked))

    def settle(self, base: State | None = None) -> None:
        """See what has been prepared, have prepared what is missing, and tell the new state if it is one."""
        self._collect()
        self._take_asks()
        base = base or self.state
        models, waiting, notes = dict(base.models), {}, {}
        for name, spec in self._specs.items():
            registered = self._registered.get(name)
            if registered is None or CHAMPION not in registered.aliases:
                notes[name] = "no version of it is champion in the registry"
                continue
            made = self._model(spec, registered, base.models.get(name), notes)
            if made is not None:
                models[name] = made
            else:
                champion = registered.aliases[CHAMPION]
                failure = self._preparations.failed.get((name, champion))
                waiting[name] = failure.why if failure else f"version {champion} is being prepared"
        if base.asked:  # a model whose spec is gone is served no more
            models = {name: model for name, model in models.items() if name in self._specs}
        refused = {key: failure.why for key, failure in self._preparations.failed.items()}
        self._publish(replace(base, models=models, waiting=waiting, refused=refused, notes=notes))
        self.preparer.rest()

    def _read_specs(self) -> None:
        if time.monotonic() - self._specs_at >= SPECS_EVERY * 0.9:
            found = self._specs_of()
            self._specs = {name: spec for name, spec in found.items() if not self._only or name in self._only}
            self._specs_at = time.monotonic()

    def _read_registry(self) -> dict[str, Registered]:
        found = self.registry.store.pages(lambda client, page: client.search_registered_models(page_token=page))
        return {model.name: _registered(model) for model in found if model.name in self._specs}

    def _read_origins(self) -> None:
        """Learn what the versions are made from, once each. Raises: Unavailable."""
        for name, registered in self._registered.items():
            if CHAMPION in registered.aliases:
                for version in registered.versions:
                    self._origin(name, version)

    def _origin(self, model: str, version: str) -> str | None:
        """What tells a version from another of its number; None where there is none. Raises: Unavailable."""
        key = (model, version)
        if key not in self._preparations.origins:
            found = self.registry.store.lookup(lambda client: client.get_model_version(model, version))
            if found is None:
                self._fail(key, f"{model!r} has no version {version!r} in the registry.")
                return None
            self._preparations.origins[key] = f"{found.run_id}/{found.creation_timestamp}/{found.source}"
        return self._preparations.origins[key]

    def _take_up_saved(self) -> None:
        try:
            saved = states.load(self._saved, self.preparer.root)
        except DataError as error:
            log.warning("%s", error)
            return
        kept = {name: model for name, model in saved.items() if not self._only or name in self._only}
        self.state = replace(self.state, models=kept)

    def _model(
        self, spec: ModelSpec, registered: Registered, before: ModelState | None, notes: dict[str, str]
    ) -> ModelState | None:
        """What a model is served with, of the versions that are ready; None while its first is not."""
        name, aliases = spec.name, registered.aliases
        asked = self._preparations.asked.get(name, {})
        wanted = dict.fromkeys([*registered.versions, *asked])
        folders = {version: folder for version in wanted if (folder := self._folder(spec, version))}
        champion = aliases[CHAMPION]
        if champion not in folders:
            if before is None or before.spec != spec:
                return before
            champion = before.routes.champion
            folders.setdefault(champion, before.folders[champion])
            failure = self._preparations.failed.get((name, aliases[CHAMPION]))
            why = f"cannot be prepared: {failure.why}" if failure else "is being prepared"
            notes[name] = f"version {champion} answers, as version {aliases[CHAMPION]} {why}"
        elif found := notes_of(self.preparer.root / folders[champion]):
            notes[name] = " ".join(found)
        canary = aliases.get(CANARY) if aliases.get(CANARY) in folders else None
        shadow = aliases.get(SHADOW) if aliases.get(SHADOW) in folders else None
        share = _share(registered.tags, name, notes) if canary else 0.0
        routes = Routes(champion, canary if canary != champion else None, share, shadow if shadow != champion else None)
        made = ModelState(spec, routes, folders)
        return before if made == before else made

    def _folder(self, spec: ModelSpec, version: str) -> str | None:
        """The folder of a version if it is prepared; has it prepared otherwise."""
        key = (spec.name, version)
        origin = self._preparations.origins.get(key)
        if origin is None:
            return None
        job = self._preparations.jobs.get(key)
        if job is None or job.spec is not spec or job.origin != origin:
            job = Job(self.registry.uri, self.registry.allow_pickle, spec, version, origin)
            self._preparations.jobs[key] = job
        if self.preparer.is_prepared(job.folder):
            return job.folder
        failure = self._preparations.failed.get(key)
        if key not in self._preparations.running and (failure is None or time.monotonic() >= failure.again):
            self._preparations.running[key] = (job, self.preparer.start(job))
        return None

    def _collect(self) -> None:
        """Take note of the preparations that have ended."""
        for key, (_, future) in list(self._preparations.running.items()):
            if not future.done():
                continue
            del self._preparations.running[key]
            error = future.exception()
            if error is None:
                self._preparations.failed.pop(key, None)
                continue
            self._fail(
                key, str(error).strip() if isinstance(error, WatchkeeperError) else f"{type(error).__name__}: {error}"
            )

    def _fail(self, key: tuple[str, str], why: str) -> None:
        """Note that a version cannot be prepared, and when it is tried again."""
        failed = self._preparations.failed
        before = failed.pop(key, None)
        wait = min(before.wait * 2, LAST_RETRY) if before else FIRST_RETRY
        failed[key] = _Failure(why[:500], wait, time.monotonic() + wait)
        while len(failed) > MOST_FAILED:
            del failed[next(iter(failed))]
        self._preparations.asked.get(key[0], {}).pop(key[1], None)  # asked for by number: it was told no
        if before is None:
            log.warning("Version %s of %s cannot be served: %s", key[1], key[0], why)

    def _take_asks(self) -> None:
        with self._lock:
            asks, self._asks = self._asks, []
        for model, version, broken in asks:
            job = self._preparations.jobs.get((model, version))
            if broken and job is not None:
                log.warning("The prepared files of version %s of %s are broken; they are made again.", version, model)
                self.preparer.discard(job.folder)
            try:
                if model not in self._registered or self._origin(model, version) is None:
                    continue
            except WatchkeeperError as error:
                log.debug("version %s of %s is not looked up: %s", version, model, error)
                continue
            asked = self._preparations.asked.setdefault(model, {})
            asked.pop(version, None)
            asked[version] = None
            while len(asked) > MOST_ASKED:
                del asked[next(iter(asked))]

    def _publish(self, state: State) -> None:
        if state == self.state:
            return
        before, self.state = self.state, state
        try:
            for name, model in state.models.items():
                if name not in before.models or before.models[name].spec != model.spec:
                    keep_spec(self._journal, model.spec)  # before the first answer: the drain must know its form
        except OSError as error:
            log.warning("The specs cannot be written down for the log (%s); answers wait in the journal.", error)
        self._tell(state)
        if state.models != before.models:
            for name, model in state.models.items():
                if name not in before.models or before.models[name].routes != model.routes:
                    log.info("%s is served by %s", name, model.routes)
            try:
                states.save(state.models, self._saved)
            except OSError as error:
                log.warning("What is served cannot be written down (%s); it is served all the same.", error)


def _registered(model: Any) -> Registered:
    """MLflow's record as plain values."""
    newest = max((int(version.version) for version in model.latest_versions or ()), default=None)
    return Registered(
        {alias: str(version) for alias, version in dict(model.aliases).items()},
        {key: value for key, value in dict(model.tags).items() if key.startswith("watchkeeper.")},
        None if newest is None else str(newest),
    )


def _share(tags: Mapping[str, str], model: str, notes: dict[str, str]) -> float:
    text = tags.get(SHARE_TAG, "0")
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if 0 <= share <= 1:
        return share
    notes[model] = f"the tag {SHARE_TAG} is {text[:40]!r}, which is no number from 0 to 1; the canary gets nothing"
    return 0.0
