"""The process that prepares versions does not outlive the server that it prepares them for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[3]
SERVER = """
import multiprocessing, sys, time
from pathlib import Path
from ml.serving.preparing import Job, Preparer
from ml.spec import parse_spec

if __name__ == "__main__":
    spec = parse_spec("{name: price, task: regression, features: {size: {type: numeric}}}")
    future = Preparer(Path(sys.argv[1])).start(Job(f"sqlite:///{sys.argv[1]}/none.db", False, spec, "1", "o"))
    print(multiprocessing.active_children()[0].pid, flush=True)
    if sys.argv[2] == "begun":
        future.exception()
    print("killed here", flush=True)
    time.sleep(600)
"""


def outlives(home: Path, moment: str) -> bool:
    program = home / "server.py"
    program.write_text(SERVER)
    command = [sys.executable, str(program), str(home), moment]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}
    ) as server:
        assert server.stdout is not None
        preparer = int(server.stdout.readline())
        server.stdout.readline()
        server.kill()
    until = time.monotonic() + 30
    with suppress(psutil.NoSuchProcess):
        while time.monotonic() < until:
            if psutil.Process(preparer).status() == psutil.STATUS_ZOMBIE:  # ended; nobody asked how
                return False
            time.sleep(0.05)
        return True
    return False


def test_killed_while_it_waits_for_work(tmp_path: Path) -> None:
    assert not outlives(tmp_path, "begun")


def test_killed_while_the_process_starts(tmp_path: Path) -> None:
    assert not outlives(tmp_path, "starting")
