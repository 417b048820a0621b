"""Seeded log rows of any size: four fifths of the features numbers, one fifth categories of 10 to 50 levels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from ml.spec import ModelSpec, parse_spec

START = datetime(2026, 1, 1, tzinfo=UTC)


def spec_of(columns: int) -> ModelSpec:
    numeric = columns * 4 // 5
    lines = [f"  n{j}: {{type: numeric}}" for j in range(numeric)]
    lines += [f"  c{j}: {{type: categorical}}" for j in range(columns - numeric)]
    return parse_spec("name: bench\ntask: binary\nwindow: 7d\nfeatures:\n" + "\n".join(lines))


def log_rows(
    rows: int,
    columns: int,
    seed: int,
    *,
    drifted: bool = False,
    first: datetime = START,
    length: timedelta = timedelta(days=7),
) -> pd.DataFrame:
    """A window of `rows`, evenly spread over `length`; half of the columns moved a little if `drifted`."""
    rng = np.random.default_rng(seed)
    numeric = columns * 4 // 5
    step = length.total_seconds() * 1e6 / rows
    times = pd.to_datetime(
        int(first.timestamp() * 1e6) + (np.arange(rows) * step).astype(np.int64), unit="us", utc=True
    )
    data: dict[str, object] = {
        "prediction_id": [f"{seed}-{k}" for k in range(rows)],
        "timestamp": pd.Series(times).dt.as_unit("us"),
    }
    draws = (rng.standard_normal, lambda n: rng.lognormal(0, 1, n), rng.random, lambda n: rng.gamma(2, 2, n))
    for j in range(numeric):
        x = np.asarray(draws[j % 4](rows))
        data[f"n{j}"] = x + (0.2 * x.std() if drifted and j % 2 == 0 else 0)
    for j in range(columns - numeric):
        levels = 10 + (j * 7) % 41
        weights = 1 / np.arange(1, levels + 1) ** 0.7
        if drifted and j % 2 == 0:
            weights *= np.linspace(1.5, 0.7, levels)
        names = np.array([f"level {k}" for k in range(levels)], dtype=object)
        data[f"c{j}"] = names[rng.choice(levels, rows, p=weights / weights.sum())]
    score = rng.random(rows)
    outcome = np.array(["0", "1"], dtype=object)
    data |= {"prediction": outcome[(score > 0.5).astype(int)], "score": score, "model_version": "1"}
    data["label"] = outcome[(rng.random(rows) < score).astype(int)]
    return pd.DataFrame(data)
