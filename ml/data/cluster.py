"""Work on parts of a log, done here or on a Dask cluster, through one interface (`concurrent.futures`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from ml.errors import Unavailable

Part = TypeVar("Part")
Made = TypeVar("Made")
PATIENCE = 20.0
"""Seconds to wait for the scheduler, and for a worker when there is none."""
RETRIES = 3
"""How often a part that fails is tried again."""


def map_parts(cluster: str | None, work: Callable[[Part], Made], parts: Sequence[Part]) -> list[Made]:
    """`work` of each part, in the order of the parts.

    cluster: the address of a Dask scheduler (`tcp://host:8786`), whose workers have this package in the same version
        and can read the log's address; None or "": one thread of this process, as the engine uses all cores itself.

    A worker that dies costs time: its parts are done by others. Raises: Unavailable when the scheduler cannot be
    reached, has no workers, or they keep dying; and what `work` raises.
    """
    if not parts:
        return []
    with _executor(cluster) as (pool, has_workers):
        futures = [pool.submit(work, part) for part in parts]
        pending, alone_since = set(futures), time.monotonic()
        while pending:
            done, pending = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
            if done or has_workers():
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since > PATIENCE:
                for future in pending:
                    future.cancel()
                raise Unavailable(
                    f"The Dask cluster at {cluster} has no workers any more; start some, or unset CLUSTER."
                )
        return [future.result() for future in futures]


@contextmanager
def _executor(cluster: str | None) -> Iterator[tuple[Executor, Callable[[], bool]]]:
    """An executor, and whether anybody works there."""
    if not cluster:
        with ThreadPoolExecutor(1) as here:
            yield here, lambda: True
        return
    from distributed import Client, KilledWorker

    try:
        client: Any = Client(cluster, timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:  # a time-out is an OSError, an address that is none a ValueError
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise Unavailable(f"The Dask scheduler at {cluster} cannot be reached ({why}); check CLUSTER.") from None
    with client:
        try:
            yield client.get_executor(retries=RETRIES, pure=False), lambda: bool(client.scheduler_info()["workers"])
        except KilledWorker as error:
            raise Unavailable(f"Workers of the Dask cluster at {cluster} keep dying: {error}") from None
