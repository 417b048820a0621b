"""Requests that meet a slow engine are answered together: while one call runs, those that come wait for the next.

Nobody waits for others to come, so a single caller is as fast as before; the more there are, the more go in one call.
It pays where a call costs much more than a row: a model that is answered natively, through a table. An engine that
takes twenty microseconds is faster without (measured: see decision 0015).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ml.errors import DataError
from ml.serving.rows import Answers, Engine, Rows

MOST_ROWS = 1_000
"""Rows of one call: more take so long that the wait is felt."""


@dataclass(slots=True)
class _Waiting:
    engine: Engine
    rows: Rows
    answers: asyncio.Future[Answers]


class Gatherer:
    """Answers for one model, one call after the other, in threads. Used from one event loop. rows, calls: so far."""

    def __init__(self, threads: Executor) -> None:
        self.rows = self.calls = 0
        self._threads = threads
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None

    async def answer(self, engine: Engine, rows: Rows) -> Answers:
        """As `engine.answer`, for one request. Raises: DataError for these rows, whatever the others hold."""
        waiting = _Waiting(engine, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await waiting.answers

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken = self._take()
                if taken:
                    await self._answer(taken)
        finally:
            self._running = None
            for left in self._waiting:  # this task was ended: nobody else would answer them
                left.answers.cancel()
            self._waiting = []

    def _take(self) -> list[_Waiting]:
        """The longest waiting, and those behind it of the same engine and columns, as far as there is room."""
        waiting = [one for one in self._waiting if not one.answers.done()]  # the others have given up
        if not waiting:
            self._waiting = []
            return []
        first, room = waiting[0], MOST_ROWS
        taken: list[_Waiting] = []
        left: list[_Waiting] = []
        for one in waiting:
            if one is first or (len(one.rows) <= room and _alike(one, first)):
                taken.append(one)
                room -= len(one.rows)
            else:
                left.append(one)
        self._waiting = left
        return taken

    async def _answer(self, taken: Sequence[_Waiting]) -> None:
        rows = taken[0].rows if len(taken) == 1 else _joined([one.rows for one in taken])
        self.calls += 1
        self.rows += len(rows)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, taken[0].engine.answer, rows)
        except DataError as error:
            if len(taken) == 1:
                _tell(taken[0], error)
                return
            for one in taken:  # somebody's rows are wrong: each alone, so that the others are answered
                await self._answer([one])
            return
        except asyncio.CancelledError:
            for one in taken:
                one.answers.cancel()
            raise
        except Exception as error:  # noqa: BLE001 (the edge to model files: each who waits is told)
            for one in taken:
                _tell(one, error)
            return
        start = 0
        for one in taken:
            end = start + len(one.rows)
            if not one.answers.done():
                one.answers.set_result(Answers(found.predictions[start:end], found.scores[start:end]))
            start = end


def _alike(one: _Waiting, other: _Waiting) -> bool:
    return one.engine is other.engine and list(one.rows.columns) == list(other.rows.columns)


def _tell(one: _Waiting, error: Exception) -> None:
    if not one.answers.done():
        one.answers.set_exception(error)


def _joined(parts: Sequence[Rows]) -> Rows:
    columns: dict[str, list[Any]] = {
        name: list(chain.from_iterable(part.columns[name] for part in parts)) for name in parts[0].columns
    }
    return Rows(columns, [one for part in parts for one in part.ids])
