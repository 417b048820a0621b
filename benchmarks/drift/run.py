"""`python -m benchmarks.drift [--quick | --full | --speed]`: speed, memory and false alarms of drift verdicts.

--quick: 100,000 x 20 only. --full: also Evidently's false alarms. --speed: no false alarms.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks.drift.alarms import LEVELS, SIZES, evidently_rate, rates
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


def false_alarms(quick: bool, beside_evidently: bool) -> list[dict[str, Any]]:
    cells = []
    for size in SIZES[:3] if quick else SIZES:
        for n, m in ((size, size), (5_000, size), (size, 5_000)) if size != 5_000 else ((size, size),):
            for levels in LEVELS:
                draws = 200 if quick else 2_000 if max(n, m) <= 5_000 else 500
                ours, usual, tested = rates(n, m, levels, draws, seed=7)
                cell: dict[str, Any] = {"n": n, "m": m, "levels": levels, "ours": ours, "usual": usual, "draws": tested}
                if beside_evidently and max(n, m) <= 5_000:
                    cell["evidently"] = evidently_rate(n, m, levels, 40, seed=7)
                cells.append(cell)
    return cells


def show_alarms(cells: list[dict[str, Any]]) -> None:
    beside = any("evidently" in cell for cell in cells)
    header = ["reference, current rows; column", "ours %", "PSI > 0.1 %", *(["Evidently %"] if beside else []), "pairs"]
    lines = []
    for cell in cells:
        kind = f"{cell['levels']:,} categories" if cell["levels"] else "numeric"
        theirs = [100 * cell["evidently"] if "evidently" in cell else None] if beside else []
        shares = [100 * cell["ours"], 100 * cell["usual"], *theirs]
        lines.append(
            [
                f"{cell['n']:,}, {cell['m']:,}; {kind}",
                *(None if s is None else f"{s:.1f}" for s in shares),
                cell["draws"],
            ]
        )
    print(table("False alarms on healthy pairs, 5 % asked for", header, lines))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--quick", action="store_true", help="100,000 x 20 only")
    choice.add_argument("--full", action="store_true", help="also Evidently's false alarms")
    choice.add_argument("--speed", action="store_true", help="no false alarms")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    results: dict[str, Any] = {"speed": {}}
    for rows, columns in ((100_000, 20),) if asked.quick else ((100_000, 20), (1_000_000, 50)):
        results["speed"][f"{rows}x{columns}"] = found = speed(rows, columns, runs=3)
        show_speed(found, rows, columns)
    if not asked.speed:
        results["false_alarms"] = cells = false_alarms(asked.quick, beside_evidently=asked.full)
        show_alarms(cells)
    name = "drift-quick" if asked.quick else "drift-speed" if asked.speed else "drift"
    print(archive(name, results))


if __name__ == "__main__":
    main()
