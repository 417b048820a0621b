"""`python -m benchmarks.estimation [--quick]`: how near the loss without labels is estimated, and when it abstains.

An error is |estimate - true mean loss|, in the loss's own unit (Brier, share of wrong answers), for regression in
standard deviations of the label. Beside it, on the same cases: taking the reference's loss as it is, and what as many
true labels of the shifted rows as the reference has would leave to chance.
"""

from __future__ import annotations

import argparse
import os
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.estimation.streams import BLIND, SHIFTS, STREAMS, Stream, make
from benchmarks.measure import archive, table
from ml.metrics import row_loss
from ml.monitors.estimation import estimate
from ml.results import Window

WINDOW = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=1))


@dataclass(frozen=True)
class Score:
    """One stream under one shift: means over seeds; None where there is nothing to average."""

    stream: str
    task: str
    real: str
    shift: str
    reference: int
    current: int
    runs: int
    abstained: int
    moved: float
    error: float | None
    labels: float
    covered: float | None


def score(stream: Stream, shift: str, reference: int, current: int, seeds: range) -> Score | None:
    """None where the stream has no such shift."""
    errors, moved, labels, covered = [], [], [], []
    for seed in seeds:
        case = make(stream, shift, reference, current, seed)
        if case is None:
            return None
        usual = float(row_loss(stream.spec, case.reference).mean())
        moved.append(abs(case.true - usual) / case.scale)
        spread = float(row_loss(stream.spec, case.current).std())
        labels.append(np.sqrt(2 / np.pi) * spread / np.sqrt(len(case.reference)) / case.scale)
        found = estimate(stream.spec, case.reference, case.current.assign(label=None), window=WINDOW)[0]
        if found.value is None or found.interval is None:
            continue
        errors.append(abs(float(found.facts["estimate"]) - case.true) / case.scale)
        covered.append(found.interval.low <= case.true - usual <= found.interval.high)
    return Score(
        stream.name, stream.spec.task.value, stream.real, shift, reference, current, len(moved),
        len(moved) - len(errors), float(np.mean(moved)), float(np.mean(errors)) if errors else None,
        float(np.mean(labels)), float(np.mean(covered)) if covered else None,
    )  # fmt: skip


def show(scores: list[Score], title: str) -> str:
    header = ["", "runs", "abstained", "loss moved by", "error", "of labels", "band holds %"]
    lines = [
        [
            f"{s.stream} ({s.real} {s.task}), {s.shift}, {s.reference:,} and {s.current:,} rows",
            s.runs, s.abstained, s.moved, s.error, s.labels, None if s.covered is None else f"{100 * s.covered:.0f}",
        ]
        for s in scores
    ]  # fmt: skip
    return table(title, header, lines)


def summary(scores: list[Score]) -> str:
    """Mean and largest cell by task and size, over the shifts in which only the inputs move."""
    lines = []
    for key in sorted({(s.task, s.reference, s.current) for s in scores}):
        cells = [s for s in scores if (s.task, s.reference, s.current) == key and s.shift in SHIFTS]
        errors = [s.error for s in cells if s.error is not None]
        lines.append(
            [
                f"{key[0]}, {key[1]:,} labelled reference rows, {key[2]:,} current",
                len(errors), float(np.mean(errors)), max(errors), float(np.mean([s.moved for s in cells])),
                float(np.mean([s.labels for s in cells])), f"{100 * np.mean([e <= 0.01 for e in errors]):.0f}",
            ]
        )  # fmt: skip
    header = ["covariate shift", "cells", "mean error", "largest cell", "as in reference", "of labels", "within 0.01 %"]
    return table("Estimate of the mean loss without labels", header, lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds, one size")
    parser.add_argument("--streams", nargs="+", default=list(STREAMS), choices=list(STREAMS))
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    sizes = ((2_000, 1_000),) if asked.quick else ((1_000, 1_000), (3_000, 2_000))
    seeds = range(2 if asked.quick else 5)
    scores = [
        found
        for name in asked.streams
        for reference, current in sizes
        for shift in (*SHIFTS, *BLIND)
        if (found := score(STREAMS[name](), shift, reference, current, seeds)) is not None
    ]
    results: dict[str, Any] = {"cells": [vars(s) for s in scores]}
    print(show([s for s in scores if s.shift in SHIFTS], "Only the inputs move"))
    print(show([s for s in scores if s.shift in ("no overlap", "new corner")], "No overlap: it must abstain"))
    print(
        show([s for s in scores if s.shift == "concept"], "The relation changes: it is blind, and so never reassures")
    )
    print(summary(scores))
    if not asked.quick:
        print(archive("estimation", results))


if __name__ == "__main__":
    main()
