"""What the model server counts, for Prometheus: each process writes into one folder, any of them reads them together.

The client library counts across processes if an environment variable says so before its import: it is set here.
"""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.errors import Unavailable

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from ml.serving.backlog import Drained
    from ml.serving.follower import Follower

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0)
ROWS = (1, 2, 5, 10, 50, 100, 500, 1_000, 5_000, 20_000, 50_000)
LOOKS = 20
CONTENT_TYPE = b"text/plain; version=1.0.0; charset=utf-8"


def begin(folder: Path) -> None:
    """Empty the folder and count in it from now on; before any process that counts is started. Raises: OSError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def gone(folder: Path, pid: int) -> None:
    """A process that ended holds nothing any more; what it had counted stays counted."""
    os.environ[FOLDER] = str(folder)
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


class Metrics:
    """The counters of one process. `folder`: see `begin`."""

    def __init__(self, folder: Path) -> None:
        os.environ[FOLDER] = str(folder)
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

        mine = os.getpid()  # else it is asked for at every count, in case the process has forked: ten calls a request
        values.ValueClass = values.MultiProcessValue(process_identifier=lambda: mine)  # type: ignore[no-untyped-call]
        self._folder = folder
        home = CollectorRegistry()
        self._requests = Counter("watchkeeper_serving_requests", "Requests answered.", ("code",), registry=home)
        self._refused = Counter(
            "watchkeeper_serving_refused", "Requests refused, by the rule that was broken.", ("rule",), registry=home
        )
        self._rows = Counter("watchkeeper_serving_rows", "Rows answered.", ("model", "version", "route"), registry=home)
        self._seconds = Histogram(
            "watchkeeper_serving_seconds", "Time from the checked rows to the answer.", ("model", "version"),
            buckets=SECONDS, registry=home,
        )  # fmt: skip
        self._batch = Histogram(
            "watchkeeper_serving_batch_rows", "Rows of one request.", ("model",), buckets=ROWS, registry=home
        )
        self._cached = Counter(
            "watchkeeper_serving_cache", "Rows looked for among remembered answers.", ("model", "found"), registry=home
        )
        self._shadow_dropped = Counter(
            "watchkeeper_serving_shadow_dropped", "Rows that the shadow left out, being behind.", ("model",),
            registry=home,
        )  # fmt: skip
        self._open = Gauge(
            "watchkeeper_serving_open_requests", "Requests being answered.", registry=home,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._engines = Gauge(
            "watchkeeper_serving_engines", "Engines held in memory.", registry=home, multiprocess_mode="livesum"
        )
        self._engine_bytes = Gauge(
            "watchkeeper_serving_engine_bytes", "Memory that engines take, about.", registry=home,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._code: Callable[[int], Any] = cache(lambda code: self._requests.labels(str(code)))
        self._way: Callable[[str, str, str], Any] = cache(self._rows.labels)
        self._time: Callable[[str, str], Any] = cache(self._seconds.labels)
        self._size: Callable[[str], Any] = cache(self._batch.labels)
        self._look: Callable[[str, str], Any] = cache(self._cached.labels)

    def replied(self, code: int, open_requests: int) -> None:
        self._code(code).inc()
        self._open.set(open_requests)

    def refused(self, rule: str) -> None:
        """rule: the short name of a problem; there is a fixed set of them."""
        self._refused.labels(rule).inc()

    def answered(self, model: str, version: str, route: str, rows: int, seconds: float) -> None:
        self._way(model, version, route).inc(rows)
        self._time(model, version).observe(seconds)
        self._size(model).observe(rows)

    def looked_up(self, model: str, found: int, missed: int) -> None:
        if found:
            self._look(model, "yes").inc(found)
        if missed:
            self._look(model, "no").inc(missed)

    def shadow_dropped(self, model: str, rows: int) -> None:
        self._shadow_dropped.labels(model).inc(rows)

    def engines(self, held: int, nbytes: int) -> None:
        self._engines.set(held)
        self._engine_bytes.set(nbytes)

    def text(self, follower: Follower, drained: Drained) -> bytes:
        """Everything that all processes counted, and how things stand now, as Prometheus reads it.

        Raises: Unavailable, when a process stays half way through making its file."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call]
        registry.register(_Standing(follower, drained))
        for _ in range(LOOKS):
            try:
                return generate_latest(registry)
            except (struct.error, RuntimeError):  # a process that starts has made its file and written nothing yet
                time.sleep(0.005)
        raise Unavailable("What was counted cannot be read at the moment; ask again.")


class _Standing:
    """What is not counted but looked up when asked: routes, the registry, and what waits for the log."""

    def __init__(self, follower: Follower, drained: Drained) -> None:
        self._follower, self._drained = follower, drained

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        now, state = time.time(), self._follower.state
        share = GaugeMetricFamily(
            "watchkeeper_serving_route_share", "Share of requests that a version is meant to answer.",
            labels=("model", "version", "route"),
        )  # fmt: skip
        for model, version, route, part in _shares(self._follower):
            share.add_metric((model, version, route), part)
        yield share
        away = 0.0 if state.away_since is None else now - state.away_since
        waiting = 0.0 if self._drained.waiting_since is None else max(now - self._drained.waiting_since, 0.0)
        plain: Mapping[str, tuple[str, float]] = {
            "ready": ("Whether every model that has a champion can answer.", float(self._follower.ready)),
            "registry_away_seconds": ("How long the registry has been out of reach.", away),
            "log_lag_bytes": ("Journalled answers that are not in the log yet.", float(self._drained.behind)),
            "log_lag_seconds": ("Age of the oldest answer that is not in the log yet.", waiting),
            "log_rows": ("Rows that the drain has taken into the log.", float(self._drained.rows)),
            "log_failures": ("Times that the log took nothing.", float(self._drained.failures)),
            "log_refused_rows": ("Rows that the log will not have, kept aside.", float(self._drained.refused)),
            "journal_damaged": ("Stretches of the journal that could not be read.", float(self._drained.damaged)),
        }  # fmt: skip
        for name, (said, value) in plain.items():
            yield GaugeMetricFamily(f"watchkeeper_serving_{name}", said, value=value)


def _shares(follower: Follower) -> Iterable[tuple[str, str, str, float]]:
    for model, served in follower.served.items():
        routes = served.routes
        share = routes.canary_share if routes.canary is not None else 0.0
        yield model, routes.champion, "champion", 1.0 - share
        if routes.canary is not None:
            yield model, routes.canary, "canary", share
        if routes.shadow is not None:
            yield model, routes.shadow, "shadow", 1.0
