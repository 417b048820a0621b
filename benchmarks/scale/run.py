"""`python -m benchmarks.scale [--quick]`: profiles of a log of up to 10,000,000 rows x 20 columns, and their merging.

--quick: up to 1,000,000 rows. Makes a log of 1.6 GB in the temporary folder, and removes it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import archive, in_fresh_process, table, timed
from benchmarks.rows import START, log_rows, spec_of
from benchmarks.scale.arms import COLUMNS
from ml.data.bins import make_bins
from ml.data.prediction_log import PredictionLog
from ml.data.profiles import merge, profile_frame

SIZES = (100_000, 1_000_000, 10_000_000)
BATCH = 250_000
ROWS_A_DAY = 333_333
"""The same traffic at every size: ten times the rows are ten times the days."""
ARMS = {
    "hourly": "Watchkeeper: every column by the hour, with sums and extremes",
    "kept": "the next look, an hour later: the other hours kept",
    "histogram": "DuckDB histogram(x, edges), counts by level; no hours, no sums",
    "numpy": "NumPy: read, compare, count; numbers only, one thread, no hours",
    "read": "read every value with Arrow, do nothing",
}


def log_of(home: Path, rows: int) -> None:
    """A log on disk, written in batches as it would come in."""
    spec, log = spec_of(COLUMNS), PredictionLog(home / "log")
    size = min(BATCH, rows)
    length = timedelta(days=size / ROWS_A_DAY)
    for k in range(rows // size):
        part = log_rows(size, COLUMNS, k, first=START + k * length, length=length)
        if k == 0:
            bins = make_bins(spec, part.head(100_000))
            (home / "bins.json").write_text(json.dumps(bins.to_dict()))
        log.append_predictions(spec, part.drop(columns="label"), batch_id=str(k))


def merging(days: int = 90, columns: int = 100) -> dict[str, float]:
    """Adding up the daily and the hourly profiles of a quarter: seconds, the median of several times."""
    spec = spec_of(columns)
    frame = log_rows(2_000, columns, 3)
    bins = make_bins(spec, frame)
    daily = [profile_frame(frame.iloc[k * 20 : k * 20 + 20], bins) for k in range(days)]
    hourly = daily * 24
    return {
        "daily": float(np.median([timed(lambda: merge(daily)) for _ in range(9)])),
        "hourly": float(np.median([timed(lambda: merge(hourly)) for _ in range(5)])),
    }


def measured(rows: int, arms: tuple[str, ...], runs: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        log_of(Path(folder), rows)
        print(f"A log of {rows:,} rows x {COLUMNS} features, written in {time.perf_counter() - start:.0f} s")
        return {arm: in_fresh_process("benchmarks.scale.arms", arm, folder, runs=runs) for arm in arms}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to 1,000,000 rows")
    asked = parser.parse_args()
    sizes = SIZES[:2] if asked.quick else SIZES
    found = {rows: measured(rows, tuple(ARMS) if rows == sizes[-1] else ("hourly", "kept"), runs=3) for rows in sizes}
    lines: list[list[object]] = []
    for rows, arms in found.items():
        lines.append([f"{rows:,} rows", None, None, None, None])
        for arm, r in arms.items():
            each = 1e6 * r["cpu_seconds"] / rows
            lines.append(
                ["  " + ARMS[arm], r["seconds"], r["cpu_seconds"], None if arm == "kept" else each, r["peak_mb"]]
            )
    numbers = COLUMNS * 4 // 5
    title = f"Profiling a log of {numbers} numbers and {COLUMNS - numbers} categories; fresh process, median of 3"
    print(table(title, ["", "seconds", "of CPU", "CPU us a row", "peak MB"], lines))
    cold = found[sizes[-1]]["hourly"]["first_statements"]
    print(f"Once per bin set: compiling the statements and an hour of rows, {cold:.2f} s")
    merged = merging()
    print(
        f"Merging 90 days x 100 features: daily profiles {merged['daily'] * 1e3:.1f} ms, "
        f"hourly profiles {merged['hourly'] * 1e3:.0f} ms"
    )
    results: dict[str, Any] = {
        "features": COLUMNS,
        "merge": merged,
        "sizes": {str(n): arms for n, arms in found.items()},
    }
    print(archive("scale-quick" if asked.quick else "scale", results))


if __name__ == "__main__":
    main()
