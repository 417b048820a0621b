"""What this process serves: takes up what the keeper tells, opens engines, and swaps them in.

A version takes no traffic before its engine is open and warmed; requests read one immutable mapping, which is replaced
in one step.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from ml.errors import DataError, NotFound, Unavailable, WatchkeeperError
from ml.serving.cache import CachingEngine
from ml.serving.preparing import open_version
from ml.serving.problems import NotYet, Refused
from ml.serving.protocols.open_inference import datatype_of
from ml.serving.routing import Routes
from ml.serving.rows import Engine, Rows
from ml.serving.signature import Signature
from ml.serving.state import ModelState, State
from ml.spec import FeatureType, ModelSpec

log = logging.getLogger(__name__)
RETRY = 1.0
Ask = Callable[[str, str, bool], None]


class Engines(Protocol):
    """Opened versions; see `pool`. They are known by their folders, so that other files are another engine."""

    def get(self, model: str, version: str) -> Engine:
        """Opens where needed. Raises: WatchkeeperError."""

    def ready(self, model: str, version: str) -> Engine | None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """What one model is served with, as of one moment; replaced as a whole, never changed. folders: of each version
    that is prepared. predicts: the datatype of its predictions in the Open Inference Protocol. kind: what computes."""

    signature: Signature
    routes: Routes
    folders: Mapping[str, str]
    predicts: str = "BYTES"
    kind: str = ""

    @property
    def model(self) -> str:
        return self.signature.spec.name


class Follower:
    """`served` is what requests read. settled: what the keeper told first is taken up. ask: tells the keeper of a
    version that is wanted or broken. looked: told of each look at remembered answers, see `CachingEngine`."""

    def __init__(
        self,
        root: Path,
        ask: Ask,
        *,
        allow_pickle: bool = False,
        looked: Callable[[str, int, int], None] = lambda model, found, missed: None,
    ) -> None:
        self._looked = looked
        self.served: Mapping[str, Served] = MappingProxyType({})
        self.state = State()
        self.engines: Engines | None = None
        self.stopped, self.settled = threading.Event(), threading.Event()
        self._root, self._ask, self._allow_pickle = root, ask, allow_pickle
        self._changed = threading.Condition()
        self._news = False

    def follow(self, engines: Engines) -> None:
        """Take up states as they are told, until `stop`; run by a thread of its own."""
        self.engines = engines
        while not self.stopped.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._news or self.stopped.is_set())
                state, self._news = self.state, False
            if self.take_up(state):
                self.stopped.wait(RETRY)
                self._news = True
            elif state.asked or state.away:
                self.settled.set()

    def tell(self, state: State) -> None:
        with self._changed:
            self.state, self._news = state, True
            self._changed.notify_all()

    def stop(self) -> None:
        self.stopped.set()
        with self._changed:
            self._changed.notify_all()

    def find(self, name: str) -> Served:
        """What a model is served with. Raises: Refused (404, or 503 while it cannot be) with the reason; NotYet."""
        served = self.served.get(name)
        if served is not None:
            return served
        state = self.state
        kind, why = Refused, state.waiting.get(name) or state.notes.get(name)
        if name in state.models:
            kind, why = NotYet, "it is being opened"
        elif not state.asked and why is None:
            kind, why = (Refused, state.away) if state.away else (NotYet, "the registry has not been read yet")
        elif name in state.waiting and not any(model == name for model, _ in state.refused):
            kind = NotYet
        if why is not None:
            said = f"{name[:100]!r} is not served: {why.rstrip('.')}."
            raise kind(503, "not ready", said, headers={"retry-after": "2"})
        known = ", ".join(sorted(self.served)[:20]) or "none yet"
        raise Refused(404, "not found", f"There is no model {name[:100]!r} here; the models are {known}.")

    @property
    def ready(self) -> bool:
        """Whether every model that has a champion can answer."""
        return bool(self.served) and not self.state.waiting and set(self.state.models) <= set(self.served)

    def open(self, model: str, folder: str) -> Engine:
        """Open a version that is prepared, and warm it: the loader of the pool. Raises: WatchkeeperError."""
        known = self.state.models.get(model)
        if known is None:
            raise NotFound(f"{model!r} is not served here any more.")
        version = version_in(folder)
        try:
            engine = open_version(self._root / folder, known.spec, version, allow_pickle=self._allow_pickle)
        except DataError:
            self._ask(model, version, True)
            raise
        warm(engine, known.spec)
        serving = known.spec.serving
        if serving.cache:
            engine = CachingEngine(engine, size=serving.cache, lifetime=serving.cache_time, looked=self._looked)
        return engine

    def wait_for(self, model: str, version: str, seconds: float) -> str:
        """The folder of a version that no alias names, prepared for this.

        Raises: NotFound when it cannot be prepared, Unavailable when it takes too long.
        """
        key = (model, version)
        self._ask(model, version, False)
        until = time.monotonic() + seconds

        def known() -> bool:
            now = self.state.models.get(model)
            return (now is not None and version in now.folders) or key in self.state.refused

        with self._changed:
            self._changed.wait_for(lambda: known() or self.stopped.is_set(), timeout=until - time.monotonic())
        if key in self.state.refused:
            raise NotFound(self.state.refused[key])
        now = self.state.models.get(model)
        if now is None or version not in now.folders:
            raise Unavailable(f"Version {version} of {model!r} is being prepared; ask again in a few seconds.")
        return now.folders[version]

    def take_up(self, state: State) -> bool:
        """Swap in what is told. Returns whether something could not be opened, and must be tried again."""
        assert self.engines is not None
        failed = False
        found = {name: served for name, served in self.served.items() if name in state.models}
        for name, model in state.models.items():
            try:
                found[name] = self._served(model, found.get(name))
            except WatchkeeperError as error:  # the pool has said it to the log
                log.debug("%s cannot be taken up: %s", name, error)
                failed = True
                continue
            self.served = MappingProxyType(dict(found))
        self.served = MappingProxyType(found)
        return failed

    def _served(self, model: ModelState, now: Served | None) -> Served:
        assert self.engines is not None
        signature = now.signature if now is not None and now.signature.spec == model.spec else Signature(model.spec)
        if now is not None and now.routes == model.routes and now.signature is signature:
            return now if now.folders == model.folders else replace(now, folders=model.folders)
        name, routes = model.spec.name, model.routes
        for version in (routes.canary, routes.shadow):
            if version is not None:
                self.engines.get(name, model.folders[version])
        engine = self.engines.get(name, model.folders[routes.champion])
        return Served(signature, routes, model.folders, _predicts(engine, model.spec), engine.kind)


def version_in(folder: str) -> str:
    """
    >>> version_in("bike-demand/3-0c1f2a")
    '3'
    """
    return folder.rpartition("/")[2].partition("-")[0]


def warm(engine: Engine, spec: ModelSpec) -> None:
    """Let an engine answer once, so that its first caller does not pay for what is done once."""
    try:
        engine.answer(blank(spec))
    except DataError:  # a model that insists on a value: it has said so by now
        log.debug("%s %s takes no row of missing values", engine.model, engine.version)


def blank(spec: ModelSpec) -> Rows:
    """A row with nothing in it."""
    nothing = {FeatureType.NUMERIC: (float("nan"),)}
    return Rows({name: nothing.get(f.type, (None,)) for name, f in spec.features.items()}, ("warm-up",))


def _predicts(engine: Engine, spec: ModelSpec) -> str:
    try:
        return datatype_of(engine.answer(blank(spec)).predictions)
    except DataError:
        return "FP64" if spec.task == "regression" else "BYTES"


def describe(follower: Follower) -> dict[str, Any]:
    """What /readyz says: the models with their versions, and what is not as it should be."""
    state = follower.state
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
        "registry": "away" if state.away_since is not None else "ok" if state.asked else "not asked yet",
        "registry_away_since": state.away_since,
        "registry_error": state.away or None,
        "waiting": dict(state.waiting),
        "refused": {f"{model}/{version}": why for (model, version), why in state.refused.items()},
        "notes": dict(state.notes),
    }
