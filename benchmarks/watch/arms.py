"""One arm in a process of its own: `ours DIRECTORY`, `stored DIRECTORY` or `evidently DIRECTORY`; prints JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path

import pandas as pd

from benchmarks.measure import peak_mb
from benchmarks.rows import START, spec_of

COLUMNS = 20
WEEK = timedelta(days=7)


def ours(home: Path) -> dict[str, float]:
    """Read the window from the log, profile it, check quality, drift and performance against the stored reference."""
    import deltalake
    import duckdb
    import pyarrow.parquet
    import scipy.special

    from ml.data.prediction_log import PredictionLog
    from ml.data.profiles import Profile
    from ml.monitors import rise as rises
    from ml.monitors.look import Baseline, whole_look
    from ml.results import Window

    assert all((deltalake, duckdb, pyarrow.parquet, scipy.special))  # imported, so that no time of theirs is ours
    spec, log = spec_of(COLUMNS), PredictionLog(home / "log")
    window = Window(START + WEEK, START + 2 * WEEK)
    data = json.loads((home / "profiles.json").read_text())
    healthy = pd.read_parquet(home / "healthy.parquet")
    bins = Profile.from_dict(data["reference"]).bins
    history = [Profile.from_dict(past, bins) for past in data["history"]]
    cpu, marks = time.process_time(), [time.perf_counter()]
    frame = log.read(spec, window, as_of=window.end)
    marks.append(time.perf_counter())
    baseline = Baseline(spec, healthy)
    assert baseline.bins.id == bins.id
    state = rises.begin(spec, healthy, "1")
    learned = (baseline.profile, baseline.moved, baseline.healthy.needed)
    marks.append(time.perf_counter())
    seen = whole_look(
        baseline, frame, recent=window, mature=window, at=window.end, history=history, rise=state, fresh=frame,
        passed=WEEK,
    )  # fmt: skip
    marks.append(time.perf_counter())
    assert all(learned)
    steps = dict(zip(("read", "reference", "look"), pd.Series(marks).diff()[1:], strict=True))
    took = {"seconds": marks[-1] - marks[0], "cpu_seconds": time.process_time() - cpu}
    return took | {"peak_mb": peak_mb(), "measurements": len(seen.measurements), **steps}


def evidently(home: Path) -> dict[str, float]:
    """`DataDriftPreset` with its defaults on the rows in memory: no reading, no performance."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    spec = spec_of(COLUMNS)
    names = list(spec.features)
    rows = [pd.read_parquet(home / f"{part}.parquet", columns=names) for part in ("reference", "current")]
    numeric = [name for name in names if name.startswith("n")]
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=[n for n in names if n not in numeric])
    start, cpu = time.perf_counter(), time.process_time()
    reference, current = (Dataset.from_pandas(frame, definition) for frame in rows)
    found = Report([DataDriftPreset()]).run(current, reference).dict()
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    return took | {"peak_mb": peak_mb(), "measurements": len(found["metrics"])}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    arm = {"ours": ours, "evidently": evidently}[sys.argv[1]]
    print(json.dumps(arm(Path(sys.argv[2]))))
