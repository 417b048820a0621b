"""`python -m benchmarks.journal`: a record of 20 features, the drain's speed, steady load, a log that is away.

The steady load is one process that journals 1,000 requests a second, and the drain beside it; what is watched is how
far the drain is behind. Numbers of a busy machine are upper bounds.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

import numpy as np

from benchmarks.measure import peak_mb, table
from ml.serving.backlog import behind, status
from ml.serving.drain_process import DrainProcess, keep_spec
from ml.serving.journal import Journal, JournalFull, Limits, size_of
from ml.serving.rows import Answers, Rows
from ml.spec import ModelSpec, parse_spec

COLUMNS = 20
PER_SECOND = 1_000
SPEC: ModelSpec = parse_spec(
    "name: bench\ntask: binary\nfeatures:\n" + "".join(f"  f{k}: {{type: numeric}}\n" for k in range(COLUMNS))
)


def one(journal: Journal, number: int) -> None:
    columns = {f"f{k}": [number * 0.5] for k in range(COLUMNS)}
    rows = Rows(columns, [f"0197f3a2-5b1c-7a9e-9a0e-{number:012d}"])
    journal.record("bench", "champion", "3", rows, Answers(["1"], [0.5]), 0.0011, time.time())


def record(root: Path, count: int, *, fsync: bool = False) -> list[str]:
    journal = Journal(root, Limits(fsync=fsync))
    rows = Rows({f"f{k}": [k * 0.5] for k in range(COLUMNS)}, ["0197f3a2-5b1c-7a9e-9a0e-7c1b6e0f2a55"])
    answers, took = Answers(["1"], [0.5]), []
    for _ in range(count):
        start = time.perf_counter()
        journal.record("bench", "champion", "3", rows, answers, 0.0011, 0.0)
        took.append((time.perf_counter() - start) * 1e6)
    journal.close()
    cuts = quantiles(took, n=1000)
    size = journal.counts.bytes / count
    name = "one row, fsync" if fsync else "one row"
    return [name, f"{cuts[499]:.1f} us", f"{cuts[989]:.1f} us", f"{cuts[998]:.1f} us", f"{size:.0f} bytes"]


def batch(root: Path, rows: int, *, arrays: bool) -> list[str]:
    journal = Journal(root, Limits(max_bytes=1 << 40))
    values = np.random.default_rng(0).normal(size=rows)
    columns = {f"f{k}": values if arrays else values.tolist() for k in range(COLUMNS)}
    ids = [f"batch.{k}" for k in range(rows)]
    answers, took = Answers(["1"] * rows, [0.5] * rows), []
    for _ in range(20):
        start = time.perf_counter()
        journal.record("bench", "champion", "3", Rows(columns, ids), answers, 0.0011, 0.0)
        took.append((time.perf_counter() - start) * 1e3)
    journal.close()
    name = f"{rows:,} rows, {'arrays' if arrays else 'lists'}"
    return [
        name,
        f"{min(took):.1f} ms",
        f"{max(took):.1f} ms",
        "",
        f"{journal.counts.bytes / 20 / rows:.0f} bytes a row",
    ]


def cpu(drain: DrainProcess) -> float:
    """Seconds of a core that the drain has taken."""
    assert drain._process is not None
    stat = Path(f"/proc/{drain._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def memory(drain: DrainProcess) -> int:
    """The most memory that it has held, in MB."""
    assert drain._process is not None
    lines = Path(f"/proc/{drain._process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def backlog(home: Path, rows: int) -> str:
    journal = Journal(home / "journal")
    for k in range(rows):
        one(journal, k)
    journal.close()
    keep_spec(home / "journal", SPEC)
    drain = DrainProcess(home / "journal", str(home / "log"))
    drain.ensure()
    whole = first = behind(home / "journal")
    while first == whole:  # until it has started, and its first commit is in
        time.sleep(0.005)
        first = behind(home / "journal")
    start, before = time.perf_counter(), cpu(drain)
    while behind(home / "journal"):
        time.sleep(0.005)
    took, spent, rest = time.perf_counter() - start, cpu(drain) - before, rows * first / whole
    drain.stop()
    return f"{rest:,.0f} rows in {took:.1f} s: {rest / took:,.0f} rows/s; {rest / spent:,.0f} per second of a core"


def steady(home: Path, seconds: int) -> str:
    journal = Journal(home / "journal")
    keep_spec(home / "journal", SPEC)
    drain = DrainProcess(home / "journal", str(home / "log"))
    drain.ensure()
    start, sent, lags, looked = time.perf_counter(), 0, [], 0
    while (passed := time.perf_counter() - start) < seconds:
        while sent < passed * PER_SECOND:
            one(journal, sent)
            sent += 1
        if passed > looked:
            looked += 1
            lags.append(behind(home / "journal") / (journal.counts.bytes / max(sent, 1)) / PER_SECOND)
        time.sleep(0.001)
    spent, peak = cpu(drain), memory(drain)
    journal.close()
    drain.stop()
    said = status(home / "journal")
    third = len(lags) // 3
    return (
        f"{sent:,} records in {seconds} s, behind by at most {max(lags[third:]):.1f} s (first third, with the start: "
        f"{max(lags[:third]):.1f}; last: {max(lags[-third:]):.1f}), {said.rows:,} rows in {said.commits} commits; "
        f"the drain took {spent:.1f} s of a core and {peak} MB"
    )


def away(home: Path, megabytes: int) -> str:
    """The log is away until the journal is full, and longer."""
    journal = Journal(home / "journal", Limits(max_bytes=megabytes << 20))
    before, k = peak_mb(), 0
    refused = 0
    while refused < 10_000:
        try:
            one(journal, k)
            k += 1
        except JournalFull:
            refused += 1
    size, grown = size_of(home / "journal") / 2**20, peak_mb() - before
    journal.close()
    keep_spec(home / "journal", SPEC)
    drain = DrainProcess(home / "journal", str(home / "log"))
    drain.ensure()
    peak = 0
    while behind(home / "journal"):
        peak = memory(drain)
        time.sleep(0.1)
    drain.stop()
    said = status(home / "journal")
    return (
        f"full at {k:,} rows and {size:.0f} of {megabytes} MB, 10,000 more refused; the server's memory grew by "
        f"{grown:.1f} MB; given back: {said.rows:,} rows in {said.commits} commits, the drain's peak {peak} MB"
    )


def main() -> None:
    quick = "--quick" in sys.argv
    home = Path(tempfile.mkdtemp(prefix="bench-journal-"))
    try:
        rows = [record(home / "a", 100_000), record(home / "b", 300, fsync=True)]
        rows += [batch(home / "c", 20_000, arrays=arrays) for arrays in (False, True)]
        print(table("Journalling an answer of 20 numbers", ["", "p50", "p99", "p99.9", "on disk"], rows))
        print("Draining a backlog:", backlog(home / "d", 50_000 if quick else 400_000))
        print("Steady load:", steady(home / "e", 10 if quick else 60))
        print("The log away:", away(home / "f", 20 if quick else 100))
    finally:
        shutil.rmtree(home)
