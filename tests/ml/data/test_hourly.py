"""A window is the sum of its hours: kept, counted again where rows came, here or on a cluster that loses a worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.data.bins import BinSet, make_bins
from ml.data.cluster import map_parts
from ml.data.hourly import Hour, profile_windows
from ml.data.prediction_log import PredictionLog
from ml.data.profiles import Profile, profile_frame
from ml.errors import Unavailable
from ml.results import Window
from ml.spec import parse_spec

SPEC = parse_spec(
    "name: loans\ntask: binary\nfeatures:\n  x: {type: numeric}\n  c: {type: categorical}\n  note: {type: text}\n"
)
START = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)


def rows(hours: int, per_hour: int = 20, first: datetime = START, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = hours * per_hour
    return pd.DataFrame(
        {
            "prediction_id": [f"{seed}-{k}" for k in range(n)],
            "timestamp": pd.Timestamp(first) + pd.to_timedelta(np.arange(n) * 3600 / per_hour, unit="s"),
            "x": rng.lognormal(size=n),
            "c": rng.choice(["a", "b", "c"], n),
            "note": rng.choice(["one two", "three", ""], n),
            "prediction": rng.choice(["0", "1"], n),
            "score": rng.random(n),
            "model_version": "1",
        }
    )


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    log = PredictionLog(tmp_path / "log")
    frame = rows(72)
    for day in range(3):
        log.append_predictions(SPEC, frame.iloc[day * 480 : (day + 1) * 480], batch_id=str(day))
    return log


@pytest.fixture
def bins() -> BinSet:
    return make_bins(SPEC, rows(24, seed=9))


def of(log: PredictionLog, bins: BinSet, *windows: Window) -> Profile:
    """What memory counts of the same rows."""
    return profile_frame(pd.concat([log.read(SPEC, window) for window in windows]), bins)


def assert_same(a: Profile, b: Profile) -> None:
    assert a.counts.tolist() == b.counts.tolist()
    assert (a.rows, a.first, a.last, a.labelled) == (b.rows, b.first, b.last, b.labelled)
    assert a.extremes.tolist() == b.extremes.tolist()
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.joint, b.joint, rtol=1e-9, atol=1e-9)


WINDOW = Window(START + timedelta(hours=3, minutes=20), START + timedelta(hours=50, minutes=7))


def test_hours_are_counted_once(log: PredictionLog, bins: BinSet) -> None:
    first = profile_windows(log, SPEC, [WINDOW], bins)
    assert_same(first.profile, of(log, bins, WINDOW))
    assert len(first.hours) == 46
    again = profile_windows(log, SPEC, [WINDOW], bins, kept=first.hours)
    assert again.hours == {}
    assert_same(again.profile, first.profile)
    later = Window(WINDOW.start + timedelta(hours=2), WINDOW.end + timedelta(hours=2))
    moved = profile_windows(log, SPEC, [later], bins, kept=first.hours)
    assert len(moved.hours) == 2
    assert_same(moved.profile, of(log, bins, later))


def test_what_is_kept_is_what_is_used(log: PredictionLog, bins: BinSet) -> None:
    """A test of the test before: were the kept hours not used, their being empty would not be seen."""
    first = profile_windows(log, SPEC, [WINDOW], bins)
    emptied = {hour: Hour(seen.fingerprint, None) for hour, seen in first.hours.items()}
    assert profile_windows(log, SPEC, [WINDOW], bins, kept=emptied).profile.rows == of(log, bins, WINDOW).rows - 46 * 20


def test_rows_that_come_late_count_their_hours_again(log: PredictionLog, bins: BinSet) -> None:
    first = profile_windows(log, SPEC, [WINDOW], bins)
    late = rows(2, per_hour=5, first=START + timedelta(hours=10), seed=3)
    log.append_predictions(SPEC, late, batch_id="late")
    again = profile_windows(log, SPEC, [WINDOW], bins, kept=first.hours)
    assert 2 <= len(again.hours) <= 3
    assert_same(again.profile, of(log, bins, WINDOW))
    assert again.profile.rows == first.profile.rows + 10


def test_labels_touch_only_the_joint_table(log: PredictionLog, bins: BinSet) -> None:
    first = profile_windows(log, SPEC, [WINDOW], bins, labels=True)
    assert first.profile.labelled == 0
    known = log.read(SPEC, WINDOW)[["prediction_id"]].assign(label="1")
    log.append_labels(SPEC, known, batch_id="l", as_of=START + timedelta(days=9))
    again = profile_windows(log, SPEC, [WINDOW], bins, kept=first.hours, labels=True)
    assert again.hours == {}
    assert_same(again.profile, of(log, bins, WINDOW))
    assert again.profile.labelled == again.profile.rows
    before = profile_windows(log, SPEC, [WINDOW], bins, kept=first.hours, labels=True, as_of=START + timedelta(days=8))
    assert before.profile.labelled == 0


def test_several_windows_and_what_is_not_over(log: PredictionLog, bins: BinSet) -> None:
    other = Window(START + timedelta(hours=52, minutes=5), START + timedelta(hours=52, minutes=25))
    windows = [Window(START - timedelta(days=2), START + timedelta(hours=1, minutes=10)), WINDOW, other]
    assert_same(profile_windows(log, SPEC, windows, bins).profile, of(log, bins, *windows))
    now = WINDOW.start + timedelta(hours=5, minutes=11)
    seen = profile_windows(log, SPEC, [WINDOW], bins, as_of=now)
    assert_same(seen.profile, of(log, bins, Window(WINDOW.start, now)))
    assert profile_windows(log, SPEC, [WINDOW], bins, as_of=WINDOW.start).profile.rows == 0
    nothing = Window(START - timedelta(days=9), START - timedelta(days=8))
    assert profile_windows(PredictionLog(log.uri + "-other"), SPEC, [nothing], bins).profile.rows == 0


class Fatal(PredictionLog):
    """A log whose first reader is killed while it reads."""

    def __init__(self, uri: str, marker: str) -> None:
        super().__init__(uri)
        self.marker = marker

    def __reduce__(self) -> Any:
        return Fatal, (self.uri, self.marker)

    def scan(self, *args: Any, **options: Any) -> Any:
        try:
            os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return super().scan(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        silence_logs=50,
    ) as started:
        yield started.scheduler_address


def test_a_worker_that_is_killed_costs_time_and_no_row(
    log: PredictionLog, bins: BinSet, cluster: str, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"
    seen = profile_windows(Fatal(log.uri, str(marker)), SPEC, [WINDOW], bins, cluster=cluster)
    assert marker.exists()
    here = profile_windows(log, SPEC, [WINDOW], bins)
    assert_same(seen.profile, here.profile)
    assert seen.hours.keys() == here.hours.keys()


def test_parts_keep_their_order_and_errors_come_back(cluster: str) -> None:
    for where in (None, cluster):
        assert map_parts(where, abs, [-1, 2, -3]) == [1, 2, 3]
        assert map_parts(where, abs, []) == []
        with pytest.raises(ValueError, match="invalid literal"):
            map_parts(where, int, ["1", "x"])


def test_a_cluster_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.data.cluster.PATIENCE", 0.5)
    with pytest.raises(Unavailable, match=r"tcp://127\.0\.0\.1:9 cannot be reached .*; check CLUSTER"):
        map_parts("tcp://127.0.0.1:9", abs, [1])
    with pytest.raises(Unavailable, match="check CLUSTER"):
        map_parts("nonsense://", abs, [1])


def test_a_cluster_without_workers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr("ml.data.cluster.PATIENCE", 3)
    empty = LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", host="127.0.0.1", silence_logs=50)
    with empty, pytest.raises(Unavailable, match="has no workers"):
        map_parts(empty.scheduler_address, abs, [1])
