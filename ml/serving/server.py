"""Runs the model server: one process that answers, or several on one socket, each following the registry itself."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from starlette.types import Scope

from ml.serving.limits import Limits
from ml.spec import ModelSpec

log = logging.getLogger(__name__)
GRACE = 8
"""Seconds that open requests have to end."""
SOONEST = 1.0
"""Seconds a process must have lived for another to take its place at once."""


@dataclass(frozen=True)
class Setup:
    """What a process needs; goes from one to the next, so its functions are importable by name.

    specs: the models' specs, asked again and again. admit: see `App`. journal: folder for what is not in the log yet.
    """

    registry_uri: str
    log_uri: str
    journal: Path
    specs: Callable[[], Mapping[str, ModelSpec]]
    only: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    tokens: tuple[str, ...] = ()
    admit: Callable[[Scope], None] | None = None
    allow_pickle: bool = False


def run(setup: Setup, listening: socket.socket, *, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT. A process that dies is replaced; the others answer meanwhile."""
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    before = {kind: signal.signal(kind, tell) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        _supervise(setup, listening, workers, told)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _supervise(setup: Setup, listening: socket.socket, workers: int, told: threading.Event) -> None:
    context = multiprocessing.get_context("spawn")

    def start() -> BaseProcess:
        process = context.Process(target=work, args=(setup, listening), daemon=False)
        process.start()
        return process

    running = {start(): time.monotonic() for _ in range(workers)}
    while not told.is_set():
        wait([process.sentinel for process in running], timeout=0.2)
        for process in [process for process in running if not process.is_alive()]:
            lived = time.monotonic() - running.pop(process)
            if told.is_set():
                break
            log.error("A process of the model server ended (exit code %s); another takes its place.", process.exitcode)
            if lived < SOONEST:
                told.wait(SOONEST)
            running[start()] = time.monotonic()
    for process in running:
        process.terminate()
    until = time.monotonic() + GRACE + 1.5
    for process in running:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def work(setup: Setup, listening: socket.socket) -> None:
    """One process: answers what it accepts, until SIGTERM."""
    import uvicorn

    from ml.models.registry import Registry
    from ml.serving.answering import Answering
    from ml.serving.app import App
    from ml.serving.follower import Follower
    from ml.serving.limits import Tokens
    from ml.serving.plain import NoJournal, PlainEngines

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    registry = Registry(setup.registry_uri, allow_pickle=setup.allow_pickle)
    engines = PlainEngines(registry, setup.specs)
    follower = Follower(registry, engines, setup.specs, only=setup.only)
    answering = Answering(engines, NoJournal(), setup.limits)
    app = App(follower, answering, setup.limits, Tokens(setup.tokens), setup.admit)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        loop="uvloop",
        http="httptools",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        backlog=2048,
    )
    follower.start()
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        follower.stop()
        answering.close()
