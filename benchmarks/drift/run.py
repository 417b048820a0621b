"""`python -m benchmarks.drift [--quick]`: speed and memory of drift verdicts. False alarms: `benchmarks.alarms`.

--quick: 100,000 x 20 only.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks.measure import archive, in_fresh_process, table
from benchmarks.rows import log_rows, spec_of
from ml.data.bins import make_bins
from ml.data.profiles import profile_frame

ARMS = {
    "stored": "Watchkeeper, reference profile stored",
    "anew": "Watchkeeper, reference computed anew",
    "bound": "NumPy bound: stored edges, numbers only, no verdict",
    "evidently": "Evidently DataDriftPreset",
}


def speed(rows: int, columns: int, runs: int) -> dict[str, dict[str, float]]:
    """Every arm on the same rows."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        reference = log_rows(rows, columns, 1).drop(columns=["prediction_id", "label"])
        log_rows(rows, columns, 2, drifted=True).drop(columns=["prediction_id", "label"]).to_parquet(
            home / "current.parquet"
        )
        reference.to_parquet(home / "reference.parquet")
        profile = profile_frame(reference, make_bins(spec_of(columns), reference))
        (home / "profile.json").write_text(json.dumps(profile.to_dict()))
        del reference
        found = {}
        for arm in ARMS:
            once = arm == "evidently" and rows > 100_000
            found[arm] = in_fresh_process(
                "benchmarks.drift.arms", arm, folder, str(columns), runs=1 if once else runs, timeout=3600
            )
        return found


def show_speed(found: dict[str, dict[str, float]], rows: int, columns: int) -> None:
    lines = []
    for arm, r in found.items():
        times = [found["evidently"][kind] / r[kind] for kind in ("seconds", "cpu_seconds")]
        lines.append([ARMS[arm], r["seconds"], r["cpu_seconds"], *times, r["above_rows_mb"], r["peak_mb"]])
    header = ["", "seconds", "of CPU", "times as fast", "by CPU", "MB above the rows", "peak MB"]
    print(table(f"Drift of {rows:,} rows x {columns} features against as many, rows in memory", header, lines))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 x 20 only")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    results: dict[str, Any] = {"speed": {}}
    for rows, columns in ((100_000, 20),) if asked.quick else ((100_000, 20), (1_000_000, 50)):
        results["speed"][f"{rows}x{columns}"] = found = speed(rows, columns, runs=3)
        show_speed(found, rows, columns)
    print(archive("drift-quick" if asked.quick else "drift", results))


if __name__ == "__main__":
    main()
