"""Many models in one process: loaded when first asked for; the longest unused are let go, to stay in a budget."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ml.errors import Unavailable
from ml.serving.rows import Engine

log = logging.getLogger(__name__)

Key = tuple[str, str]
Loader = Callable[[str, str], Engine]

DEFAULT_BUDGET = 512 * 2**20
FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
"""Seconds after a failed load before the next is tried; doubled each time."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """Counts since the start, and what is held now."""

    loaded: int
    nbytes: int
    budget: int
    loads: int
    evictions: int
    failures: int


@dataclass(slots=True)
class _Failure:
    error: Exception
    wait: float
    until: float


class Pool:
    """Engines by model and version. Safe for many threads; a version is loaded once however many ask at once.

    loader: loads an engine, in the thread of whoever asks first. budget: bytes that the engines may take together, as
    they say themselves; one that is larger alone is held alone. An engine that was let go counts until its last request
    has ended. changed: told how many are held and their bytes, after each load.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        budget: int = DEFAULT_BUDGET,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[int, int], None] = lambda loaded, nbytes: None,
    ) -> None:
        self.budget = budget
        self._changed = changed
        self._loader = loader
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, Engine] = OrderedDict()
        self._leaving: list[tuple[weakref.ref[Engine], int]] = []
        self._loading: dict[Key, Future[Engine]] = {}
        self._failed: dict[Key, _Failure] = {}
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="model-loader")
        self._loads = self._evictions = self._failures = 0

    def ready(self, model: str, version: str) -> Engine | None:
        """The engine if it is loaded; never waits."""
        with self._lock:
            engine = self._held.get((model, version))
            if engine is not None:
                self._held.move_to_end((model, version))
            return engine

    def get(self, model: str, version: str) -> Engine:
        """The engine, loaded if need be; waits for it. Raises: what the loader raised, also for a while after it did
        (1 second, doubled with every failure up to a minute), without trying again."""
        key = (model, version)
        with self._lock:
            if (engine := self._held.get(key)) is not None:
                self._held.move_to_end(key)
                return engine
            failure = self._failed.get(key)
            if failure is not None and self._clock() < failure.until:
                raise failure.error
            mine = key not in self._loading
            promise = self._loading.setdefault(key, Future())
        if mine:
            self._load(key, promise)
        return promise.result()

    def prefetch(self, model: str, version: str) -> None:
        """Load it soon, in a thread of the pool's own; a failure is logged and met again by `get`."""
        with self._lock:
            known = (model, version) in self._held or (model, version) in self._loading
            failure = self._failed.get((model, version))
            if known or (failure is not None and self._clock() < failure.until):
                return
        self._behind.submit(self._quietly, model, version)

    def forget(self, model: str, version: str) -> None:
        """Let an engine go, and its failures; the next `get` loads it anew."""
        with self._lock:
            self._failed.pop((model, version), None)
            if (engine := self._held.pop((model, version), None)) is not None:
                self._leaving.append((weakref.ref(engine), engine.nbytes))

    def state(self) -> PoolState:
        with self._lock:
            return PoolState(len(self._held), self._nbytes(), self.budget, self._loads, self._evictions, self._failures)

    def close(self) -> None:
        """Wait for a load that has begun; begin no other."""
        self._behind.shutdown(cancel_futures=True)

    def _load(self, key: Key, promise: Future[Engine]) -> None:
        begun = self._clock()
        try:
            engine = self._loader(*key)
        except Exception as error:  # noqa: BLE001 (the edge to model files; whoever waits is told)
            with self._lock:
                before = self._failed.get(key)
                wait = min(LONGEST_WAIT, before.wait * 2) if before else FIRST_WAIT
                self._failed[key] = _Failure(error, wait, self._clock() + wait)
                self._failures += 1
                del self._loading[key]
            log.warning("Version %s of %r cannot be loaded (next try in %.0f s): %s", key[1], key[0], wait, error)
            promise.set_exception(error)
            return
        except BaseException:
            with self._lock:
                del self._loading[key]
            promise.set_exception(Unavailable(f"Loading version {key[1]} of {key[0]!r} was interrupted; ask again."))
            raise
        with self._lock:
            self._failed.pop(key, None)
            self._loads += 1
            self._make_room(engine.nbytes)
            self._held[key] = engine
            del self._loading[key]
            self._changed(len(self._held), self._nbytes())
        log.info("Version %s of %r is loaded (%s, %.2f s)", key[1], key[0], engine.kind, self._clock() - begun)
        promise.set_result(engine)

    def _make_room(self, nbytes: int) -> None:
        """Let the longest unused go until there is room; called with the lock held."""
        while self._held and self._nbytes() + nbytes > self.budget:
            engine = self._held.popitem(last=False)[1]
            self._leaving.append((weakref.ref(engine), engine.nbytes))
            del engine
            self._evictions += 1

    def _nbytes(self) -> int:
        self._leaving = [(engine, size) for engine, size in self._leaving if engine() is not None]
        return sum(engine.nbytes for engine in self._held.values()) + sum(size for _, size in self._leaving)

    def _quietly(self, model: str, version: str) -> None:
        try:
            self.get(model, version)
        except Exception as error:  # noqa: BLE001 (told to the log by _load, and to whoever asks next)
            log.debug("prefetch of version %s of %r failed: %s", version, model, error)
