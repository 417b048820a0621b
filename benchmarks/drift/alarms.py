"""How often a healthy pair of samples is called drift, where 5 % was asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.data.bins import make_bins
from ml.data.profiles import profile_frame
from ml.monitors.drift import compare
from ml.spec import parse_spec

SIZES = (200, 1_000, 5_000, 50_000)
LEVELS = (0, 2, 10, 100, 1_000)  # 0: a numeric column
USUAL = 0.1  # "PSI above 0.1", as it is taught


def rates(n: int, m: int, levels: int, draws: int, seed: int) -> tuple[float, float, int]:
    """Share of false alarms of ours, and of PSI > 0.1 on the same bins; and how many pairs could be tested."""
    rng = np.random.default_rng([seed, n, m, levels])
    kind = "categorical" if levels else "numeric"
    spec = parse_spec(f"name: m\ntask: regression\nfeatures:\n  x: {{type: {kind}}}\n")
    names = np.array([f"level {k}" for k in range(levels)], dtype=object)
    weights = 1 / np.arange(1, levels + 1) ** 0.7 if levels else np.ones(1)
    ours = usual = tested = 0
    for _ in range(draws):
        both = names[rng.choice(levels, n + m, p=weights / weights.sum())] if levels else rng.lognormal(size=n + m)
        reference, current = pd.DataFrame({"x": both[:n]}), pd.DataFrame({"x": both[n:]})
        bins = make_bins(spec, reference)
        result = compare(profile_frame(reference, bins).column("x"), profile_frame(current, bins).column("x"))
        if not isinstance(result, str):
            tested += 1
            ours += result.p_value <= 0.05
            usual += result.psi > USUAL
    return ours / max(tested, 1), usual / max(tested, 1), tested


def evidently_rate(n: int, m: int, levels: int, columns: int, seed: int) -> float:
    """Evidently's defaults on so many healthy columns at once."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    rng = np.random.default_rng([seed, n, m, levels])
    weights = 1 / np.arange(1, levels + 1) ** 0.7 if levels else np.ones(1)
    names = np.array([f"level {k}" for k in range(levels)], dtype=object)

    def draw(rows: int) -> pd.DataFrame:
        if not levels:
            return pd.DataFrame({f"x{j}": rng.lognormal(size=rows) for j in range(columns)})
        return pd.DataFrame(
            {f"x{j}": names[rng.choice(levels, rows, p=weights / weights.sum())] for j in range(columns)}
        )

    frames = draw(n), draw(m)
    listed = list(frames[0])
    definition = DataDefinition(categorical_columns=listed) if levels else DataDefinition(numerical_columns=listed)
    reference, current = (Dataset.from_pandas(frame, definition) for frame in frames)
    for metric in Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]:
        if isinstance(metric["value"], dict) and "share" in metric["value"]:
            return float(metric["value"]["share"])
    return float("nan")
