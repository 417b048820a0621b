"""`python -m benchmarks.serving [--quick]`: requests a second, delay and memory of the model server beside its peers.

One XGBoost model of 200 trees and 20 numbers; one worker each; wrk with 1, 16 and 64 connections; our server checks,
logs and journals every answer, its peers do not. The servers take turns, each for a few seconds, so that whatever else
the machine does meets all of them; of each server and number of connections the best turn counts.
--quick: one turn of two seconds, no batches.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import archive, table
from benchmarks.serving import batches, load, world
from benchmarks.serving.servers import BARE, MLFLOW, OURS, Server, running

CONNECTIONS = (1, 16, 64)
MODELS = 100
IDLE = 75.0
"""Seconds until the process that prepares versions has been let go: memory is read after that."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best turn of one server. cpu_us: processor time of all its processes per request."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: float


def turns(servers: list[Server], count: int, seconds: int) -> dict[str, dict[str, Found]]:
    """Every server in turn, at each number of connections."""
    seen: dict[str, dict[str, list[Found]]] = {server.name: {str(c): [] for c in CONNECTIONS} for server in servers}
    for server in servers:
        load.wrk(server.script, server.port, 16, seconds)
    for _ in range(count):
        for connections in CONNECTIONS:
            for server in servers:
                before = load.processor_seconds(server.pid)
                got = load.wrk(server.script, server.port, connections, seconds)
                after = load.processor_seconds(server.pid)
                spent = sum(after.values()) - sum(before.get(pid, 0.0) for pid in after)
                cpu = 1e6 * spent / max(1.0, got.per_second * seconds)
                found = Found(got.per_second, got.p50_ms, got.p99_ms, got.errors, cpu)
                seen[server.name][str(connections)].append(found)
    return {
        name: {
            connections: Found(
                max(f.per_second for f in found),
                min(f.p50_ms for f in found),
                min(f.p99_ms for f in found),
                sum(f.errors for f in found),
                min(f.cpu_us for f in found),
            )
            for connections, found in by_connections.items()
        }
        for name, by_connections in seen.items()
    }


def show_turns(found: dict[str, dict[str, Found]], memory: dict[str, load.Memory]) -> None:
    lines: list[list[object]] = []
    for connections in map(str, CONNECTIONS):
        theirs, bare = found[MLFLOW][connections], found[BARE][connections]
        for name in found:
            f = found[name][connections]
            lines.append(
                [f"{name}, {connections}", f"{f.per_second:,.0f}", f"{f.p50_ms:.2f}", f"{f.p99_ms:.1f}",
                 f"{f.per_second / theirs.per_second:.1f}", f"{theirs.p50_ms / f.p50_ms:.1f}",
                 f"{f.per_second / bare.per_second:.2f}", f"{f.cpu_us:.0f}", f.errors]
            )  # fmt: skip
    header = ["server, connections", "requests/s", "p50 ms", "p99 ms", "x MLflow's", "x its p50", "x bare", "CPU us",
              "errors"]  # fmt: skip
    print(table("One row a request; XGBoost, 200 trees, 20 numbers; one worker", header, lines))
    lines = [[name, f"{m.answering:.0f}", f"{m.together:.0f}", f"{m.shared_once:.0f}"] for name, m in memory.items()]
    print(table("Memory, MB", ["server", "what answers", "all its processes", "shared pages once"], lines))


def show_batches(parts: dict[str, float], http: dict[str, float]) -> None:
    lines = [[name, f"{1e3 * seconds:.1f}", f"{batches.ROWS / seconds:,.0f}"] for name, seconds in parts.items()]
    print(table(f"{batches.ROWS:,} rows at once, step by step, one thread", ["step", "ms", "rows/s"], lines))
    lines = [[name, f"{1e3 * batches.ROWS / rate:.0f}", f"{rate:,.0f}"] for name, rate in http.items()]
    print(table("The same over HTTP, logged", ["body", "ms", "rows/s"], lines))


def measured(*arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn of two seconds, no batches")
    parser.add_argument("--turns", type=int, default=5, help="turns of each server (default 5)")
    parser.add_argument("--seconds", type=int, default=3, help="length of a turn (default 3)")
    parser.add_argument("--first", action="store_true", help="on a busy machine: before all else (Linux, root)")
    asked = parser.parse_args()
    count, seconds = (1, 2) if asked.quick else (asked.turns, asked.seconds)
    load.find_wrk()
    warnings.filterwarnings("ignore")
    results: dict[str, Any] = {"turns": count, "seconds": seconds}
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        home = Path(folder)
        world.build(home)
        with ExitStack() as stack:
            servers = [stack.enter_context(running(name, home)) for name in (OURS, BARE, MLFLOW)]
            if asked.first:
                for pid in (os.getpid(), *(server.pid for server in servers)):
                    load.put_first(pid)
            started = time.monotonic()
            found = turns(servers, count, seconds)
            if not asked.quick:
                time.sleep(max(0.0, IDLE - (time.monotonic() - started)))
            memory = {server.name: load.memory(server) for server in servers}
            http = {}
            if not asked.quick:
                http = batches.over_http(servers[0].port)
                memory[f"{OURS}, after batches"] = load.memory(servers[0])
        show_turns(found, memory)
        results |= {"load": {n: {c: asdict(f) for c, f in by.items()} for n, by in found.items()}}
        results |= {"memory": {name: asdict(m) for name, m in memory.items()}}
        if not asked.quick:
            parts = measured("benchmarks.serving.batches", "parts", str(home))
            show_batches(parts, http)
            models = home / "workspace" / "serving" / "models" / "bench"
            many = measured("benchmarks.serving.many", str(models), str(MODELS))
            print(
                f"{many['models']:.0f} such models in one process: {many['process_mb']:.0f} MB "
                f"({many['open_ms']:.1f} ms to open and ask each)"
            )
            results |= {"parts": parts, "http": http, "many": many}
    print(archive("serving-quick" if asked.quick else "serving", results))


if __name__ == "__main__":
    main()
