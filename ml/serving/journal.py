"""The journal: what was answered stands on disk before the answer leaves, and waits there for the log.

Every process of the model server has a folder of its own under the journal's root, with a lock that it holds for as
long as it lives, and writes each request with one `write` at the end of a segment file. What was written survives
`kill -9` of the process: it is the kernel's by then. It survives a power cut only with `fsync`, at the price of
waiting for the disk at every request. What drains it is in `drain.py`; a folder whose process is gone is drained too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ml.errors import Unavailable
from ml.serving.cursor import Cursor
from ml.serving.records import Encoder, segment_name, segments
from ml.serving.rows import Answers, Rows

LOCK, REFUSED = "lock", "refused"
_LOOK_AGAIN = 0.05  # seconds between two looks at whether a full journal has room again

_UNFINISHED = 3600.0  # seconds after which a folder that is being made is not any more


class JournalFull(Unavailable):
    """The journal has no room, as the log has been away for long or the disk is full. retry_after: seconds."""

    retry_after = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """max_bytes: of all that is under the root, what the log refused too. segment_bytes: a file of the journal is about
    this large. when_full: refuse requests, or answer them without logging. fsync: survive a power cut, at a wait per
    request."""

    max_bytes: int = 4 << 30
    segment_bytes: int = 16 << 20
    when_full: Literal["refuse", "answer"] = "refuse"
    fsync: bool = False


@dataclass(slots=True)
class Counts:
    """Since the start of this process. unlogged: rows answered without logging as the journal was full."""

    rows: int = 0
    labels: int = 0
    bytes: int = 0
    unlogged: int = 0
    refused: int = 0


class Journal:
    """The folder of this process. Safe to share between threads; one process only (not over a fork)."""

    def __init__(self, root: Path, limits: Limits = Limits()) -> None:
        """Make a folder under the root, and lock it. Raises: Unavailable."""
        self.root, self.limits, self.counts = root, limits, Counts()
        name = uuid.uuid4().hex
        self.folder = root / name
        self._lock = threading.Lock()
        self._encoder = Encoder(name)
        self._position = self._base = 0  # of the next byte; of the segment
        self._segment: int | None = None
        self._room = 0  # bytes that may still be written before the files are counted again
        self._look_again = 0.0  # when the journal was full
        self._left = 0  # bytes of the segment
        try:
            hidden = root / f".{name}"
            hidden.mkdir(parents=True)
            self._held = os.open(hidden / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX)
            Cursor().save(hidden)
            hidden.rename(self.folder)  # seen by others only once it is locked
        except OSError as error:
            raise Unavailable(
                f"The journal at {root} cannot be made ({error.strerror}); give the model server a folder to write to."
            ) from None

    def record(
        self, model: str, route: str, version: str, rows: Rows, answers: Answers, latency_s: float, at: float
    ) -> bool:
        """Write what one request was answered; `at` is its time in seconds since 1970.

        Returns whether it was written: False where the journal is full and the setting is to answer all the same.
        Raises: JournalFull.
        """
        ids, columns = rows.ids, rows.columns
        with self._lock:
            pieces = self._encoder.served(
                model, route, version, int(at * 1e6), latency_s, ids, columns, answers.predictions, answers.scores
            )
            try:
                self._write(pieces)
            except JournalFull:
                if self.limits.when_full == "answer":
                    self.counts.unlogged += len(ids)
                    return False
                self.counts.refused += len(ids)
                raise
            self.counts.rows += len(ids)
            return True

    def record_labels(
        self, model: str, ids: Sequence[str], labels: Sequence[Any], times: Sequence[str | None], at: float
    ) -> None:
        """Write labels: None among the times is known `at`. Raises: JournalFull, whatever the setting."""
        with self._lock:
            self._write(self._encoder.labels(model, int(at * 1e6), ids, labels, times))
            self.counts.labels += len(ids)

    def close(self) -> None:
        """Let go of the folder: what is still in it is drained as that of any process that is gone."""
        with self._lock:
            self._leave()
            if self._held >= 0:
                os.close(self._held)
                self._held = -1

    def _write(self, pieces: list[bytes]) -> None:
        size = sum(map(len, pieces))
        if size > self._room:
            self._count(size)
        if self._segment is None or size > self._left:
            self._rotate()
        assert self._segment is not None
        try:
            written = os.writev(self._segment, pieces)
            if written < size:
                raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            self._undo()
            raise JournalFull(_full(f"cannot be written ({error.strerror})")) from None
        self._position += size
        self._room -= size
        self._left -= size
        self.counts.bytes += size
        if self.limits.fsync:
            try:
                os.fdatasync(self._segment)
            except OSError as error:  # it may have been read already: it stays, and the next segment is tried
                self._leave()
                raise JournalFull(_full(f"cannot be kept ({error.strerror})")) from None

    def _undo(self) -> None:
        """Take half a record off the end; where even that fails the segment is left, its tail known as torn."""
        assert self._segment is not None
        try:
            os.ftruncate(self._segment, self._position - self._base)
        except OSError:
            self._position = self._base + os.fstat(self._segment).st_size
            self._leave()

    def _leave(self) -> None:
        if self._segment is not None:
            os.close(self._segment)
            self._segment = None

    def _rotate(self) -> None:
        if self._held < 0:
            raise JournalFull(_full("is closed"))
        self._leave()
        path = self.folder / segment_name(self._position)
        try:
            self._segment = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            if self.limits.fsync:  # its name too
                for folder in (self.folder, self.root):
                    sync(folder)
        except OSError as error:
            raise JournalFull(_full(f"cannot be written ({error.strerror})")) from None
        self._base, self._left = self._position, self.limits.segment_bytes

    def _count(self, size: int) -> None:
        """Count the files, and allow so much until the next time. Raises: JournalFull."""
        now = time.monotonic()
        if now >= self._look_again:
            free = self.limits.max_bytes - size_of(self.root)
            self._room = min(free, max(self.limits.segment_bytes, size))
        if size > self._room:
            if now >= self._look_again:
                self._look_again = now + _LOOK_AGAIN
            held = self.limits.max_bytes >> 20
            raise JournalFull(_full(f"holds the {held} MB that it may, as the prediction log does not take them"))


def size_of(root: Path) -> int:
    """Bytes of all segments under the root, and of what the log would not have."""
    paths = [path for folder in folders(root) for _, path in segments(folder)]
    total = 0
    for path in [*paths, *(root / REFUSED).glob("*")]:
        with suppress(FileNotFoundError):  # drained meanwhile
            total += path.stat().st_size
    return total


def folders(root: Path) -> list[Path]:
    """The folders of processes, living and gone."""
    try:
        return sorted(path for path in root.iterdir() if (path / LOCK).exists() and not path.name.startswith("."))
    except FileNotFoundError:
        return []


def clear(root: Path) -> None:
    """Remove folders that were never finished, as their process was killed while it made them."""
    for path in root.glob(".*"):
        with suppress(FileNotFoundError):
            if path.is_dir() and time.time() - path.stat().st_mtime > _UNFINISHED:
                shutil.rmtree(path)


def is_orphan(folder: Path) -> bool:
    """Whether the process whose folder it is is gone."""
    try:
        held = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(held)


def replace(path: Path, text: str) -> None:
    """Write a file as a whole, or not at all. Raises: OSError."""
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def sync(folder: Path) -> None:
    """Have what stands in a folder survive a power cut. Raises: OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _full(what: str) -> str:
    return f"The journal {what}; answers are refused until there is room: try again in {JournalFull.retry_after} s."
