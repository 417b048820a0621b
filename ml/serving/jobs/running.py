"""The process that carries jobs out, one after the other, part by part.

Each part is answered, journalled, written to the result, and then noted: killed anywhere, the next process begins with
the first part that is not noted. Its rows have the same prediction ids again, so the log has them once.
"""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import orjson

from ml.errors import NotFound, WatchkeeperError
from ml.serving import problems, state
from ml.serving.ids import COLUMN, check_row_ids
from ml.serving.jobs.formats import read_parts
from ml.serving.jobs.store import BODY, ENDED, RESULT, Jobs, Progress
from ml.serving.journal import Journal
from ml.serving.journal import Limits as Keeping
from ml.serving.preparing import open_version
from ml.serving.problems import Refused
from ml.serving.routing import CHAMPION
from ml.serving.rows import Answers, Engine, Rows
from ml.serving.signature import Signature

log = logging.getLogger(__name__)
LOCK = ".running"
EVERY = 0.5


@dataclass(frozen=True)
class Place:
    """Where a runner finds things. saved: what is served, see `state`. seconds: that one job may take.
    keeping: how much the journal may hold."""

    jobs: Path
    models: Path
    journal: Path
    saved: Path
    allow_pickle: bool = False
    seconds: float = 6 * 3600.0
    keeping: Keeping = field(default_factory=Keeping)


class JobsProcess:
    """Keeps one runner going while there are jobs; it ends when there is nothing to do."""

    def __init__(self, place: Place) -> None:
        self._place, self._process = place, None
        self._jobs = Jobs(place.jobs)

    _process: BaseProcess | None

    def ensure(self) -> None:
        """Start a runner if there is work and none at it; to be called now and then."""
        if self._process is not None and self._process.is_alive():
            return
        if any(self._jobs.progress(job).state not in ENDED for job in self._jobs.ids()):
            context = multiprocessing.get_context("spawn")
            self._process = context.Process(target=run_until_idle, args=(self._place, os.getpid()), name="jobs")
            self._process.start()

    def stop(self, timeout: float = 3.0) -> None:
        """End it after the part that it is at; the next start goes on from there."""
        if self._process is None:
            return
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(timeout)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process = None


def run_until_idle(place: Place, parent: int) -> None:
    """Carry out what waits, until nothing does, SIGTERM, or the process that started this one is gone."""
    os.nice(5)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs = Jobs(place.jobs)
    with _alone(place.jobs) as mine:
        if not mine:
            return
        journal = Journal(place.journal, place.keeping)
        try:
            while not told.is_set() and os.getppid() == parent:
                jobs.expire(time.time())
                waiting = [job for job in jobs.ids() if jobs.progress(job).state not in ENDED]
                if not waiting:
                    return
                run(place, jobs, waiting[0], journal, lambda: told.is_set() or os.getppid() != parent)
        finally:
            journal.close()


@contextmanager
def _alone(root: Path) -> Iterator[bool]:
    """Whether no other server carries out the jobs of this folder."""
    root.mkdir(parents=True, exist_ok=True)
    held = os.open(root / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(held)


def run(place: Place, jobs: Jobs, job: str, journal: Journal, told: Callable[[], bool]) -> Progress:
    """Carry one job out, from where it was left, until its end or until `told`; how far it is then."""
    progress = replace(jobs.progress(job), state="running")
    progress = replace(progress, began=progress.began or time.time())
    try:
        progress = _answer_parts(place, jobs, job, journal, progress, told)
    except WatchkeeperError as error:
        progress = _failed(jobs.progress(job), problems.as_refused(error), job)
    except Exception as error:  # the edge of the job: what was sent, and a model's own code
        log.exception("job %s broke", job)
        broken = Refused(500, "broken", f"The job broke ({type(error).__name__}); the server's log says more.")
        progress = _failed(jobs.progress(job), broken, job)
    if progress.state in ENDED:
        jobs.note(job, replace(progress, ended=time.time()))
        (jobs.folder(job) / BODY).unlink(missing_ok=True)
    return progress


def _answer_parts(
    place: Place, jobs: Jobs, job: str, journal: Journal, progress: Progress, told: Callable[[], bool]
) -> Progress:
    asked = jobs.asked(job)
    if jobs.is_cancelled(job):
        return replace(progress, state="cancelled")
    jobs.note(job, progress)
    engine, signature = _open(place, asked.model, asked.version)
    folder, done = jobs.folder(job), 0
    deadline = (progress.began or time.time()) + place.seconds
    with (folder / RESULT).open("ab") as result:
        result.truncate(progress.bytes)
        for part in read_parts(folder / BODY, asked.content_type, signature.order):
            first, done = done, done + part.table.count
            if done <= progress.rows:
                continue
            if told():
                return progress
            if jobs.is_cancelled(job):
                return replace(progress, state="cancelled")
            if time.time() > deadline:
                raise Refused(504, "too slow", f"The job took longer than {place.seconds / 3600:g} h and was ended.")
            began, at = time.perf_counter(), time.time()
            rows = _checked(signature, part.table.columns, part.table.count, job, first)
            answers = engine.answer(rows)
            journal.record(
                asked.model, CHAMPION, asked.version, rows, answers, time.perf_counter() - began, at
            )  # fmt: skip
            result.write(_written(rows, answers))
            result.flush()
            progress = replace(progress, rows=done, share=part.share, bytes=result.tell())
            jobs.note(job, progress)
    return replace(progress, state="done", share=1.0)


def _open(place: Place, model: str, version: str) -> tuple[Engine, Signature]:
    """Raises: NotFound when the version is served no more."""
    served = state.load(place.saved, place.models).get(model)
    if served is None or version not in served.folders:
        raise NotFound(f"Version {version} of {model!r} is not served here any more; send the job again.")
    folder = place.models / served.folders[version]
    return open_version(folder, served.spec, version, allow_pickle=place.allow_pickle), Signature(served.spec)


def _checked(signature: Signature, columns: object, count: int, job: str, first: int) -> Rows:
    """Raises: Refused whose row numbers are those of the whole body."""
    assert isinstance(columns, dict)
    try:
        checked = signature.check(columns, count)
        given = columns.get(COLUMN)
        ids = check_row_ids(given) if given else [f"{job}.{row}" for row in range(first, first + count)]
    except Refused as error:
        faults = [replace(f, row=None if f.row is None else f.row + first) for f in error.faults]
        raise (problems.refuse_rows(faults) if faults else error) from None
    return Rows(checked, ids)


def _written(rows: Rows, answers: Answers) -> bytes:
    lines = []
    for name, prediction, score in zip(rows.ids, answers.predictions, answers.scores, strict=True):
        line = {"prediction_id": name, "prediction": prediction}
        lines.append(
            orjson.dumps(line if score is None else {**line, "score": score}, option=orjson.OPT_SERIALIZE_NUMPY)
        )
    return b"\n".join(lines) + b"\n"


def _failed(progress: Progress, refused: Refused, job: str) -> Progress:
    return replace(progress, state="failed", problem=problems.document(refused, f"/jobs/{job}"))
