"""`POST /models/NAME/jobs`, and `/jobs/ID`: how far it is, its result, its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from ml.errors import NotFound
from ml.serving.follower import Served
from ml.serving.jobs.formats import CSV, LINES, kind_of, to_csv
from ml.serving.jobs.store import ENDED, KEPT_SECONDS, Asked, Jobs, Progress
from ml.serving.problems import Refused
from ml.serving.wire import Reply, Request, json_reply, read_parts


class JobRoutes:
    """most_bytes: of one body."""

    def __init__(self, jobs: Jobs, most_bytes: int) -> None:
        self._jobs, self._most = jobs, most_bytes

    async def create(self, request: Request, served: Served) -> Reply:
        """202 as soon as the whole body is on disk. Raises: Refused, Unavailable."""
        content_type = request.header(b"content-type") or "application/json"
        kind_of(content_type)
        new = self._jobs.begin(served.model, served.routes.champion, content_type, request.caller)
        try:
            async for part in read_parts(request, self._most):
                await asyncio.to_thread(new.write, part) if len(part) > 1 << 20 else new.write(part)
            job = await asyncio.to_thread(new.accept)
        except BaseException:
            new.drop()
            raise
        return json_reply(self._document(self._jobs.asked(job)), 202, [(b"location", f"/jobs/{job}".encode())])

    async def show(self, request: Request, job: str) -> Reply:
        return json_reply(self._document(self._mine(request, job)))

    async def cancel(self, request: Request, job: str) -> Reply:
        asked = self._mine(request, job)
        self._jobs.cancel(job)
        return json_reply(self._document(asked), 202)

    async def result(self, request: Request, job: str) -> Reply:
        """The answers, in the order of the rows; JSON lines, or CSV where that is accepted. Raises: Refused (409)."""
        self._mine(request, job)
        progress = self._jobs.progress(job)
        if progress.state not in ENDED:
            raise Refused(
                409, "not done", f"The job is {progress.state}, {progress.rows:,} rows are answered; ask again later.",
                headers={"retry-after": "2"},
            )  # fmt: skip
        as_csv = CSV in request.header(b"accept")
        kind = CSV if as_csv else LINES
        name = f'attachment; filename="{job}.{"csv" if as_csv else "ndjson"}"'.encode()
        headers = [(b"content-disposition", name), (b"x-watchkeeper-job", progress.state.encode())]
        return Reply(200, b"", kind.encode(), headers, stream=self._stream(job, as_csv))

    async def _stream(self, job: str, as_csv: bool) -> AsyncIterator[bytes]:
        rest, first = b"", True
        for part in self._jobs.read_result(job):
            if not as_csv:
                yield part
                continue
            lines, _, rest = (rest + part).rpartition(b"\n")
            yield await asyncio.to_thread(to_csv, lines, header=first)
            first = False
        if as_csv and first:
            yield to_csv(b"", header=True)

    def _mine(self, request: Request, job: str) -> Asked:
        """Raises: NotFound, also for the job of somebody else."""
        asked = self._jobs.asked(job)
        if asked.caller != request.caller:
            raise NotFound(f"There is no job {job[:60]!r}; it may have expired.")
        return asked

    def _document(self, asked: Asked) -> dict[str, Any]:
        progress = self._jobs.progress(asked.id)
        return {
            "id": asked.id,
            "model": asked.model,
            "version": asked.version,
            "state": progress.state,
            "rows": progress.rows,
            "share": round(progress.share, 4),
            "asked_at": _moment(asked.at),
            "began_at": _moment(progress.began),
            "ended_at": _moment(progress.ended),
            "seconds_left": _left(progress),
            "expires_at": _moment(None if progress.ended is None else progress.ended + KEPT_SECONDS),
            "problem": progress.problem,
            "result": f"/jobs/{asked.id}/result" if progress.state in ENDED else None,
        }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _left(progress: Progress) -> float | None:
    """What is left at the pace so far."""
    if progress.state != "running" or not progress.share or progress.began is None:
        return None
    took = datetime.now(UTC).timestamp() - progress.began
    return round(took * (1 - progress.share) / progress.share, 1)
