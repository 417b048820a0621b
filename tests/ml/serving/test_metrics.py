"""What Prometheus is told: everything that all processes counted, and how things stand."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from ml.errors import Unavailable
from ml.models.registry import Registry
from ml.serving.backlog import Drained
from ml.serving.follower import Follower
from ml.serving.metrics import FOLDER, Metrics
from tests.ml.serving.conftest import HOUSE, Shop
from tests.ml.serving.test_server import serving


@pytest.fixture
def registry(shop: Shop) -> Registry:
    for model in ("price", "churn"):
        shop.registry.store.ask(partial(_make_first_champion, model))
    return shop.registry


def _make_first_champion(model: str, client: Any) -> None:
    client.set_registered_model_alias(model, "champion", "1")


def read(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names...) -> value, without histograms' buckets."""
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=1.0.0")
    return {
        (sample.name.removeprefix("watchkeeper_serving_"), *(sample.labels[key] for key in sorted(sample.labels))): (
            sample.value
        )
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_two_processes_are_counted_as_one_server_also_after_one_of_them_died(
    registry: Registry, shop: Shop, tmp_path: Path
) -> None:
    with serving(registry, tmp_path, shop.root, workers=2) as server:
        pids = set()
        for _ in range(40):  # a connection each: both processes take some
            with server.client() as client:
                assert client.post("/models/price/invocations", json={"dataframe_records": [HOUSE]}).status_code == 200
        with server.client() as client:
            pair = {"dataframe_records": [HOUSE, HOUSE]}
            assert client.post("/models/price/invocations", json=pair).status_code == 200
            assert (
                client.post("/models/price/invocations", json={"dataframe_records": [{"size": 1}]}).status_code == 400
            )
            told = read(client)
        pids = {path.stem.rpartition("_")[2] for path in (tmp_path / "counts").glob("counter_*.db")}
        assert len(pids) == 2
        assert told["rows_total", "price", "champion", "1"] == 42
        assert told["batch_rows_count", "price"] == 41
        assert told["seconds_count", "price", "1"] == 41
        assert told["refused_total", "missing column"] == 1
        assert told["requests_total", "400"] == 1
        assert told["requests_total", "200"] >= 41
        assert told["route_share", "price", "champion", "1"] == 1
        assert told["engines",] == 4, "two models in each of two processes"
        assert told["ready",] == 1
        assert told["registry_away_seconds",] == 0
        server.wait_for(lambda client: read(client)["log_lag_bytes",] == 0)
        with server.client() as client:
            assert read(client)["log_rows",] == 42
        os.kill(int(pids.pop()), signal.SIGKILL)
        server.wait_for(lambda client: read(client)["engines",] == 4)
        with server.client() as client:
            assert read(client)["rows_total", "price", "champion", "1"] == 42


def test_a_process_that_has_just_made_its_file_does_not_spoil_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))  # both are put back after
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    metrics = Metrics(tmp_path)
    metrics.replied(200, 1)
    (tmp_path / "counter_1.db").touch()
    follower = Follower(tmp_path, lambda model, version, broken: None)
    with pytest.raises(Unavailable):
        metrics.text(follower, Drained())
    soon = threading.Timer(0.02, lambda: (tmp_path / "counter_1.db").write_bytes(bytes(4096)))
    soon.start()
    assert b"watchkeeper_serving_requests_total" in metrics.text(follower, Drained())
    soon.join()
