"""`python -m benchmarks.alarms [--quick | --pairs | --quarters]`: false alarms, and how soon harm is seen.

Pairs: healthy samples at nominal 5 %. Quarters: 90 days of daily looks at healthy streams, every monitor and alert rule
of the watch; then +5 points of error at 500 labels a day. --quick: a tenth of it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from benchmarks.alarms import pairs
from benchmarks.alarms.quarter import Quarter, watch_days
from benchmarks.alarms.streams import KINDS, stream
from benchmarks.measure import archive, table

DAYS, HARM, FELL = 90, 0.05, 15
LONGEST = 25
HARMED = ("steady", "jitter", "wander", "hearts")


def pair_cells(quick: bool) -> list[dict[str, Any]]:
    """Every column shape at every pair of sizes."""
    cells = []
    for n, m in pairs.sizes(quick):
        for column in pairs.QUICK if quick else pairs.COLUMNS:
            draws = 200 if quick else 1_200 if max(n, m) <= 5_000 else 400
            ours, usual, tested = pairs.column_rate(column, n, m, draws, seed=11)
            cell: dict[str, Any] = {
                "n": n, "m": m, "column": column, "ours": ours, "usual": usual, "pairs": tested
            }  # fmt: skip
            if max(n, m) <= 5_000 and not (quick and n != m):
                cell["evidently"] = pairs.evidently_rate(column, n, m, 40, seed=11)
            cells.append(cell)
    return cells


def run_cells(quick: bool) -> list[dict[str, Any]]:
    """Runs of all the columns at once, and runs ranked among healthy windows."""
    found: list[dict[str, Any]] = []
    draws = 100 if quick else 500
    for n, m in pairs.sizes(quick):
        if max(n, m) <= 5_000:
            found.append({"what": "tests", "n": n, "m": m, "ours": pairs.run_rate(n, m, draws, seed=12), "runs": draws})
    for size, columns in ((500, 8),) if quick else ((200, 8), (500, 8), (2_000, 20)):
        ranked, tested = pairs.ranked_rate(size, columns, draws, seed=13)
        found.append({"what": "ranks", "n": size, "m": columns, "ours": ranked, "tests": tested, "runs": draws})
    return found


def one(kind: str, seed: int, fell: int | None) -> Quarter:
    """One stream from its first day to its last."""
    warnings.filterwarnings("ignore")
    made = stream(kind, seed)
    if fell is None:
        return watch_days(made, DAYS)
    return watch_days(made, FELL + LONGEST, harm=HARM, fell=FELL, stop=True)


def quarters(kinds: tuple[str, ...], streams: int, fell: int | None, workers: int) -> dict[str, list[Quarter]]:
    """So many streams of each kind."""
    jobs = [(kind, 1_000 + seed) for seed in range(streams) for kind in kinds]
    found: dict[str, list[Quarter]] = {kind: [] for kind in kinds}
    start = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(one, kind, seed, fell) for kind, seed in jobs]
        for number, ((kind, _), job) in enumerate(zip(jobs, waiting, strict=True), 1):
            found[kind].append(job.result())
            if number % 20 == 0:
                print(f"  {number} of {len(jobs)} streams, {time.perf_counter() - start:.0f} s", flush=True)
    return found


def healthy_cell(kind: str, found: list[Quarter]) -> dict[str, Any]:
    """Runs with any alert, by family."""
    families = Counter(family for q in found for family in {name.split(".")[0] for name in q.alarms})
    named = Counter(name for q in found for name in q.alarms)
    return {
        "kind": kind,
        "streams": len(found),
        "any": sum(bool(q.alarms) for q in found) / len(found),
        **{family: families[family] / len(found) for family in ("quality", "drift", "performance", "estimation")},
        "alerts": dict(named.most_common()),
    }


def harmed_cell(kind: str, found: list[Quarter]) -> dict[str, Any]:
    """Days of labels, 500 each, until the alert; a stream that never alarmed counts as the longest."""
    delays = [q.first("performance.rise") for q in found]
    days = [LONGEST if day is None else day - FELL for day in delays]
    late = [day for day in days if day >= 0]
    return {
        "kind": kind,
        "streams": len(found),
        "median": float(np.median(late)),
        "ninetieth": float(np.quantile(late, 0.9)),
        "within_four": float(np.mean([day <= 4 for day in late])),
        "never": sum(day is None for day in delays),
        "before": sum(day < 0 for day in days),
    }


def show_pairs(cells: list[dict[str, Any]], runs: list[dict[str, Any]]) -> None:
    lines = [
        [
            f"{c['n']:,}, {c['m']:,}; {c['column']}",
            f"{100 * c['ours']:.1f}",
            f"{100 * c['usual']:.1f}",
            f"{100 * c['evidently']:.0f}" if "evidently" in c else None,
            c["pairs"],
        ]
        for c in cells
    ]
    header = ["reference, current rows; column", "ours %", "PSI > 0.1 %", "Evidently %", "pairs"]
    print(table("False alarms on healthy pairs, 5 % asked for", header, lines))
    shown = [
        [
            f"{c['n']:,}, {c['m']:,}; {len(pairs.COLUMNS)} columns, tests"
            if c["what"] == "tests"
            else f"{c['n']:,} rows, {c['m']} columns, windows that wander, ranked",
            f"{100 * c['ours']:.1f}",
            f"{100 * c['tests']:.0f}" if "tests" in c else None,
            c["runs"],
        ]
        for c in runs
    ]
    print(table("Any alarm of a whole run, 5 % asked for", ["", "ours %", "had it tested %", "runs"], shown))


def show_quarters(healthy: list[dict[str, Any]], harmed: list[dict[str, Any]]) -> None:
    families = ("quality", "drift", "performance", "estimation")
    lines = [
        [c["kind"], c["streams"], f"{100 * c['any']:.1f}", *(f"{100 * c[family]:.1f}" for family in families)]
        for c in healthy
    ]
    header = ["stream", "streams", "any alert %", *(f"{family} %" for family in families)]
    print(table(f"{DAYS} days of daily looks at healthy streams, 500 rows a day: streams with an alert", header, lines))
    lines = [
        [c["kind"], c["streams"], c["median"], c["ninetieth"], f"{100 * c['within_four']:.0f}", c["never"], c["before"]]
        for c in harmed
    ]
    header = ["stream", "streams", "median", "90 %", "within 4 %", "never", "before"]
    print(table("+5 points of error: days of 500 labels until the alert", header, lines))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alarms", description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--quick", action="store_true", help="a tenth of it")
    choice.add_argument("--pairs", action="store_true", help="pairs of samples only")
    choice.add_argument("--quarters", action="store_true", help="streams only")
    parser.add_argument("--streams", type=int, help="of each kind; default 50, 4 with --quick")
    parser.add_argument("--workers", type=int, default=2, help="processes for the streams")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    results: dict[str, Any] = {}
    if not asked.quarters:
        results |= {"pairs": pair_cells(asked.quick), "runs": run_cells(asked.quick)}
        show_pairs(results["pairs"], results["runs"])
    if not asked.pairs:
        streams = asked.streams or (4 if asked.quick else 50)
        found = quarters(KINDS, streams, None, asked.workers)
        results["healthy"] = [healthy_cell(kind, found[kind]) for kind in KINDS]
        found = quarters(HARMED, streams, FELL, asked.workers)
        results["harmed"] = [harmed_cell(kind, found[kind]) for kind in HARMED]
        show_quarters(results["healthy"], results["harmed"])
    part = "-quick" if asked.quick else "-pairs" if asked.pairs else "-quarters" if asked.quarters else ""
    print(archive(f"alarms{part}", results))


if __name__ == "__main__":
    main()
