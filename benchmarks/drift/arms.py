"""One arm in a process of its own: `ARM DIRECTORY COLUMNS`, on the Parquet files there; prints JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import peak_mb
from benchmarks.rows import START, spec_of
from ml.results import Window

WINDOW = Window(START, START + timedelta(days=7))
BLOCK = 32_768
Work = Callable[[], object]


def load(home: Path, part: str) -> pd.DataFrame:
    return pd.read_parquet(home / f"{part}.parquet")


def anew(home: Path, columns: int) -> Work:
    """Bins and profiles of both sides from rows in memory, then calibrated verdicts."""
    from scipy import special

    from ml.monitors.drift import drift_of_frames

    assert special.chdtrc(1, 1.0)
    spec, reference, current = spec_of(columns), load(home, "reference"), load(home, "current")
    return lambda: drift_of_frames(spec, reference, current, WINDOW)


def stored(home: Path, columns: int) -> Work:
    """The reference's profile read back from JSON; only the current window is looked at."""
    from scipy import special

    from ml.data.profiles import Profile, profile_frame
    from ml.monitors.drift import drift

    assert special.chdtrc(1, 1.0)
    reference = Profile.from_dict(json.loads((home / "profile.json").read_text()))
    current = load(home, "current")
    spec = spec_of(columns)
    return lambda: drift(spec, reference, profile_frame(current, reference.bins), window=WINDOW)


def bound(home: Path, columns: int) -> Work:
    """Plain NumPy: nine stored edges per numeric column, compare and count in blocks. No categories, no verdict."""
    reference, current = load(home, "reference"), load(home, "current")
    names = [name for name in current if str(name).startswith("n")]
    edges = [np.quantile(reference[name].to_numpy(), np.linspace(0, 1, 11)[1:-1]) for name in names]
    arrays = [np.ascontiguousarray(current[name].to_numpy()) for name in names]

    def count() -> None:
        for values, cuts in zip(arrays, edges, strict=True):
            found = np.zeros(len(cuts), np.int64)
            for i in range(0, len(values), BLOCK):
                block = values[i : i + BLOCK]
                for j, cut in enumerate(cuts):
                    found[j] += np.count_nonzero(block <= cut)

    return count


def evidently(home: Path, columns: int) -> Work:
    """`DataDriftPreset` with its defaults."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = list(spec_of(columns).features)
    reference, current = load(home, "reference")[names], load(home, "current")[names]
    numeric = [name for name in names if name.startswith("n")]
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=[n for n in names if n not in numeric])

    def run() -> object:
        rows = [Dataset.from_pandas(frame, definition) for frame in (current, reference)]
        return Report([DataDriftPreset()]).run(*rows).dict()

    return run


ARMS = {"anew": anew, "stored": stored, "bound": bound, "evidently": evidently}

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    work = ARMS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
    loaded = peak_mb()
    start, cpu = time.perf_counter(), time.process_time()
    work()
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps(took | {"peak_mb": peak_mb(), "above_rows_mb": peak_mb() - loaded}))
