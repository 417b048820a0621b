"""Runs the model server: one process that keeps, and one or more that answer on one socket.

The keeper (this process) follows the registry, prepares versions, takes the journals into the log, and replaces a
process that dies. Those that answer are small, and go on answering what they were told last.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType

from ml.serving import metrics
from ml.serving.drain_process import PACE, DrainProcess
from ml.serving.jobs.running import JobsProcess, Place
from ml.serving.keeper import Keeper
from ml.serving.state import State
from ml.serving.worker import WorkerSetup, work
from ml.spec import ModelSpec

log = logging.getLogger(__name__)
SOONEST = 1.0
"""Seconds a process must have lived for another to take its place at once."""
PATIENCE = 7.0
"""Seconds from the signal to the end: open requests first, then what waits for the log."""


@dataclass(frozen=True)
class Setup:
    """Where things are. specs: the models' specs, asked again and again. saved: file for what was served last.
    only: models to serve; all where it is empty. pace: seconds between two commits to the log."""

    log_uri: str
    specs: Callable[[], Mapping[str, ModelSpec]]
    saved: Path
    worker: WorkerSetup
    only: frozenset[str] = frozenset()
    workers: int = 1
    pace: float = PACE


class Worker:
    """A process that answers, and the line to it. A thread of its own tells it, so that one that is stopped holds up
    no other."""

    def __init__(self, setup: WorkerSetup, listening: socket.socket, asked: Callable[[str, str, bool], None]) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(setup, listening, theirs))
        self.process.start()
        theirs.close()
        self.since = time.monotonic()
        self._asked = asked
        self._news = threading.Condition()
        self._state: State | None = None
        self._closed = False
        for target in (self._tell, self._hear):
            threading.Thread(target=target, name=f"worker-{self.process.pid}", daemon=True).start()

    def tell(self, state: State) -> None:
        with self._news:
            self._state = state
            self._news.notify()

    def close(self) -> None:
        """End the line; the process ends with it."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._line.close()

    def _tell(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._state is not None or self._closed)
                state, self._state = self._state, None
                if self._closed:
                    return
            try:
                self._line.send(state)
            except OSError:
                return

    def _hear(self) -> None:
        line: Connection = self._line
        try:
            while True:
                self._asked(*line.recv())
        except (EOFError, OSError):
            return


def run(setup: Setup, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT. A process that dies is replaced; the others answer meanwhile."""
    from ml.models.registry import Registry

    metrics.begin(setup.worker.counts)
    registry = Registry(setup.worker.registry_uri, allow_pickle=setup.worker.allow_pickle)
    fleet = Fleet(setup, listening)
    keeper = Keeper(
        registry,
        setup.specs,
        fleet.tell,
        models=setup.worker.models,
        journal=setup.worker.journal,
        saved=setup.saved,
        only=setup.only,
    )
    fleet.asked = keeper.ask
    drain = DrainProcess(setup.worker.journal, setup.log_uri, pace=setup.pace)
    worker = setup.worker
    place = Place(worker.jobs, worker.models, worker.journal, setup.saved, worker.allow_pickle, keeping=worker.keeping)
    jobs = JobsProcess(place)

    def ensure() -> None:
        drain.ensure()
        jobs.ensure()

    stop = threading.Event()
    with signals() as told:
        fleet.start()
        threading.Thread(target=keeper.run, args=(stop,), name="keeper", daemon=True).start()
        fleet.watch(told, ensure)
        until = time.monotonic() + PATIENCE
        listening.close()  # those that answer have it too: who comes once they are gone is refused, and does not wait
        stop.set()
        jobs.stop(1.0)
        fleet.stop(until)
        # What is not in the log by then is taken there by the next start.
        drain.stop(max(0.5, until - time.monotonic()))


class Fleet:
    """The processes that answer."""

    def __init__(self, setup: Setup, listening: socket.socket) -> None:
        self.asked: Callable[[str, str, bool], None] = lambda model, version, broken: None
        self._setup, self._listening = setup, listening
        self._workers: list[Worker] = []
        self._state = State()
        self._lock = threading.Lock()

    def start(self) -> None:
        for _ in range(self._setup.workers):
            self._add()

    def tell(self, state: State) -> None:
        with self._lock:
            self._state = state
            for worker in self._workers:
                worker.tell(state)

    def watch(self, told: threading.Event, also: Callable[[], None]) -> None:
        """Replace what dies, until told to stop; `also` is called now and then."""
        while not told.is_set():
            also()
            wait([worker.process.sentinel for worker in self._workers], timeout=0.2)
            for worker in [worker for worker in self._workers if not worker.process.is_alive()]:
                if told.is_set():
                    return
                log.error("A process of the model server ended (%s); another takes its place.", worker.process.exitcode)
                with self._lock:
                    self._workers.remove(worker)
                worker.close()
                metrics.gone(self._setup.worker.counts, worker.process.pid or 0)
                if time.monotonic() - worker.since < SOONEST:
                    told.wait(SOONEST)
                self._add()

    def stop(self, until: float) -> None:
        """End all in good order: no new connections, open requests end, what takes longer is ended."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.close()

    def _add(self) -> None:
        worker = Worker(self._setup.worker, self._listening, self.asked)
        with self._lock:
            self._workers.append(worker)
            worker.tell(self._state)


@contextmanager
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
