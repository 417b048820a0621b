"""Training on a Dask cluster: the same candidate, log, time limit and end on demand as in a process of its own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from agent.domain.errors import Refused, Unavailable
from agent.pipeline import afar
from agent.pipeline.apart import LOG
from ml.models.candidate import Numbers
from ml.models.registry import MODEL_PATH
from ml.spec import parse_spec
from tests.agent.conftest import SPEC, rows

TRAINERS = """
import os, time
from pathlib import Path

def slow(features, label, spec):
    Path({begun!r}).write_text(str(os.getpid()))
    time.sleep(600)

def broken(features, label, spec):
    print("about to divide")
    return 1 / 0
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("afar")


@pytest.fixture(scope="module")
def cluster(place) -> Iterator[str]:
    from distributed import LocalCluster

    (place / "afar_trainers.py").write_text(TRAINERS.format(begun=str(place / "begun")))
    sys.path.insert(0, str(place))
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "silence_logs": 50}
    try:
        with LocalCluster(n_workers=1, processes=True, **options) as started:
            yield started.scheduler_address
    finally:
        sys.path.remove(str(place))


def train(cluster, folder, trainer="sklearn:LogisticRegression", *, stopped=lambda: None, limit="5m", said=None):
    spec = parse_spec(SPEC.replace("sklearn:LogisticRegression", trainer))
    seconds = timedelta(minutes=5) if limit == "5m" else timedelta(seconds=limit)
    frame = rows(datetime(2026, 3, 1, tzinfo=UTC), 300)
    progress = (said if said is not None else []).append
    return afar.train_afar(
        spec, frame, folder, cluster=cluster, limit=seconds, stopped=stopped, progress=progress
    )  # fmt: skip


def test_a_candidate_comes_back_with_its_progress_and_its_log(cluster, tmp_path):
    said: list[str] = []
    made = train(cluster, tmp_path / "p-1" / "1", said=said)
    assert Numbers.read(made).metrics["accuracy"] > 0.8
    assert (made / MODEL_PATH / "MLmodel").exists()
    assert any(phase.startswith("fitting on") for phase in said), said
    assert (tmp_path / "p-1" / "1" / LOG).exists()


def test_what_the_trainer_says_when_it_fails_is_kept_here(cluster, tmp_path):
    folder = tmp_path / "p-1" / "1"
    with pytest.raises(Refused, match="ZeroDivisionError") as caught:
        train(cluster, folder, "afar_trainers:broken")
    assert f"Its log: {folder / LOG}" in str(caught.value)
    assert "about to divide" in (folder / LOG).read_text()


def test_an_end_on_demand_ends_it_on_the_cluster_too(cluster, place, tmp_path):
    begun = place / "begun"

    def stopped():
        return Refused("cancelled by ben") if begun.exists() and begun.read_text() else None

    with pytest.raises(Refused, match="cancelled by ben"):
        train(cluster, tmp_path / "p-1" / "1", "afar_trainers:slow", stopped=stopped)
    child, deadline = int(begun.read_text()), time.monotonic() + 60
    while _lives(child):
        assert time.monotonic() < deadline, "it trains on, for nobody"
        time.sleep(0.05)
    with pytest.raises(Refused, match=r"ran past training\.time_limit"):
        train(cluster, tmp_path / "p-2" / "1", "afar_trainers:slow", limit=3)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_cluster_that_is_away_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(afar, "PATIENCE", 0.5)
    with pytest.raises(Unavailable, match="cannot be reached"):
        train("tcp://127.0.0.1:1", tmp_path / "p-1" / "1")
