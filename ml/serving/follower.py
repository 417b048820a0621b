"""Follows the registry: which versions of which models answer, on this process, within a second of any change.

A version takes no traffic before its engine is loaded and warmed. When the registry is away, or a new version cannot be
loaded, what answered last goes on answering; `state` says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

from ml.errors import WatchkeeperError
from ml.models.registry import CHAMPION, PREVIOUS, TAG, Registry
from ml.serving.routing import CANARY, SHADOW, Routes
from ml.serving.rows import Engine
from ml.serving.signature import Signature
from ml.spec import ModelSpec

log = logging.getLogger(__name__)
SHARE_TAG = f"{TAG}canary_share"
EVERY, SPECS_EVERY = 0.3, 2.0
FIRST_RETRY, LAST_RETRY = 2.0, 60.0


class Engines(Protocol):
    """Loaded versions; see `pool`."""

    def get(self, model: str, version: str) -> Engine:
        """Loads where needed, warmed. Raises: WatchkeeperError."""

    def ready(self, model: str, version: str) -> Engine | None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """What one model is served with, as of one moment; replaced as a whole, never changed."""

    signature: Signature
    routes: Routes
    predicts: str = "BYTES"
    kind: str = ""

    @property
    def model(self) -> str:
        return self.signature.spec.name


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that could not be loaded. again: when it is tried again, on the monotonic clock."""

    why: str
    wait: float
    again: float


@dataclass(slots=True)
class State:
    """For /readyz and the metrics. away_since: when the registry was last heard of, None while it answers."""

    away_since: float | None = None
    why: str = ""
    seen: bool = False
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


