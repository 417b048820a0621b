"""`python -m benchmarks.incidents [--quick] [--seeds 101] [--only …]`: the table, archived with the date."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.incidents.arms import Answer, drift_so_retrain, ours, worse_so_retrain
from benchmarks.incidents.faults import CATEGORIES, SIZES, STRENGTHS, Incident, make
from benchmarks.incidents.natural import settle, windows
from benchmarks.incidents.score import Outcome, judge, outcomes
from benchmarks.incidents.table import calibration_error, render
from benchmarks.incidents.worlds import WORLDS
from ml.metrics import row_loss

RESULTS = Path(__file__).resolve().parents[1] / "results"
QUIET_FULL_ONLY = {"healthy", "sampling_noise", "good_deployment"}


def plan(args: argparse.Namespace) -> list[tuple[str, str, str, int, int]]:
    """World, category, strength, size, seed of every case."""
    worlds = args.worlds or list(WORLDS)
    out = []
    for world, category, strength, size in itertools.product(
        worlds, [c for c in args.only or CATEGORIES if c in CATEGORIES], args.strengths, args.sizes
    ):
        repeats = 3 if category in QUIET_FULL_ONLY and strength == "full" else 0 if category in QUIET_FULL_ONLY else 1
        out += [(world, category, strength, size, seed + 1000 * k) for seed in args.seeds for k in range(repeats)]
    if args.sample and args.sample < len(out):
        rows = np.random.default_rng(args.seeds[0]).choice(len(out), args.sample, replace=False)
        out = [out[i] for i in sorted(rows)]
    return out


def natural_plan(args: argparse.Namespace) -> list[Incident]:
    """Windows of real streams in their own order; a few of them for a sample."""
    if args.no_natural or (args.only and "natural" not in args.only):
        return []
    every = list(windows())
    return every[:: max(1, len(every) // 6)] if args.sample else every


def describe(row: dict[str, object], answer: Answer, result: Outcome) -> None:
    """One line on an answer that is not wholly right; with FACTS=1 in the environment, its evidence too."""
    loss = {a.value: round(v, 4) for a, v in result.loss.items() if not a.value.startswith(("wait", "refresh"))}
    flags = "".join(f" {k.upper()}" for k in ("right", "harmful", "false") if row[k])
    where = f"{row['world']:10s} {row['category']:20s} {row['strength']:8s} {row['size']:5d} {row['seed']}"
    said = f"{answer.act.value:16s} {row['cause']!s:24s} {answer.confidence:.2f}{flags} intended {answer.intended}"
    print(
        f"{where} -> {said} {loss} healthy {result.healthy:.4f} tol {result.tolerance:.4f} {answer.features}",
        flush=True,
    )
    if os.environ.get("FACTS"):
        print("      " + "\n      ".join(answer.notes["facts"]))


def _short(row: dict[str, object]) -> dict[str, object]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a sample that takes less than a minute")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101])
    parser.add_argument("--only", nargs="+", choices=[*CATEGORIES, "natural"])
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS))
    parser.add_argument("--strengths", nargs="+", default=list(STRENGTHS), choices=list(STRENGTHS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--evidently-every", type=int, default=16, help="cases per run of the slow peer")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that share the cases")
    parser.add_argument("--part", help="I/N: every N-th case, from I on, in this process")
    parser.add_argument("--merge", type=Path, nargs="+", help="documents of parts: their table, and nothing run")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--no-natural", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    return parser


def run(args: argparse.Namespace, first: int, step: int) -> dict[str, Any]:
    """The document of every `step`-th case, from `first` on."""
    cases = list(enumerate([*plan(args), *natural_plan(args)]))[first::step]
    rows: dict[str, list[dict[str, object]]] = {
        "watchkeeper": [],
        "worse, so retrain": [],
        "any drift, so retrain": [],
        "drift in half, so retrain": [],
    }
    started = time.perf_counter()
    for number, item in cases:
        case = item if isinstance(item, Incident) else make(WORLDS[item[0]](), *item[1:])
        result = outcomes(case)
        if case.category == "natural":
            settle(case, result.loss, row_loss(case.spec, case.reference))
        answer = ours(case)
        row = judge(case, answer, result)
        rows["watchkeeper"].append(row)
        if args.verbose and (row["false"] or not (row["right"] and row["cause_right"])):
            describe(row, answer, result)
        rows["worse, so retrain"].append(judge(case, worse_so_retrain(case), result))
        if args.evidently_every and number % args.evidently_every == 0:
            some, half = drift_so_retrain(case)
            rows["any drift, so retrain"].append(judge(case, some, result))
            rows["drift in half, so retrain"].append(judge(case, half, result))
    return {
        "made": datetime.now(UTC).isoformat(),
        "seconds": round(time.perf_counter() - started, 1),
        "seeds": args.seeds,
        "rows": {arm: [_short(row) for row in part] for arm, part in rows.items()},
    }


def share(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The same command once for each part, side by side, and what each has found."""
    with tempfile.TemporaryDirectory() as folder:
        outs = [Path(folder) / f"{i}.json" for i in range(args.jobs)]
        begun = []
        for i, out in enumerate(outs):
            mine = ["--part", f"{i}/{args.jobs}", "--out", str(out)]
            command = [sys.executable, "-m", "benchmarks.incidents", *sys.argv[1:], *mine]
            begun.append(subprocess.Popen(command, stdout=None if args.verbose else subprocess.DEVNULL))
        codes = [part.wait() for part in begun]
        if any(codes):
            sys.exit("a part of the benchmark failed; its error stands above")
        return [json.loads(out.read_text(encoding="utf-8")) for out in outs]


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One document of all parts; `seconds` are those of all processes together."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for arm in parts[0]["rows"]:
        rows[arm] = [row for part in parts for row in part["rows"][arm]]
    return {
        "made": max(part["made"] for part in parts),
        "seconds": round(sum(part["seconds"] for part in parts), 1),
        "seeds": sorted({seed for part in parts for seed in part["seeds"]}),
        "ece": calibration_error(rows["watchkeeper"]),
        "rows": rows,
    }


def main() -> None:
    args = options().parse_args()
    if args.quick:
        args.sample, args.evidently_every, args.sizes = args.sample or 20, 13, [1000]
    if args.part:
        first, step = map(int, args.part.split("/"))
        parts = [run(args, first, step)]
    elif args.merge:
        parts = [json.loads(path.read_text(encoding="utf-8")) for path in args.merge]
    else:
        parts = [run(args, 0, 1)] if args.quick or args.jobs < 2 else share(args)
    document = merged(parts)
    text = render(document["rows"], document["seconds"])
    sys.stdout.write(text + "\n")
    out = args.out
    if out is None and not args.quick and not args.part:
        RESULTS.mkdir(exist_ok=True)
        out = RESULTS / f"incidents-{datetime.now(UTC):%Y-%m-%d}.json"
    if out is not None:
        out.write_text(json.dumps(document), encoding="utf-8")
        out.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
