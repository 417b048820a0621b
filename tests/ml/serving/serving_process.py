"""A model server over a registry, as a process: `python serving_process.py REGISTRY HOME WORKERS`. Prints its port."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from ml.serving.server import Setup, run
from ml.serving.worker import WorkerSetup
from ml.spec import parse_spec

if __name__ == "__main__":
    registry, home, models, workers = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    specs = {spec.name: spec for spec in (parse_spec(path.read_text()) for path in (home / "specs").glob("*.yaml"))}
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        port = listening.getsockname()[1]
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        setup = Setup(
            log_uri=str(home / "log"),
            specs=lambda: specs,
            saved=home / "served.json",
            worker=WorkerSetup(
                models=models,
                journal=home / "journal",
                counts=home / "counts",
                jobs=home / "jobs",
                registry_uri=registry,
            ),
            workers=workers,
            pace=0.3,
        )
        run(setup, listening)
