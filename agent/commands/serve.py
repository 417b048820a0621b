"""`serve`, `api`, `worker`: the long-running processes. One Ctrl-C or SIGTERM ends them cleanly within seconds."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from agent.commands.output import console
from agent.domain.errors import Unavailable
from agent.pipeline.services import Services

GRACE, PATIENCE = 3, 5
"""Seconds that open requests, and then running steps, have to end."""


def command(home: Path | None, *, api: bool, worker: bool) -> None:
    """Run a workspace until told to stop. Raises: InvalidInput for an address beyond this machine, Unavailable."""
    from agent.bootstrap import build
    from agent.doors.guard import require_loopback
    from agent.settings import load_settings

    settings = load_settings(home=home)
    host, port = require_loopback(settings.bind)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(build(settings), host=host, port=port, api=api, worker=worker)


def run(services: Services, *, host: str, port: int, api: bool, worker: bool) -> None:
    """Serve (`api`) and keep watch (`worker`) in this process. Raises: Unavailable when the port is taken."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(listen(host, port)) if api else None
        told = stack.enter_context(signals())  # uvicorn hands on the signal that ended it: to us, who still clear up
        if worker:
            stack.enter_context(watching(services))
            console.print("The watch is on: models are looked at, what is approved is carried out.")
        if listening is None:
            console.print("Ctrl-C ends it.")
            told.wait()
        else:
            serve_on(services, listening)
    services.store.close()


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, bound before anything else starts. Raises: Unavailable when the address is not free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(128)
        except OSError as error:
            raise Unavailable(
                f"{address(host, port)} cannot be opened ({error.strerror}): end what listens there, "
                f"or set WATCHKEEPER_BIND=127.0.0.1:{port + 1}."
            ) from None
        yield listening


def serve_on(services: Services, listening: socket.socket) -> None:
    """Answer requests until a signal; open ones are ended first."""
    import uvicorn

    from agent.doors.api.app import create_app

    host, port = listening.getsockname()[:2]
    app = create_app(services)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE, lifespan="off")
    console.print(f"Listening on [bold]{address(host, port)}[/]. Ctrl-C ends it.")
    uvicorn.Server(config).run(sockets=[listening])


@contextlib.contextmanager
def watching(services: Services) -> Iterator[None]:
    """The background loops, for as long as the block lasts.

    A step that runs longer than the patience of whoever stops us is left: its lease runs out, and it is resumed.
    """
    from agent.scheduler import Scheduler

    scheduler = Scheduler(services)
    scheduler.start()
    try:
        yield
    finally:
        stopper = threading.Thread(target=scheduler.stop, name="stop", daemon=True)
        stopper.start()
        stopper.join(PATIENCE)
        if stopper.is_alive():
            console.print("A step is still at work; the next worker takes it up where this one leaves it.")
            os._exit(0)


@contextlib.contextmanager
def signals() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets, instead of ending the process where it stands."""
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    before = {kind: signal.signal(kind, tell) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
