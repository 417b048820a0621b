"""Training on a Dask cluster: what `apart` does in a process of its own, done so on one of its workers.

The rows go there and a candidate comes back; the worker of the cluster knows neither registry nor database. Progress,
time limit, an end on demand and the log are as they are here. When nobody waits for it any more (cancelled, or the
process that asked is gone), the training ends on the cluster too.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.errors import Refused, Unavailable, WatchkeeperError
from agent.pipeline.apart import LOG, MADE, POLL, Progress, Stopped, train_apart
from ml.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

PATIENCE = 20.0
"""Seconds to wait for the scheduler, and for a worker when there is none."""
CONNECTION = timedelta(minutes=2)
"""What the way there and back may take on top of the time limit."""


def train_afar(
    spec: ModelSpec,
    rows: pd.DataFrame,
    folder: Path,
    *,
    cluster: str,
    limit: timedelta,
    stopped: Stopped,
    progress: Progress,
) -> Path:
    """Train on a worker of the cluster; the folder that holds the candidate. See `apart.train_apart`.

    cluster: the scheduler's address. Its workers have this package in the same version, and the trainer's module.
    Raises: Refused when the trainer failed or ran too long; Unavailable when the cluster is out of reach, has no
    workers, or they keep dying.
    """
    shutil.rmtree(folder / MADE, ignore_errors=True)
    (folder / MADE).mkdir(parents=True)
    table = io.BytesIO()
    rows.to_parquet(table, index=False)
    with _connected(cluster) as client:
        topic = f"watchkeeper-{folder.parent.name}-{time.time_ns()}"
        client.subscribe_topic(topic, lambda event: progress(str(event[1])))
        sent = client.scatter([table.getvalue()], hash=False)[0]
        progress("waiting for a worker of the cluster")
        task = client.submit(
            _train_there, topic, spec.model_dump_json(), sent, limit.total_seconds(), key=topic, retries=0, pure=False
        )
        try:
            made = _wait(client, task, cluster, limit, stopped)
        finally:
            task.cancel()
    (folder / LOG).write_bytes(made["log"])
    if "failure" in made:
        raise Refused(made["failure"].replace(made["folder"], str(folder)))
    with zipfile.ZipFile(io.BytesIO(made["candidate"])) as packed:
        packed.extractall(folder / MADE)
    return folder / MADE


def _wait(client: Any, task: Any, cluster: str, limit: timedelta, stopped: Stopped) -> dict[str, Any]:
    """What the task gave. Raises: what `stopped` says, Refused, Unavailable."""
    from distributed import KilledWorker

    worked, begun = time.monotonic(), time.monotonic()
    while not task.done():
        if (reason := stopped()) is not None:
            raise reason
        if client.scheduler_info()["workers"]:
            worked = time.monotonic()
        elif time.monotonic() - worked > PATIENCE:
            raise Unavailable(f"The Dask cluster at {cluster} has no workers; start some, or unset CLUSTER.")
        if time.monotonic() - begun > (limit + CONNECTION).total_seconds():
            raise Refused(f"nothing came back from the cluster at {cluster} within training.time_limit")
        time.sleep(POLL)
    try:
        found: dict[str, Any] = task.result(timeout=PATIENCE)
    except KilledWorker as error:
        raise Unavailable(f"Workers of the Dask cluster at {cluster} keep dying: {error}") from None
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"The Dask cluster at {cluster} was lost ({type(error).__name__}).") from None
    return found


@contextmanager
def _connected(cluster: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client: Any = Client(cluster, timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:  # a time-out is an OSError, an address that is none a ValueError
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise Unavailable(f"The Dask scheduler at {cluster} cannot be reached ({why}); check CLUSTER.") from None
    with client:
        yield client


# -- on the cluster -------------------------------------------------------------------------------------------------


def _train_there(topic: str, spec: str, table: bytes, seconds: float) -> dict[str, Any]:
    """Train in a child process of a worker of the cluster; the candidate as a zip file, or why there is none."""
    import pandas as pd
    from distributed import get_worker

    worker: Any = get_worker()

    def forgotten() -> WatchkeeperError | None:
        state = worker.state.tasks.get(topic)
        if state is not None and state.state == "executing":
            return None
        return Refused("nobody waits for this training any more")

    with tempfile.TemporaryDirectory(prefix="watchkeeper-") as name:
        folder = Path(name)
        try:
            made = train_apart(
                ModelSpec.model_validate_json(spec),
                pd.read_parquet(io.BytesIO(table)),
                folder,
                limit=timedelta(seconds=seconds),
                stopped=forgotten,
                progress=lambda phase: worker.log_event(topic, phase),
            )
        except Refused as error:
            return {"failure": str(error), "folder": name, "log": _log(folder)}
        return {"candidate": _packed(made), "log": _log(folder)}


def _log(folder: Path) -> bytes:
    try:
        return (folder / LOG).read_bytes()
    except FileNotFoundError:
        return b""


def _packed(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()
