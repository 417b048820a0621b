"""Hundreds of kills, in processes of their own: see `kills`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).with_name("kills.py")


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.parametrize("action", ["rollbacks", "retrainings"])
def test_what_was_approved_is_done_once_however_often_workers_are_killed(action, database, tmp_path):
    chosen = ["-k", f"{action} and {database}", "--basetemp", str(tmp_path / "kills")]
    command = [sys.executable, "-m", "pytest", str(KILLS), "-n", "0", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, cwd=KILLS.parents[3])
    if done.returncode == 0 and " skipped" in done.stdout:
        pytest.skip(done.stdout[-500:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "1 passed" in done.stdout
