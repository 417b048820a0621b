"""One process that answers. It imports neither MLflow nor pandas, unless a model can only be answered through them."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import Scope

from ml.serving.journal import Limits as Keeping
from ml.serving.limits import Limits

if TYPE_CHECKING:
    from ml.serving.follower import Follower

FIRST = 10.0
"""Seconds to take up what the keeper tells first, before anything is accepted."""
GRACE = 5
"""Seconds that open requests have to end."""


@dataclass(frozen=True)
class WorkerSetup:
    """What a process needs; goes from one to the next, so its functions are importable by name.

    models: folder of the prepared versions. journal: folder of what is not in the log yet; keeping: how much it may
    hold, and what then. admit: see `App`. memory: bytes that the engines may take. counts: folder of the metrics, see
    `metrics.begin`. registry_uri: where models are fetched from to be explained.
    """

    models: Path
    journal: Path
    counts: Path
    jobs: Path
    registry_uri: str
    limits: Limits = field(default_factory=Limits)
    tokens: tuple[str, ...] = ()
    admit: Callable[[Scope], None] | None = None
    allow_pickle: bool = False
    memory: int = 512 * 1024 * 1024
    keeping: Keeping = field(default_factory=Keeping)


def work(setup: WorkerSetup, listening: socket.socket, keeper: Connection) -> None:
    """Answer what this process accepts, until SIGTERM or until the keeper is gone."""
    import uvicorn

    from ml.serving.answering import Answering
    from ml.serving.app import App
    from ml.serving.explanations import Explainer
    from ml.serving.follower import Follower
    from ml.serving.jobs.routes import JobRoutes
    from ml.serving.jobs.store import Jobs
    from ml.serving.journal import Journal
    from ml.serving.limits import Tokens
    from ml.serving.metrics import Metrics
    from ml.serving.one_write import Protocol
    from ml.serving.pool import Pool

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sending = threading.Lock()

    def ask(model: str, version: str, broken: bool) -> None:
        with sending:
            keeper.send((model, version, broken))

    metrics = Metrics(setup.counts)
    follower = Follower(setup.models, ask, allow_pickle=setup.allow_pickle, looked=metrics.looked_up)
    pool = Pool(follower.open, budget=setup.memory, changed=metrics.engines)
    journal = Journal(setup.journal, setup.keeping)
    answering = Answering(follower, pool, journal, setup.limits, metrics)
    explainer = Explainer(setup.registry_uri, allow_pickle=setup.allow_pickle)
    jobs = JobRoutes(Jobs(setup.jobs), setup.limits.job_bytes)
    app = App(follower, answering, setup.limits, Tokens(setup.tokens), setup.admit, metrics, explainer, jobs)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        loop="uvloop",
        http=Protocol,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        backlog=2048,
    )
    threading.Thread(target=follower.follow, args=(pool,), name="follower", daemon=True).start()
    threading.Thread(target=_listen, args=(follower, keeper), name="keeper", daemon=True).start()
    follower.settled.wait(FIRST)  # until then, who comes waits, or is answered by another process
    gc.collect()
    gc.freeze()  # what stays for good need not be looked through again and again while requests wait
    gc.set_threshold(20_000, 20, 50)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        follower.stop()
        explainer.close()
        answering.close()
        journal.close()
        pool.close()


def _listen(follower: Follower, keeper: Connection) -> None:
    """Take what the keeper tells; when the keeper is gone, so is what could follow the registry: end in good order."""
    try:
        while True:
            follower.tell(keeper.recv())
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
