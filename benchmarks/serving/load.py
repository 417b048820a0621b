"""Load from wrk, and the memory of a tree of processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.serving.servers import Server


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def find_wrk() -> str:
    """Raises: SystemExit saying how to get it."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("The benchmark needs wrk: apt-get install -y wrk (or brew install wrk).")
    return program


def wrk(script: Path, port: int, connections: int, seconds: int) -> Load:
    """One thread of wrk over so many connections. Raises: SystemExit when nothing answers."""
    done = subprocess.run(
        [find_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script),
         f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, timeout=seconds + 60, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"wrk failed:\n{done.stdout}{done.stderr}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Load(found["requests"] / found["seconds"], found["p50_ms"], found["p99_ms"], found["errors"])


@dataclass(frozen=True, slots=True)
class Memory:
    """MB: of the process that answers, of all together, and of all with what they share counted once."""

    answering: float
    together: float
    shared_once: float


def memory(server: Server) -> Memory:
    """Of a server: of the process that answers, which works most of those that listen, and of all that it started."""
    before = processor_seconds(server.pid)
    wrk(server.script, server.port, 1, 1)
    after = processor_seconds(server.pid)
    members = family(server.pid)
    answering = max(_listeners(members, server.port), key=lambda pid: after.get(pid, 0.0) - before.get(pid, 0.0))
    return Memory(
        _kb(answering, "status", "VmRSS") / 1024,
        sum(_kb(pid, "status", "VmRSS") for pid in members) / 1024,
        sum(_kb(pid, "smaps_rollup", "Pss") for pid in members) / 1024,
    )


def put_first(pid: int) -> None:
    """Let a session go before all others, as on a machine that does nothing else. Raises: SystemExit without the right
    to (Linux, root, and automatic groups of processes)."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text("-20")
    except OSError as error:
        raise SystemExit(f"--first needs Linux with scheduler groups, and root: {error}.") from None


def _listeners(pids: list[int], port: int) -> list[int]:
    """Those that hold the socket that listens on a port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{line[9]}]" for line in lines if line[3] == "0A" and line[1].endswith(f":{port:04X}")}
    return [pid for pid in pids if any(_link(file) in sockets for file in Path(f"/proc/{pid}/fd").iterdir())]


def _link(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:  # it was closed meanwhile
        return ""


def memory_of() -> float:
    """MB that this process holds."""
    return _kb(os.getpid(), "status", "VmRSS") / 1024


def processor_seconds(pid: int) -> dict[int, float]:
    """Seconds of processor that each process of a family has used."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for member in family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[member] = (int(fields[11]) + int(fields[12])) / tick
    return found


def family(pid: int) -> list[int]:
    """The process and its children's children."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:  # it ended meanwhile
                continue
    return found


def _kb(pid: int, file: str, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith(f"{name}:")), "")
    return int(line.split()[1]) if line else 0
