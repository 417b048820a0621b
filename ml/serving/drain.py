"""The drain: what stands in the journal goes into the prediction log, in few commits, exactly once.

One process drains all folders under a journal's root (it holds the root's lock), those of processes that are gone too.
Before a stretch of a folder is committed its end is written down, so that after a crash the same stretch is committed
again, as the same position of the same stream: the log refuses what it has. When the log is away the drain waits,
longer each time, and the journal grows; answers go on.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ml.data.delta import TypeChanged
from ml.data.prediction_log import PredictionLog
from ml.errors import DataError, InvalidInput, Unavailable
from ml.serving.appending import Appending, Record
from ml.serving.backlog import Drained, waiting
from ml.serving.cursor import Cursor
from ml.serving.journal import REFUSED, clear, folders, is_orphan, replace
from ml.serving.records import Damage, decode, scan, segments

if TYPE_CHECKING:
    from ml.spec import ModelSpec

DRAIN_LOCK = "drain.lock"
MOST_BYTES = 32 << 20  # of records that one commit takes: rows of long texts are many bytes
ENOUGH = 4 << 20  # bytes that are committed without waiting for the pace
MANY = 300  # small files of a model that are joined to large ones
SLOWEST = 10.0  # seconds between two tries while the log is away


@dataclass(slots=True)
class Stretch:
    """Records between two positions of a folder."""

    end: int
    rows: int = 0
    records: list[Record] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    unreadable: list[tuple[bytes, str]] = field(default_factory=list)


class Drain:
    """Takes the journals under `root` into the log. specs: gives the spec of a model, None for one that is unknown.
    every: seconds between two looks. pace: seconds between two commits of a folder, unless much waits; the first rows
    after a quiet time are committed at once. Every commit stays in the table's history for a month, so that one a
    second would be more files than a folder can bear."""

    def __init__(
        self,
        root: Path,
        log: PredictionLog,
        specs: Callable[[str], ModelSpec | None],
        *,
        every: float = 1.0,
        pace: float = 0.0,
        max_rows: int = 20_000,
    ) -> None:
        self.root, self.log, self.specs = root, log, specs
        self.every, self.pace, self.max_rows = every, pace, max_rows
        self.did = Drained()
        self._appending = Appending(root, log, self.did)
        self._small: dict[str, int] = {}  # files since the last time that they were joined, by model
        self._committed: dict[str, float] = {}  # when, by folder
        self._ending = False

    def run(self, stop: threading.Event) -> None:
        """Drain until told to stop, then once more; waits while another process drains this root."""
        while not stop.is_set():
            with drain_lock(self.root) as held:
                if held:
                    self._run(stop)
            stop.wait(self.every)

    def _run(self, stop: threading.Event) -> None:
        pause = self.every
        while True:
            self._ending = stop.is_set()
            try:
                self.once()
                self.did.failure, pause = None, self.every
            except (Unavailable, OSError) as error:
                self.did.failures += 1
                self.did.failure, pause = str(error), min(pause * 2, SLOWEST)
            self.did.tell(self.root)
            if self._ending:
                return
            stop.wait(pause)

    def once(self) -> int:
        """Take what is there, and delete what is in the log. Returns the rows. Raises: Unavailable; OSError."""
        self._appending.begin()
        before = self.did.rows
        clear(self.root)
        left = folders(self.root)
        while left:  # in turns: the load on one process holds up no other's folder
            left = [folder for folder in left if self._drain(folder)]
            for model in [model for model, files in self._small.items() if files >= MANY]:
                self._small[model] = 0  # and if it fails: after as many again
                self.log.compact(model)
            self.did.tell(self.root)
        return self.did.rows - before

    def _drain(self, folder: Path) -> bool:
        """Commit the next stretch of a folder; whether there is another to commit at once."""
        gone = is_orphan(folder)  # before reading: nothing comes after what is read then
        cursor = Cursor.of(folder)
        if not gone and not self._is_due(folder):
            return False
        stretch = self._stretch(folder, cursor, live=not gone)
        if stretch is None:
            if gone:
                shutil.rmtree(folder)
                self._committed.pop(folder.name, None)
            return False
        again = cursor.pending is not None
        Cursor(cursor.done, stretch.end).save(folder)
        self._commit(folder.name, stretch, again=again)
        Cursor(stretch.end).save(folder)
        self._committed[folder.name] = time.monotonic()
        self.did.damaged += sum(not damage.torn for damage in stretch.damages)
        self.did.torn += sum(damage.torn for damage in stretch.damages)
        for (_, path), (following, _) in itertools.pairwise(segments(folder)):
            if following <= stretch.end:
                path.unlink()
        full = stretch.rows >= self.max_rows or stretch.end - cursor.done >= MOST_BYTES
        return gone or again or full  # else what came meanwhile is for the next commit

    def _is_due(self, folder: Path) -> bool:
        rested = time.monotonic() - self._committed.get(folder.name, -math.inf) >= self.pace
        return rested or self._ending or waiting(folder) >= ENOUGH

    def _stretch(self, folder: Path, cursor: Cursor, *, live: bool) -> Stretch | None:
        """What comes next: up to the pending end, or else as much as one commit takes."""
        stretch = Stretch(cursor.done)
        for item in scan(folder, cursor.done, live=live):
            if cursor.pending is not None and item.end > cursor.pending:
                break
            stretch.end = item.end
            if isinstance(item, Damage):
                stretch.damages.append(item)
                continue
            try:
                record = decode(item.payload)
            except ValueError as error:
                stretch.unreadable.append((item.payload, str(error)))
                continue
            stretch.records.append(record)
            stretch.rows += len(record.ids)
            if cursor.pending is None and (stretch.rows >= self.max_rows or stretch.end - cursor.done >= MOST_BYTES):
                break
        return stretch if stretch.end > cursor.done else None

    def _commit(self, stream: str, stretch: Stretch, *, again: bool) -> None:
        if stretch.unreadable:
            lines = [{"why": f"It is {why}.", "payload": payload.hex()} for payload, why in stretch.unreadable]
            self._put_aside(f"unreadable-{stream}-{stretch.end}", lines)
            self.did.refused += len(lines)
        for model in dict.fromkeys(record.model for record in stretch.records):
            records = [record for record in stretch.records if record.model == model]
            spec = self.specs(model)
            if spec is None:
                self._refuse(stream, stretch.end, model, records, f"There is no spec of the model {model!r}.")
                continue
            try:
                self._append(stream, stretch.end, spec, records, again=again)
            except TypeChanged as error:  # of every row
                self._refuse(stream, stretch.end, model, records, str(error))
            except InvalidInput as error:
                self._one_by_one(stream, stretch.end, spec, records, error)

    def _append(self, stream: str, end: int, spec: ModelSpec, records: Sequence[Record], *, again: bool) -> None:
        try:
            files = self._appending.append(stream, end, spec, records, again=again)
        except (
            ValueError,
            TypeError,
            OverflowError,
        ) as error:  # no checked request has such values; nothing may stop here
            raise DataError(f"The rows cannot be made a table ({type(error).__name__}: {error}).") from error
        self.did.commits += files
        self._small[spec.name] = self._small.get(spec.name, 0) + files

    def _one_by_one(self, stream: str, end: int, spec: ModelSpec, records: list[Record], error: InvalidInput) -> None:
        """One record that the log refuses does not keep the others out: each by itself, as a stream of its own."""
        if len(records) == 1:
            self._refuse(stream, end, spec.name, records, str(error))
            return
        for part, half in enumerate((records[: len(records) // 2], records[len(records) // 2 :])):
            try:
                self._append(f"{stream}.{part}", end, spec, half, again=True)
            except InvalidInput as found:
                self._one_by_one(f"{stream}.{part}", end, spec, half, found)

    def _refuse(self, stream: str, end: int, model: str, records: list[Record], why: str) -> None:
        lines = [{"why": why, **asdict(record)} for record in records]
        self._put_aside(f"{model}-{stream}-{end}", lines)
        self.did.refused += sum(len(record.ids) for record in records)

    def _put_aside(self, name: str, lines: Sequence[Mapping[str, object]]) -> None:
        """Keep what the log will not have in a file of its own, for a person to look at."""
        folder = self.root / REFUSED
        folder.mkdir(exist_ok=True)
        replace(folder / f"{name}.jsonl", "".join(json.dumps(line, default=_plain) + "\n" for line in lines))


@contextmanager
def drain_lock(root: Path) -> Iterator[bool]:
    """Whether this process is the one that drains the root; held until the end of the block."""
    root.mkdir(parents=True, exist_ok=True)
    held = os.open(root / DRAIN_LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(held)


def _plain(value: object) -> object:
    """A column of numbers that is kept as its bytes."""
    return np.frombuffer(value, np.float64).tolist() if isinstance(value, bytes) else str(value)
