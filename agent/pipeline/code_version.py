"""Which code made a version: the workspace's commit where it is a git checkout, else this program's version."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path


def code_version(home: Path) -> str:
    """`git:<commit>` of the workspace, with `-dirty` when it has changes; else `watchkeeper:<version>`."""
    git = shutil.which("git")
    if git is not None and (home / ".git").exists():
        found = subprocess.run(
            [git, "-C", str(home), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
        if found.returncode == 0:
            return f"git:{found.stdout.strip()}"
    return f"watchkeeper:{version('watchkeeper')}"
