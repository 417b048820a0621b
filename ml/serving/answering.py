"""From checked columns to answers: which version, on which thread, within which time; journalled before they leave."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ml.errors import NotFound, WatchkeeperError
from ml.serving import ids as prediction_ids
from ml.serving import labels
from ml.serving.follower import Engines, Follower, Served
from ml.serving.gathering import Gatherer
from ml.serving.inputs import Table
from ml.serving.journal import Journal
from ml.serving.limits import Limits
from ml.serving.metrics import Metrics
from ml.serving.problems import Refused
from ml.serving.routing import CHAMPION, PINNED, SHADOW, choose
from ml.serving.rows import Answers, Engine, Rows
from ml.serving.signature import too_many

log = logging.getLogger(__name__)
SMALL = 64
"""Rows that are answered on the event loop itself: handing them to a thread costs more than computing them."""
MANY = 1_000
"""Rows from which on they are also checked in a thread, so that others are answered meanwhile."""
SHADOWS_WAITING = 64


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers of one request, in the order of its rows. versions, routes: the different ones, in order."""

    answers: Answers
    ids: Sequence[str]
    request_id: str
    versions: tuple[str, ...]
    routes: tuple[str, ...]


class Answering:
    """Answers tables for one process; used from its event loop only."""

    def __init__(
        self, follower: Follower, engines: Engines, journal: Journal, limits: Limits, metrics: Metrics | None = None
    ) -> None:
        self.follower, self.engines, self.journal, self.limits = follower, engines, journal, limits
        self.metrics = metrics
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="answer")
        self._gatherers: dict[str, Gatherer] = {}
        self._shadows = 0

    async def answer(self, served: Served, table: Table, request_id: str | None, pinned: str | None) -> Answered:
        """Raises: Refused for rows that break a rule or a version that cannot answer."""
        began, at = time.perf_counter(), time.time()
        if table.count > self.limits.most_rows:
            raise too_many(table.count, self.limits.most_rows)
        if table.count == 0:
            raise Refused(400, "no rows", "There are no rows; send at least one.")
        columns = await self._checked(served, table)
        given = table.columns.get(prediction_ids.COLUMN)
        request_id = request_id or prediction_ids.made_id()
        ids = prediction_ids.check_row_ids(given) if given else prediction_ids.row_ids(request_id, table.count)
        rows = Rows(columns, ids)
        parts = self._parts(served, rows, request_id, given is not None, pinned)
        found: list[tuple[Rows, Answers, str, str]] = []
        for version, route, part in parts:
            part_rows = rows if part is None else rows.take(part)
            folder = served.folders.get(version) or await self._prepared(served.model, version)
            engine = self.engines.ready(served.model, folder) or await self._open(served.model, folder)
            answers = await self._compute(engine, part_rows)
            found.append((part_rows, answers, version, route))
        latency = time.perf_counter() - began
        for part_rows, answers, version, route in found:
            self.journal.record(served.model, route, version, part_rows, answers, latency, at)
            if self.metrics is not None:
                self.metrics.answered(served.model, version, route, len(part_rows), latency)
        versions = tuple(dict.fromkeys(version for _, _, version, _ in found))
        routes = tuple(dict.fromkeys(route for *_, route in found))
        if len(found) == 1:
            return Answered(found[0][1], ids, request_id, versions, routes)
        merged = _merge([part for _, _, part in parts], [item[1] for item in found], len(rows))
        return Answered(merged, ids, request_id, versions, routes)

    def _parts(
        self, served: Served, rows: Rows, request_id: str, by_row: bool, pinned: str | None
    ) -> list[tuple[str, str, list[int] | None]]:
        """Version, route and rows (None: all) of each part of a request."""
        routes = served.routes
        if pinned is not None:
            return [(pinned, PINNED, None)]
        if not routes.splits:
            return [(routes.champion, CHAMPION, None)]
        entity = rows.columns.get(served.signature.spec.entity or "")
        if entity is None and not by_row:
            return [(*choose(routes, served.model, request_id), None)]
        keys = rows.ids if entity is None else [name or one for name, one in zip(entity, rows.ids, strict=True)]
        places: dict[tuple[str, str], list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(choose(routes, served.model, str(key)), []).append(place)
        if len(places) == 1:
            return [(*next(iter(places)), None)]
        return [(*way, part) for way, part in places.items()]

    async def _checked(self, served: Served, table: Table) -> dict[str, Sequence[Any]]:
        if table.count < MANY:
            return served.signature.check(table.columns, table.count)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, served.signature.check, table.columns, table.count)

    async def _open(self, model: str, folder: str) -> Engine:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, self.engines.get, model, folder)

    async def _prepared(self, model: str, version: str) -> str:
        if not (version.isascii() and version.isdigit() and len(version) < 10):
            raise NotFound(f"{model!r} has no version {version[:40]!r}; versions are numbers.")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self.follower.wait_for, model, version, self.limits.seconds)

    async def _compute(self, engine: Engine, rows: Rows) -> Answers:
        if engine.kind == "native":
            gatherer = self._gatherers.get(engine.model)
            if gatherer is None:
                gatherer = self._gatherers[engine.model] = Gatherer(self.threads)
            return await gatherer.answer(engine, rows)
        if len(rows) <= SMALL:
            return engine.answer(rows)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, engine.answer, rows)

    def take_labels(self, served: Served, body: bytes) -> dict[str, int]:
        """Labels into the journal. Raises: Refused, JournalFull."""
        return labels.take(body, served.signature.spec, self.journal, time.time(), most_rows=self.limits.most_rows)

    def shadow(self, served: Served, table: Table, answered: Answered) -> None:
        """Have the shadow answer the same rows once the caller has its answer; logged, never returned.

        When too many wait, the shadow leaves some out: it must not slow the others down.
        """
        version = served.routes.shadow
        if version is None:
            return
        if self._shadows >= SHADOWS_WAITING:
            if self.metrics is not None:
                self.metrics.shadow_dropped(served.model, table.count)
            return
        self._shadows += 1
        asyncio.get_running_loop().run_in_executor(
            self.threads, self._answer_in_shadow, served, version, table, answered
        ).add_done_callback(self._shadow_done)

    def _answer_in_shadow(self, served: Served, version: str, table: Table, answered: Answered) -> None:
        began, at = time.perf_counter(), time.time()
        rows = Rows(served.signature.check(table.columns, table.count), answered.ids)
        answers = self.engines.get(served.model, served.folders[version]).answer(rows)
        self.journal.record(served.model, SHADOW, version, rows, answers, time.perf_counter() - began, at)

    def _shadow_done(self, future: asyncio.Future[None]) -> None:
        self._shadows -= 1
        error = None if future.cancelled() else future.exception()
        if isinstance(error, WatchkeeperError):
            log.warning("The shadow could not answer: %s", error)
        elif error is not None:
            log.error("The shadow broke.", exc_info=error)

    def close(self) -> None:
        self.threads.shutdown(wait=True, cancel_futures=True)


def _merge(parts: Sequence[list[int] | None], answers: Sequence[Answers], count: int) -> Answers:
    predictions: list[Any] = [None] * count
    scores: list[float | None] = [None] * count
    for part, answer in zip(parts, answers, strict=True):
        for place, prediction, score in zip(part or (), answer.predictions, answer.scores, strict=True):
            predictions[place], scores[place] = prediction, score
    return Answers(predictions, scores)
