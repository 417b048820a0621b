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
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ml.data.prediction_log import PredictionLog
from ml.errors import InvalidInput, Unavailable
from ml.serving.drained import SHADOW, labels_frame, served_frame
from ml.serving.journal import folders, is_orphan
from ml.serving.records import Damage, Labelled, Served, decode, scan, segments

if TYPE_CHECKING:
    from ml.spec import ModelSpec

Record = Served | Labelled
DRAIN_LOCK, STATUS, CURSOR = "drain.lock", "drain.json", "cursor.json"
REFUSED = "refused"
SLOWEST = 30.0  # seconds between two tries while the log is away


@dataclass(slots=True)
class Drained:
    """What this drain did since it started. behind: bytes that wait. waiting_since: seconds since 1970, of the oldest
    row that waits. failure: why the log took nothing, the last time."""

    rows: int = 0
    shadow: int = 0
    labels: int = 0
    duplicates: int = 0
    refused: int = 0
    commits: int = 0
    damaged: int = 0
    torn: int = 0
    failures: int = 0
    failure: str | None = None
    behind: int = 0
    waiting_since: float | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a folder is in the log (`done`), and the end of the stretch that is about to be, if any."""

    done: int = 0
    pending: int | None = None

    @classmethod
    def of(cls, folder: Path) -> Cursor:
        try:
            return cls(**json.loads((folder / CURSOR).read_text()))
        except FileNotFoundError:
            return cls()

    def save(self, folder: Path) -> None:
        _replace(folder / CURSOR, json.dumps(asdict(self)))


@dataclass(slots=True)
class Stretch:
    """Records between two positions of a folder."""

    end: int
    rows: int = 0
    records: list[Record] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)


class Drain:
    """Takes the journals under `root` into the log. `specs` gives the spec of a model, None for one that is unknown."""

    def __init__(
        self,
        root: Path,
        log: PredictionLog,
        specs: Callable[[str], ModelSpec | None],
        *,
        every: float = 1.0,
        max_rows: int = 50_000,
    ) -> None:
        self.root, self.log, self.specs, self.every, self.max_rows = root, log, specs, every, max_rows
        self.did = Drained()

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
            last = stop.is_set()
            try:
                self.once()
                self.did.failure, pause = None, self.every
            except (Unavailable, OSError) as error:
                self.did.failures += 1
                self.did.failure, pause = str(error), min(pause * 2, SLOWEST)
            self._say()
            if last:
                return
            stop.wait(pause)

    def once(self) -> int:
        """Take what is there, and delete what is in the log. Returns the rows. Raises: Unavailable; OSError."""
        before = self.did.rows
        for folder in folders(self.root):
            gone = is_orphan(folder)  # before reading: nothing comes after what is read then
            self._drain(folder, live=not gone)
            if gone:
                shutil.rmtree(folder)
        return self.did.rows - before

    def _drain(self, folder: Path, *, live: bool) -> None:
        cursor = Cursor.of(folder)
        while stretch := self._stretch(folder, cursor, live=live):
            cursor = Cursor(cursor.done, stretch.end)
            cursor.save(folder)
            self._commit(folder.name, stretch)
            cursor = Cursor(stretch.end)
            cursor.save(folder)
            self.did.damaged += sum(not damage.torn for damage in stretch.damages)
            self.did.torn += sum(damage.torn for damage in stretch.damages)
            files = segments(folder)
            for (_, path), (following, _) in itertools.pairwise(files):
                if following <= cursor.done:
                    path.unlink()

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
                stretch.unreadable.append((item.end, str(error)))
                continue
            stretch.records.append(record)
            stretch.rows += len(record.ids)
            if cursor.pending is None and stretch.rows >= self.max_rows:
                break
        return stretch if stretch.end > cursor.done else None

    def _commit(self, stream: str, stretch: Stretch) -> None:
        for model in dict.fromkeys(record.model for record in stretch.records):
            records = [record for record in stretch.records if record.model == model]
            spec = self.specs(model)
            if spec is None:
                self._refuse(stream, stretch.end, model, records, f"There is no spec of the model {model!r}.")
                continue
            try:
                self._append(stream, stretch.end, spec, records)
            except InvalidInput as error:
                self._one_by_one(stream, stretch.end, spec, records, error)

    def _append(self, stream: str, end: int, spec: ModelSpec, records: list[Record]) -> None:
        served = [record for record in records if isinstance(record, Served) and record.route != SHADOW]
        labels = [record for record in records if isinstance(record, Labelled)]
        if served:
            frame = served_frame(served, spec)
            done = self.log.append_predictions(spec, frame, batch_id=stream, position=end, answered=True)
            self.did.rows += done.rows
            self.did.duplicates += done.duplicates + sum(len(record.ids) for record in served) - len(frame)
            self.did.commits += 1
        if labels:
            known = labels_frame(labels)
            moment = known["label_timestamp"].max().to_pydatetime()
            did = self.log.append_labels(spec, known, batch_id=stream, as_of=moment, position=end)
            self.did.labels += did.rows
            self.did.commits += 1

    def _one_by_one(self, stream: str, end: int, spec: ModelSpec, records: list[Record], error: InvalidInput) -> None:
        """One record that the log refuses does not keep the others out: each by itself, as a stream of its own."""
        if len(records) == 1:
            self._refuse(stream, end, spec.name, records, str(error))
            return
        for part, half in enumerate((records[: len(records) // 2], records[len(records) // 2 :])):
            try:
                self._append(f"{stream}.{part}", end, spec, half)
            except InvalidInput as found:
                self._one_by_one(f"{stream}.{part}", end, spec, half, found)

    def _refuse(self, stream: str, end: int, model: str, records: list[Record], why: str) -> None:
        """Keep what the log will not have in a file of its own, for a person to look at."""
        folder = self.root / REFUSED
        folder.mkdir(exist_ok=True)
        lines = [json.dumps({"why": why, **asdict(record)}, default=_plain) for record in records]
        _replace(folder / f"{model}-{stream}-{end}.jsonl", "\n".join(lines) + "\n")
        self.did.refused += sum(len(record.ids) for record in records)

    def _say(self) -> None:
        """Leave word for those who ask how far it is: the server's metrics, `doctor`."""
        self.did.at = time.time()
        self.did.behind = behind(self.root)
        try:
            _replace(self.root / STATUS, json.dumps(asdict(self.did)))
        except OSError:  # the disk is full: the numbers wait, the draining goes on
            return


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


def behind(root: Path) -> int:
    """Bytes of the journal that are not in the log yet."""
    total = 0
    for folder in folders(root):
        files = segments(folder)
        try:
            if files:
                total += max(files[-1][0] + files[-1][1].stat().st_size - Cursor.of(folder).done, 0)
        except FileNotFoundError:  # drained meanwhile
            continue
    return total


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(text)
    scratch.replace(path)


def _plain(value: object) -> object:
    """A column of numbers that is kept as its bytes."""
    return np.frombuffer(value, np.float64).tolist() if isinstance(value, bytes) else str(value)