class Follower:
    """`served` is what requests read: an immutable mapping, swapped in one step.

    specs: the models' specs, asked every two seconds, so that a model that is added is served without a restart.
    """

    def __init__(
        self,
        registry: Registry,
        engines: Engines,
        specs: Callable[[], Mapping[str, ModelSpec]],
        *,
        only: frozenset[str] = frozenset(),
        every: float = EVERY,
    ) -> None:
        self.registry, self.engines = registry, engines
        self.served: Mapping[str, Served] = MappingProxyType({})
        self.state = State()
        self._specs_of, self._only, self._every = specs, only, every
        self._specs: dict[str, ModelSpec] = {}
        self._specs_at = float("-inf")
        self._wanted: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        self._loading: set[tuple[str, str]] = set()
        self._loaders = ThreadPoolExecutor(2, thread_name_prefix="load")
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        self._loaders.shutdown(wait=False, cancel_futures=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def ready(self) -> bool:
        """Whether every model that has a champion can answer."""
        wanted = {name for name, (aliases, _) in self._wanted.items() if CHAMPION in aliases}
        return bool(self.served) and wanted <= set(self.served)

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self.look()
            while not self._stop.is_set() and (left := self._every - (time.monotonic() - began)) > 0:
                if self._wake.wait(left):  # a version is loaded: it need not wait for the next look
                    self._wake.clear()
                    self._apply()

    def look(self) -> None:
        """Ask the registry once, and swap in what is ready. Never raises for what is out of reach."""
        from mlflow.exceptions import MlflowException

        try:
            self._read_specs()
            self._wanted = self._read_aliases()
            if self.state.away_since is not None:
                log.warning("The registry answers again.")
            self.state.away_since, self.state.why, self.state.seen = None, "", True
        except (WatchkeeperError, MlflowException) as error:
            if self.state.away_since is None:
                log.warning("The registry is away; the last good versions go on answering: %s", error)
                self.state.away_since = time.time()
            self.state.why = str(error).splitlines()[0][:300]
        self._apply()

    def _read_specs(self) -> None:
        if time.monotonic() - self._specs_at >= SPECS_EVERY:
            found = self._specs_of()
            self._specs = {name: spec for name, spec in found.items() if not self._only or name in self._only}
            self._specs_at = time.monotonic()

    def _read_aliases(self) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
        found = self.registry.store.pages(lambda client, page: client.search_registered_models(page_token=page))
        return {
            model.name: ({alias: str(version) for alias, version in dict(model.aliases).items()}, dict(model.tags))
            for model in found
            if model.name in self._specs
        }

    def _apply(self) -> None:
        """Swap in every model whose wanted versions are loaded; have the others loaded meanwhile."""
        found: dict[str, Served] = {}
        for name, spec in self._specs.items():
            now = self.served.get(name)
            aliases, tags = self._wanted.get(name, ({}, {}))
            served = self._served(spec, now, aliases, tags)
            if served is not None:
                found[name] = served
        if found != dict(self.served):
            for name, served in found.items():
                if (before := self.served.get(name)) is None or before.routes != served.routes:
                    log.info("%s is served by %s", name, served.routes)
            self.served = MappingProxyType(found)

    def _served(
        self, spec: ModelSpec, now: Served | None, aliases: Mapping[str, str], tags: Mapping[str, str]
    ) -> Served | None:
        name = spec.name
        if CHAMPION not in aliases:
            self.state.notes[name] = "no version is champion in the registry"
            return now
        self.state.notes.pop(name, None)
        champion = aliases[CHAMPION]
        if not self._is_ready(name, champion):
            if now is None:
                return None
            champion = now.routes.champion
        canary = self._if_ready(name, aliases.get(CANARY))
        shadow = self._if_ready(name, aliases.get(SHADOW))
        self._if_ready(name, aliases.get(PREVIOUS))  # a rollback is instant
        routes = Routes(
            champion,
            canary if canary != champion else None,
            self._share(name, tags) if canary else 0.0,
            shadow if shadow != champion else None,
        )
        if now is not None and now.routes == routes and now.signature.spec is spec:
            return now
        engine = self.engines.ready(name, champion)
        kind = engine.kind if engine is not None else ""
        if now is not None and now.signature.spec is spec:
            return replace(now, routes=routes, kind=kind)
        return Served(Signature(spec), routes, kind=kind)

    def _share(self, model: str, tags: Mapping[str, str]) -> float:
        text = tags.get(SHARE_TAG, "0")
        try:
            share = float(text)
        except ValueError:
            share = -1.0
        if 0 <= share <= 1:
            return share
        self.state.notes[model] = f"the tag {SHARE_TAG} is {text[:40]!r} and must be a number from 0 to 1; 0 is taken"
        return 0.0

    def _if_ready(self, model: str, version: str | None) -> str | None:
        return version if version is not None and self._is_ready(model, version) else None

    def _is_ready(self, model: str, version: str) -> bool:
        if self.engines.ready(model, version) is not None:
            self.state.failures.pop((model, version), None)
            return True
        failure = self.state.failures.get((model, version))
        if (model, version) not in self._loading and (failure is None or time.monotonic() >= failure.again):
            self._loading.add((model, version))
            self._loaders.submit(self._load, model, version)
        return False

    def _load(self, model: str, version: str) -> None:
        key = (model, version)
        try:
            self.engines.get(model, version)
        except WatchkeeperError as error:
            before = self.state.failures.get(key)
            wait = min(before.wait * 2, LAST_RETRY) if before else FIRST_RETRY
            self.state.failures[key] = Failure(str(error), wait, time.monotonic() + wait)
            if before is None:
                log.warning("Version %s of %s cannot be served: %s", version, model, error)
        finally:
            self._loading.discard(key)
            self._wake.set()


def describe(follower: Follower) -> dict[str, Any]:
    """What /readyz says: the models with their versions, and what is not as it should be."""
    state = follower.state
    failures = {f"{model}/{version}": failure.why for (model, version), failure in list(state.failures.items())}
    return {
        "models": {
            name: {
                "champion": served.routes.champion,
                "canary": served.routes.canary,
                "canary_share": served.routes.canary_share,
                "shadow": served.routes.shadow,
                "engine": served.kind,
            }
            for name, served in follower.served.items()
        },
        "registry": "away" if state.away_since is not None else "ok" if state.seen else "not asked yet",
        "registry_away_since": state.away_since,
        "registry_error": state.why or None,
        "not_loaded": failures,
        "notes": dict(state.notes),
    }
