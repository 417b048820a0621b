"""A folder for each job: `job.json` says what was asked, `body` is what was sent, `state.json` how far it is, and
`result.ndjson` what was answered so far. A job is there as a whole or not at all, and what was accepted survives the
process.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from ml.errors import NotFound, Unavailable
from ml.serving.ids import made_id
from ml.serving.journal import replace as write_whole

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})
KEPT_SECONDS = 24 * 3600.0
MOST_WAITING = 100
BODY, RESULT, CANCEL = "body", "result.ndjson", "cancel"


class TooManyJobs(Unavailable):
    """So many wait already that another would only make all of them later."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked. version: the champion when it was. caller: whose job it is; None where nobody has a token."""

    id: str
    model: str
    version: str
    content_type: str
    at: float
    caller: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. rows: answered. share: of the body that was read, 0 to 1. bytes: of the result that counts;
    what stands behind it was written by a process that was killed. problem: why it failed, as a problem document."""

    state: State = "queued"
    rows: int = 0
    share: float = 0.0
    bytes: int = 0
    began: float | None = None
    ended: float | None = None
    problem: dict[str, Any] | None = field(default=None)


class Jobs:
    """All jobs under one folder; any process may ask, one carries them out."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def begin(self, model: str, version: str, content_type: str, caller: str | None) -> New:
        """A job whose body is still to be written. Raises: TooManyJobs; Unavailable when there is no room."""
        waiting = sum(1 for job in self.ids() if self.progress(job).state not in ENDED)
        if waiting >= MOST_WAITING:
            raise TooManyJobs(f"{waiting} jobs wait already; send another when some of them are done.")
        asked = Asked(made_id(), model, version, content_type, time.time(), caller)
        return New(self.root, asked)

    def ids(self) -> list[str]:
        """The jobs that were accepted, the oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(folder.name for folder in self.root.iterdir() if not folder.name.startswith("."))

    def folder(self, job: str) -> Path:
        return self.root / job

    def asked(self, job: str) -> Asked:
        """Raises: NotFound, also for what is no id of a job."""
        if not (job.isascii() and job.replace("-", "").isalnum()):
            raise NotFound(f"There is no job {job[:60]!r}; it may have expired.")
        try:
            return Asked(**orjson.loads((self.folder(job) / "job.json").read_bytes()))
        except (FileNotFoundError, NotADirectoryError, OSError):
            raise NotFound(f"There is no job {job[:60]!r}; it may have expired.") from None

    def progress(self, job: str) -> Progress:
        try:
            return Progress(**orjson.loads((self.folder(job) / "state.json").read_bytes()))
        except FileNotFoundError:
            pass
        try:
            return Progress("cancelled", ended=(self.folder(job) / CANCEL).stat().st_mtime)
        except FileNotFoundError:
            return Progress()

    def note(self, job: str, progress: Progress) -> None:
        """Raises: OSError."""
        write_whole(self.folder(job) / "state.json", orjson.dumps(asdict(progress)).decode())

    def cancel(self, job: str) -> Progress:
        """Ask that a job be ended; one that has ended stays as it is. Raises: NotFound."""
        self.asked(job)
        if self.progress(job).state not in ENDED:
            (self.folder(job) / CANCEL).touch()
        return self.progress(job)

    def is_cancelled(self, job: str) -> bool:
        return (self.folder(job) / CANCEL).exists()

    def expire(self, now: float, kept: float = KEPT_SECONDS) -> list[str]:
        """Delete what ended longer ago than it is kept, and what was never sent to its end."""
        gone = []
        for job in self.ids():
            ended = self.progress(job).ended
            if ended is not None and now - ended > kept:
                shutil.rmtree(self.folder(job), ignore_errors=True)
                gone.append(job)
        for part in self.root.glob(".*"):
            if now - part.stat().st_mtime > kept:
                shutil.rmtree(part, ignore_errors=True)
        return gone

    def read_result(self, job: str, size: int = 1 << 20) -> Iterator[bytes]:
        """The answers so far, whole lines, in parts of about `size` bytes."""
        left = self.progress(job).bytes
        if not left:
            return
        with (self.folder(job) / RESULT).open("rb") as file:
            while left > 0:
                part = file.read(min(size, left))
                if not part:
                    return
                left -= len(part)
                yield part


class New:
    """A job that is being sent. `accept` makes it one; without it nothing of it stays."""

    def __init__(self, root: Path, asked: Asked) -> None:
        self.asked = asked
        self._root, self._hidden = root, root / f".{asked.id}"
        try:
            self._hidden.mkdir(parents=True)
            self._file = (self._hidden / BODY).open("wb")
        except OSError as error:
            raise Unavailable(f"No job can be taken: {error.strerror}.") from None

    def write(self, part: bytes) -> None:
        """Raises: Unavailable when the disk is full."""
        try:
            self._file.write(part)
        except OSError as error:
            self.drop()
            raise Unavailable(f"The job cannot be stored: {error.strerror}.") from None

    def accept(self) -> str:
        """From now on it will be answered. Raises: Unavailable."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            write_whole(self._hidden / "job.json", orjson.dumps(asdict(self.asked)).decode())
            self._hidden.rename(self._root / self.asked.id)
        except OSError as error:
            self.drop()
            raise Unavailable(f"The job cannot be stored: {error.strerror}.") from None
        return self.asked.id

    def drop(self) -> None:
        self._file.close()
        shutil.rmtree(self._hidden, ignore_errors=True)
