"""`python -m benchmarks.watch`: a watch cycle over 100,000 rows x 20 features in the window."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pandas as pd

from benchmarks.measure import archive, in_fresh_process, table
from benchmarks.rows import START, log_rows, spec_of
from benchmarks.watch.arms import COLUMNS, WEEK
from ml.data.bins import make_bins
from ml.data.prediction_log import PredictionLog
from ml.data.profiles import profile_frame

ROWS = 100_000
BATCHES = 24


def prepare(home: Path) -> None:
    """A log with the reference week and the current one, labels, and the profiles that a workspace keeps."""
    spec, log = spec_of(COLUMNS), PredictionLog(home / "log")
    reference = log_rows(ROWS, COLUMNS, 1)
    current = log_rows(ROWS, COLUMNS, 2, drifted=True, first=START + WEEK)
    for number, frame in enumerate((reference, current)):
        size = len(frame) // BATCHES + 1
        for k in range(BATCHES):
            log.append_predictions(spec, frame.iloc[k * size : (k + 1) * size], batch_id=f"{number}-{k}")
    reference.to_parquet(home / "reference.parquet")
    current.to_parquet(home / "current.parquet")
    reference.sample(5_000, random_state=0).to_parquet(home / "healthy.parquet")
    bins = make_bins(spec, pd.read_parquet(home / "healthy.parquet"))
    past = [
        profile_frame(log_rows(5_000, COLUMNS, 100 + k, first=START - (k + 1) * timedelta(days=7)), bins)
        for k in range(20)
    ]
    data = {
        "reference": profile_frame(reference, bins).to_dict(),
        "history": [profile.to_dict(with_bins=False) for profile in past],
    }
    (home / "profiles.json").write_text(json.dumps(data))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        ours = in_fresh_process("benchmarks.watch.arms", "ours", folder)
        theirs = in_fresh_process("benchmarks.watch.arms", "evidently", folder)
    rows: list[Sequence[object]] = [
        [
            "Watchkeeper: read the log, learn the reference, every monitor",
            ours["seconds"],
            ours["cpu_seconds"],
            ours["peak_mb"],
        ],
        *[["  " + step, ours[step], None, None] for step in ("read", "reference", "look")],
        [
            "Evidently DataDriftPreset: drift alone, rows in memory",
            theirs["seconds"],
            theirs["cpu_seconds"],
            theirs["peak_mb"],
        ],
    ]
    title = (
        f"One watch cycle, {ROWS:,} rows x {COLUMNS} features in the window; fresh process, after imports, median of 3"
    )
    print(table(title, ["", "seconds", "of CPU", "peak MB"], rows))
    print(f"{theirs['seconds'] / ours['seconds']:.0f} times as fast")
    print(archive("watch", {"rows": ROWS, "features": COLUMNS, "ours": ours, "evidently": theirs}))


if __name__ == "__main__":
    main()
