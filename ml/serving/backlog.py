"""What waits in the journal, for metrics and for `doctor`: how much, since when, and why."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ml.serving.cursor import Cursor
from ml.serving.journal import folders, replace
from ml.serving.records import Found, decode, scan, segments

STATUS = "drain.json"


@dataclass(slots=True)
class Drained:
    """What a drain did since it started. rows, shadow, labels: appended. unsampled, labels_unsampled: rows counted in
    profiles and not kept, by the spec's `logging.sample`, and their labels. duplicates: ids that the log had. refused:
    rows that the log will not have, kept under `refused/`. damaged, torn: stretches of the journal that are no records;
    torn ones are the last words of a process that was killed, never of anything answered. failure: why the log took
    nothing the last time. behind: bytes that wait. waiting_since: the time of the oldest record that waits."""

    rows: int = 0
    shadow: int = 0
    labels: int = 0
    unsampled: int = 0
    labels_unsampled: int = 0
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

    def tell(self, root: Path) -> None:
        """Leave word under the root, with what waits there now."""
        self.at, self.behind, self.waiting_since = time.time(), behind(root), waiting_since(root)
        try:
            replace(root / STATUS, json.dumps(asdict(self)))
        except OSError:  # the disk is full: the word waits, the draining goes on
            return


def status(root: Path) -> Drained:
    """The last word of the drain, with what waits now (no word: nothing has drained this root yet)."""
    try:
        told = json.loads((root / STATUS).read_text())
        did = Drained(**{field.name: told[field.name] for field in fields(Drained) if field.name in told})
    except (FileNotFoundError, ValueError):
        did = Drained()
    did.behind = behind(root)
    return did


def behind(root: Path) -> int:
    """Bytes of the journal that are not in the log yet."""
    return sum(waiting(folder) for folder in folders(root))


def waiting(folder: Path) -> int:
    """Bytes of one folder that are not in the log yet."""
    files = segments(folder)
    try:
        return max(files[-1][0] + files[-1][1].stat().st_size - Cursor.of(folder).done, 0) if files else 0
    except FileNotFoundError:  # drained meanwhile
        return 0


def waiting_since(root: Path) -> float | None:
    """The time of the oldest record that is not in the log yet, in seconds since 1970."""
    moments = []
    for folder in folders(root):
        first = next(
            (item for item in scan(folder, Cursor.of(folder).done, live=True) if isinstance(item, Found)), None
        )
        if first is not None:
            try:
                moments.append(decode(first.payload).at / 1e6)
            except ValueError:
                continue
    return min(moments, default=None)
