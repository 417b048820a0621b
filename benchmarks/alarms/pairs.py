"""How often two healthy samples are called drift where 5 % was asked for: a column alone, a run of columns, and a run
ranked among healthy windows that wander; Evidently's defaults on the same columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from ml.data.bins import make_bins
from ml.data.profiles import profile_frame
from ml.monitors.drift import compare, drift, drift_of_frames
from ml.results import Status, Window
from ml.spec import ModelSpec, parse_spec

SIZES = (200, 1_000, 5_000, 50_000)
LEVELS = (2, 10, 100, 1_000)
USUAL = 0.1  # "PSI above 0.1", as it is taught
WEEK = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC))
Draw = Callable[[np.random.Generator, int], np.ndarray]


def _categories(levels: int, skew: float) -> Draw:
    names = np.array([f"level {k}" for k in range(levels)], dtype=object)
    weight = 1 / np.arange(1, levels + 1) ** skew
    return lambda rng, n: names[rng.choice(levels, n, p=weight / weight.sum())]


NUMBERS: dict[str, Draw] = {
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "heavy tails (t, 1.5)": lambda rng, n: rng.standard_t(1.5, n),
    "ties (Poisson 2)": lambda rng, n: rng.poisson(2, n).astype(float),
    "a fifth missing": lambda rng, n: np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
    "half zero": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n)),
}
COLUMNS: dict[str, Draw] = {
    **NUMBERS,
    **{f"{k:,} categories": _categories(k, 0.7) for k in LEVELS},
    "100 categories, skewed": _categories(100, 1.5),
    "1,000 categories, skewed": _categories(1_000, 1.5),
}
QUICK = ("lognormal", "ties (Poisson 2)", "a fifth missing", "10 categories", "1,000 categories")


def spec_of(kinds: dict[str, str]) -> ModelSpec:
    """One column of each kind; no floor, so that only the level decides."""
    listed = "".join(f"  {name}: {{type: {kind}}}\n" for name, kind in kinds.items())
    return parse_spec(
        f"name: m\ntask: regression\nmonitors: {{drift: {{floor: 0}}}}\nfeatures:\n{listed}", source="pairs"
    )


def column_rate(column: str, n: int, m: int, draws: int, seed: int) -> tuple[float, float, int]:
    """Share of false alarms of ours, and of PSI > 0.1 on the same bins; and how many pairs could be tested."""
    rng = np.random.default_rng([seed, n, m, list(COLUMNS).index(column)])
    spec = spec_of({"x": "numeric" if column in NUMBERS else "categorical"})
    ours = usual = tested = 0
    for _ in range(draws):
        reference, current = (pd.DataFrame({"x": COLUMNS[column](rng, rows)}) for rows in (n, m))
        bins = make_bins(spec, reference)
        result = compare(profile_frame(reference, bins).column("x"), profile_frame(current, bins).column("x"))
        if not isinstance(result, str):
            tested += 1
            ours += result.p_value <= 0.05
            usual += result.psi > USUAL
    return ours / max(tested, 1), usual / max(tested, 1), tested


def run_rate(n: int, m: int, draws: int, seed: int) -> float:
    """Share of runs of all the columns at once, none of which moved, that say any of them did."""
    rng = np.random.default_rng([seed, n, m])
    names = {f"x{j}": name for j, name in enumerate(COLUMNS)}
    spec = spec_of({x: "numeric" if name in NUMBERS else "categorical" for x, name in names.items()})
    alarms = 0
    for _ in range(draws):
        reference, current = (pd.DataFrame({x: COLUMNS[c](rng, rows) for x, c in names.items()}) for rows in (n, m))
        alarms += any(f.status is Status.BREACH for f in drift_of_frames(spec, reference, current, WEEK))
    return alarms / draws


def ranked_rate(size: int, columns: int, draws: int, seed: int, *, wander: float = 0.25) -> tuple[float, float]:
    """Share of runs with any alarm where healthy windows wander (their means by `wander` standard deviations): ranked
    among 20 healthy windows, and with the tests for independent rows."""
    rng = np.random.default_rng([seed, size, columns])
    spec = spec_of({f"x{j}": "numeric" for j in range(columns)})
    reference = pd.DataFrame({f"x{j}": rng.normal(size=5_000) for j in range(columns)})
    bins = make_bins(spec, reference)
    mine = profile_frame(reference, bins)

    def window() -> pd.DataFrame:
        return pd.DataFrame({f"x{j}": rng.normal(rng.normal(0, wander), 1, size) for j in range(columns)})

    ranked = tested = 0
    for _ in range(draws):
        *history, current = (profile_frame(window(), bins) for _ in range(21))
        ranked += any(m.status is Status.BREACH for m in drift(spec, mine, current, window=WEEK, history=history))
        tested += any(m.status is Status.BREACH for m in drift(spec, mine, current, window=WEEK))
    return ranked / draws, tested / draws


def evidently_rate(column: str, n: int, m: int, copies: int, seed: int) -> float:
    """Evidently's defaults on so many healthy columns at once."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    rng = np.random.default_rng([seed, n, m, list(COLUMNS).index(column)])
    frames = [pd.DataFrame({f"x{j}": COLUMNS[column](rng, rows) for j in range(copies)}) for rows in (n, m)]
    listed = list(frames[0])
    numeric = column in NUMBERS
    definition = DataDefinition(numerical_columns=listed) if numeric else DataDefinition(categorical_columns=listed)
    reference, current = (Dataset.from_pandas(frame, definition) for frame in frames)
    for metric in Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]:
        if isinstance(metric["value"], dict) and "share" in metric["value"]:
            return float(metric["value"]["share"])
    return float("nan")


def sizes(quick: bool) -> list[tuple[int, int]]:
    """Reference and current rows: equal, and either of them larger."""
    found = [(size, size) for size in (SIZES[:3] if quick else SIZES)]
    return found + ([(5_000, 200)] if quick else [(5_000, 200), (200, 5_000), (50_000, 1_000), (1_000, 50_000)])
