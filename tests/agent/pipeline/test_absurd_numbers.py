"""NaN, infinities and numbers whose square is one do not stop a turn of the watch; on both databases."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from agent.pipeline.watch import watch


def test_absurd_numbers_are_looked_at_and_stored(bench):
    bench.add_versions(False)
    now, count = bench.clock(), 250
    ages = np.random.default_rng(0).normal(50, 10, count)
    ages[::3], ages[1::7], ages[5], ages[6] = np.inf, np.nan, -np.inf, 1e308
    frame = pd.DataFrame(
        {
            "prediction_id": [f"q{i}" for i in range(count)],
            "timestamp": pd.date_range(now - timedelta(days=1, hours=23), periods=count, freq="10min"),
            "age": ages,
            "plan": "a",
            "prediction": 1.0,
            "score": np.where(np.arange(count) % 5 == 0, np.nan, 0.6),
            "model_version": "1",
        }
    )
    bench.services.log.append_predictions(bench.spec, frame, batch_id="absurd")
    labels = frame[["prediction_id"]].assign(label=np.arange(count) % 2, label_timestamp=frame["timestamp"])
    bench.services.log.append_labels(bench.spec, labels, batch_id="absurd", as_of=now)
    turns = [watch(bench.services, "churn", now + timedelta(hours=hours)) for hours in range(3)]
    assert all(turn.looked for turn in turns)
    assert turns[-1].incident is not None
