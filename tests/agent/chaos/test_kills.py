"""What forks and kills, in a process of its own for each database: see `kills`, `sleepers` and `schedulers`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FORKING = [str(HERE / name) for name in ("kills.py", "sleepers.py", "schedulers.py")]
MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is room: a process that is killed loses nothing that it has written, to whatever place."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < 4e9:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="watchkeeper-kills-", dir=MEMORY) as made:
        yield Path(made)


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_what_was_approved_is_done_once_whoever_is_killed_or_sleeps(database, folder):
    chosen = ["-k", database, "--basetemp", str(folder / "kills")]
    command = [sys.executable, "-m", "pytest", *FORKING, "-n", "0", "-s", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[2])
    if done.returncode == 0 and " skipped" in done.stdout:
        pytest.skip(done.stdout[-500:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "4 passed" in done.stdout
    sys.stdout.writelines(f"{line}\n" for line in done.stdout.splitlines() if line.startswith(("killed ", "stopped ")))
