"""Many events a second into the inbox: those that come at the same time are kept in one statement.

Whoever acknowledges waits for one round trip to the database, however many others wait with them: with 100 at once and
200 ms for each answer of the database, one after the other would be 20 s.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from agent.domain.errors import Unavailable, WatchkeeperError
from agent.pipeline.inbox import keeping, seen_with
from agent.store.session import Store

LINGER, LONGEST = 0.003, 0.07
"""Seconds to wait for others once one is there: a third of what the database took last, within these bounds."""
MOST = 200
WRITERS = {"postgresql": 4, "sqlite": 1}
"""While one waits for the database, another takes what came meanwhile; SQLite has one writer anyway."""


Waiting = tuple[float, dict[str, Any], "Future[Kept]"]
"""When it came (monotonic seconds), its row, and who waits for it."""


class Kept(StrEnum):
    """New; known already, sent again; or known with the very same signature: a replay."""

    NEW = "new"
    AGAIN = "again"
    REPLAY = "replay"


class Intake:
    """Writers of one process. `put` returns at once; its future ends when the event is durable, or cannot be."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.Queue[Waiting | None] = queue.Queue()
        self._stopped = False
        self._writers: list[threading.Thread] = []
        self._starting, self._collecting = threading.Lock(), threading.Lock()
        self._answers = ThreadPoolExecutor(1, "intake-answers")  # a hundred answers take longer than the next statement
        self._took = 0.0

    def put(self, row: dict[str, Any]) -> Future[Kept]:
        """Keep an event (`inbox.row_of`). The future's exception is Unavailable where the database is."""
        future: Future[Kept] = Future()
        if self._stopped:
            future.set_exception(Unavailable("This process is stopping; send it again."))
        else:
            self._start()
            self._store.precedence.expect(1)
            future.add_done_callback(lambda _: self._store.precedence.expect(-1))
            self._waiting.put((time.monotonic(), row, future))
        return future

    def _start(self) -> None:
        """The writers, when the first event comes: most processes never see one."""
        with self._starting:
            for number in range(len(self._writers), WRITERS[self._store.engine.dialect.name]):
                self._writers.append(threading.Thread(target=self._run, name=f"intake-{number}", daemon=True))
                self._writers[-1].start()

    def close(self) -> None:
        """Keep what has come; take no more."""
        self._stopped = True
        for _ in self._writers:
            self._waiting.put(None)
        for writer in self._writers:
            writer.join(5)
        self._answers.shutdown()

    def _warm(self) -> None:
        """Open a writer's connection before there is a crowd that waits for it; what is wrong is said when keeping."""
        if self._store.engine.dialect.name == "postgresql":
            with contextlib.suppress(Unavailable):
                self._store.alone(select(1))

    def _run(self) -> None:
        self._warm()
        ended = crowd = False
        while not ended:
            with contextlib.ExitStack() as turn:
                batch, ended = self._collect(turn, self._moment if crowd else None)
                if crowd != bool(batch):  # while a crowd is coming, with gaps in it, who works steps aside
                    crowd = not crowd
                    self._store.precedence.expect(1 if crowd else -1)
                known = self._keep(batch) if batch else []
            for row, future in known:
                self._compare(row, future)
        if crowd:
            self._store.precedence.expect(-1)

    def _collect(self, turn: contextlib.ExitStack, patience: float | None) -> tuple[list[Waiting], bool]:
        """The next batch, when it is our turn at the database, and whether it is the last; none came in so long."""
        with self._collecting:
            try:
                first = self._waiting.get(timeout=patience)
            except queue.Empty:
                return [], False
            if first is None:
                return [], True
            self._linger(first)
            turn.enter_context(self._store.precedence.first())
            return self._batch(first)

    @property
    def _moment(self) -> float:
        """Seconds to wait for others: the longer, the slower the database is."""
        return min(max(self._took / 3, LINGER), LONGEST)

    def _linger(self, first: Waiting) -> None:
        """Wait for others; who has waited in the queue waits no more."""
        if not self._stopped:
            time.sleep(max(first[0] + self._moment - time.monotonic(), 0.0))

    def _batch(self, first: Waiting) -> tuple[list[Waiting], bool]:
        """All that wait now, and whether these are the last."""
        batch = [first]
        while len(batch) < MOST:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

    def _keep(self, batch: list[Waiting]) -> list[tuple[dict[str, Any], Future[Kept]]]:
        """One statement for all; those that were known already. An event that comes twice in a batch is kept once."""
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for _, row, _ in batch:
            rows.setdefault((row["source"], row["key"]), row)
        began = time.monotonic()
        try:
            statement = keeping(self._store.engine.dialect.name)
            new = {(row[0], row[1]) for row in self._store.alone(statement, list(rows.values()))}
        except (WatchkeeperError, SQLAlchemyError) as error:
            problem = error if isinstance(error, WatchkeeperError) else Unavailable(f"the inbox: {error}")
            self._answers.submit(_fail, [future for _, _, future in batch], problem)
            return []
        self._took = time.monotonic() - began
        fresh, known = [], []
        for _, row, future in batch:
            key = (row["source"], row["key"])
            if rows[key] is row and key in new:
                fresh.append(future)
            else:
                known.append((row, future))
        self._answers.submit(_answer, fresh)
        return known

    def _compare(self, row: dict[str, Any], future: Future[Kept]) -> None:
        """Known already: by the same signature (a replay) or another one (sent again)."""
        if not row["proofs"]:
            future.set_result(Kept.AGAIN)
            return
        try:
            with self._store.write() as session:
                replayed = seen_with(session, row["source"], row["key"], row["proofs"][0])
        except (WatchkeeperError, SQLAlchemyError) as error:
            problem = error if isinstance(error, WatchkeeperError) else Unavailable(f"the inbox: {error}")
            future.set_exception(problem)
            return
        future.set_result(Kept.REPLAY if replayed else Kept.AGAIN)


def _answer(futures: list[Future[Kept]]) -> None:
    for future in futures:
        future.set_result(Kept.NEW)


def _fail(futures: list[Future[Kept]], problem: WatchkeeperError) -> None:
    for future in futures:
        future.set_exception(problem)
