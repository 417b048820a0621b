"""Training in a process of its own: with progress, a time limit, an end on demand, and its log kept.

The child is given rows and a spec in a folder and leaves a candidate there; it knows neither the registry nor the
database, so however it ends, nothing has changed. It ends with its parent. `python -m agent.pipeline.apart FOLDER` is
the child.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.errors import Refused, WatchkeeperError
from ml.spec import ModelSpec, format_duration

if TYPE_CHECKING:
    import pandas as pd

SPEC, ROWS, PHASE, FAILURE, LOG, MADE = "spec.json", "rows.parquet", "phase.txt", "failure.json", "training.log", "made"
POLL = 0.2
ORPHANED = 70

Stopped = Callable[[], WatchkeeperError | None]
Progress = Callable[[str], None]


def train_apart(
    spec: ModelSpec,
    rows: pd.DataFrame,
    folder: Path,
    *,
    limit: timedelta,
    stopped: Stopped,
    progress: Progress,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Train in a child process; the folder that holds the candidate (see `ml.models.candidate`).

    folder: `training.log` in it has what the trainer printed, and stays. stopped: asked a few times a second; what it
    answers ends the child and is raised. progress: told of each new phase. environment: the child's; None: our own.
    Raises: Refused when the trainer failed, was killed, or ran past `limit`.
    """
    shutil.rmtree(folder / MADE, ignore_errors=True)
    (folder / MADE).mkdir(parents=True)
    (folder / SPEC).write_text(spec.model_dump_json(), encoding="utf-8")
    rows.to_parquet(folder / ROWS, index=False)
    told, deadline = "", time.monotonic() + limit.total_seconds()
    with (folder / LOG).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder.resolve()), str(os.getpid()), *_import_path()],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=environment,
        )  # fmt: skip
        try:
            while child.poll() is None:
                if (reason := stopped()) is not None:
                    raise reason
                if time.monotonic() > deadline:
                    raise Refused(
                        f"training ran past training.time_limit ({format_duration(limit)}) and was ended; "
                        f"raise the limit, or narrow training.window. Its log: {folder / LOG}"
                    )
                told = _tell(folder, told, progress)
                time.sleep(POLL)
        finally:
            _end(child)
    (folder / ROWS).unlink(missing_ok=True)
    if child.returncode != 0:
        raise Refused(_why(folder, child.returncode))
    return folder / MADE


def _import_path() -> list[str]:
    """Where this process finds modules (the workspace with the user's trainer among them)."""
    return [entry for entry in sys.path if entry]


def _tell(folder: Path, told: str, progress: Progress) -> str:
    try:
        phase = (folder / PHASE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return told
    if phase and phase != told:
        progress(phase)
    return phase


def _end(child: subprocess.Popen[bytes]) -> None:
    """Nothing of the child's session is left, whatever it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def _why(folder: Path, code: int) -> str:
    try:
        reason = json.loads((folder / FAILURE).read_text(encoding="utf-8"))["reason"]
    except FileNotFoundError:
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        reason = f"the training process {ended} (out of memory?)"
    return f"{reason} Its log: {folder / LOG}"


# -- the child ------------------------------------------------------------------------------------------------------


def main(folder: Path, parent: int, path: list[str]) -> int:
    """Fit what the folder describes; the exit code. What goes wrong is left in the folder as one sentence."""
    sys.path[:] = path
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import pandas as pd

    from ml.models.candidate import train_in

    def phase(text: str) -> None:
        _write(folder / PHASE, text)

    try:
        phase("reading the rows")
        spec = ModelSpec.model_validate_json((folder / SPEC).read_text(encoding="utf-8"))
        train_in(spec, pd.read_parquet(folder / ROWS), folder / MADE, progress=phase)
    except WatchkeeperError as error:
        _write(folder / FAILURE, json.dumps({"reason": str(error)}))
        return 1
    except Exception as error:  # the edge of the job: a user's trainer may raise anything
        logging.exception("training failed")
        _write(folder / FAILURE, json.dumps({"reason": f"training failed: {type(error).__name__}: {error}."}))
        return 1
    return 0


def _end_with(parent: int) -> None:
    """A worker that is gone leaves no training behind that nobody waits for."""
    while os.getppid() == parent:
        time.sleep(POLL)
    os._exit(ORPHANED)


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
