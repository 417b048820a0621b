"""Of many rows a few, the same ones whoever takes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ml.data.prediction_log import PredictionLog
from ml.data.sample import sample_frame
from ml.results import Window
from ml.spec import parse_spec

SPEC = parse_spec("name: m\ntask: regression\nfeatures:\n  x: {type: numeric}\n")
START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_log_read_in_part(tmp_path: Path) -> None:
    n = 4_000
    times = pd.Timestamp(START) + pd.to_timedelta(np.arange(n), unit="s")
    frame = pd.DataFrame(
        {"prediction_id": [f"p{k}" for k in range(n)], "timestamp": times, "x": 1.0, "prediction": 0.0}
    )
    log = PredictionLog(tmp_path)
    log.append_predictions(SPEC, frame, batch_id="1")
    labels = frame[["prediction_id"]].assign(label=np.arange(n, dtype=float))
    log.append_labels(SPEC, labels, batch_id="l", as_of=START + timedelta(days=1))

    whole = log.read(SPEC, None)
    assert len(log.read(SPEC, None, most=n)) == n
    some, fewer = (log.read(SPEC, None, most=k) for k in (1_000, 300))
    assert 900 < len(some) < 1_100
    assert 250 < len(fewer) < 350
    assert set(fewer["prediction_id"]) <= set(some["prediction_id"])
    assert some["timestamp"].is_monotonic_increasing
    smallest = sample_frame(whole, len(some)).sort_values("timestamp")
    pd.testing.assert_frame_equal(some, smallest.reset_index(drop=True))  # labels too

    window = Window(START, START + timedelta(seconds=500))
    assert len(log.read(SPEC, window, most=500)) == 500
    assert 60 < len(log.read(SPEC, window, most=100)) < 140
