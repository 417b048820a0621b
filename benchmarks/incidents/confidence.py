"""`python -m benchmarks.incidents.confidence DOCUMENT…`: the table from vote share to probability, fitted anew.

Isotonic on whether the intended action was right, from runs whose seeds are not the ones that are reported. Every step
of the table is drawn towards its neighbours by a few cases each way, so that no share of votes is ever called certain.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import ml.diagnosis

STEPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
OUT = Path(ml.diagnosis.__file__).with_name("confidence.json")
PRIOR_ROWS, PRIOR_HIT = 6.0, 0.5


def fit(share: np.ndarray, right: np.ndarray) -> list[float]:
    """Probabilities at `STEPS`, never falling: isotonic over the steps' hit rates, each with a few imagined cases."""
    from sklearn.isotonic import IsotonicRegression

    place = np.clip(np.searchsorted(STEPS, share, side="right") - 1, 0, len(STEPS) - 1)
    n = np.bincount(place, minlength=len(STEPS)).astype(float)
    hits = np.bincount(place, weights=right, minlength=len(STEPS))
    usual = PRIOR_HIT + (float(right.mean()) - PRIOR_HIT) * np.array(STEPS)
    rate = (hits + PRIOR_ROWS * usual) / (n + PRIOR_ROWS)
    fitted = IsotonicRegression(y_min=0.0, y_max=0.99).fit_transform(STEPS, rate, sample_weight=n + PRIOR_ROWS)
    return [round(float(p), 3) for p in fitted]


def main() -> None:
    documents = [json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:]]
    rows = [row for document in documents for row in document["rows"]["watchkeeper"]]
    share = np.array([row["share"] for row in rows], dtype=float)
    right = np.array([row["intended_right"] for row in rows], dtype=float)
    seeds = sorted({seed for document in documents for seed in document["seeds"]})
    made = f"benchmarks.incidents, seed {', '.join(map(str, seeds))}, {len(rows)} incidents"
    table = {"made": made, "share": list(STEPS), "probability": fit(share, right)}
    OUT.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(table) + "\n")


if __name__ == "__main__":
    main()
