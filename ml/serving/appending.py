"""One model's records into its tables of the log: served rows, shadow rows, labels, and counts of what is not kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ml.data.delta import Batch
from ml.data.prediction_log import PredictionLog
from ml.data.tables import normalize
from ml.serving.backlog import Drained
from ml.serving.drained import SHADOW, labels_frame, served_frame
from ml.serving.journal import replace
from ml.serving.records import Labelled, Served
from ml.serving.sampling import in_sample, profiles_of

if TYPE_CHECKING:
    import pandas as pd

    from ml.data.bins import BinSet
    from ml.spec import ModelSpec

Record = Served | Labelled
TABLES = "tables.json"


class Appending:
    """Appends stretches of the journal under `root` to the log, each table once per position of a stream."""

    def __init__(self, root: Path, log: PredictionLog, did: Drained) -> None:
        self.root, self.log, self.did = root, log, did
        self._tables: dict[str, str] = {}

    def begin(self) -> None:
        """Know the tables of the log that earlier processes appended to. Raises: OSError."""
        if not self._tables and (self.root / TABLES).exists():
            self._tables = json.loads((self.root / TABLES).read_text(encoding="utf-8"))

    def append(self, stream: str, end: int, spec: ModelSpec, records: Sequence[Record], *, again: bool) -> int:
        """Append the records of one model, up to a position of a stream; gives the number of appends.

        again: it may have been done before, in part. Raises: InvalidInput where the log refuses rows; Unavailable.
        """
        answers = [record for record in records if isinstance(record, Served)]
        labels = [record for record in records if isinstance(record, Labelled)]
        served = [record for record in answers if record.route != SHADOW]
        shadow = [record for record in answers if record.route == SHADOW]
        bins = self.log.profiles.bins(spec.name) if spec.logging.sample < 1 else None
        share = spec.logging.sample if bins is not None else 1.0  # without bins nothing can be counted: all is kept
        if served and not (
            again and self.log.has_landed(spec.name, self._batch(stream, end, spec.name, "predictions"))
        ):
            self._served(stream, end, spec, served, share, bins)
        if shadow:
            self._shadow(stream, end, spec, shadow, share)
        if labels:
            self._labels(stream, end, spec, labels, share)
        return bool(served) + bool(shadow) + bool(labels)

    def _served(
        self, stream: str, end: int, spec: ModelSpec, records: list[Served], share: float, bins: BinSet | None
    ) -> None:
        frame = served_frame(records, spec)
        repeated = sum(len(record.ids) for record in records) - len(frame)
        if bins is not None:
            kept = in_sample(frame["prediction_id"], share)
            if not kept.all():
                rest = normalize(frame, spec, role="predictions", source=f"predictions of {spec.name!r}")[~kept]
                # Counted before the others are kept: where those have landed, this has been done.
                batch = self._batch(stream, end, spec.name, "profiles")
                self.did.unsampled += len(rest) * self.log.profiles.append(spec.name, profiles_of(rest, bins), batch)
                self._note(spec.name, "profiles")
            frame = frame[kept]
        if len(frame):
            batch = self._batch(stream, end, spec.name, "predictions")
            done = self.log.append_predictions(spec, frame, batch_id=batch, answered=True)
            self._note(spec.name, "predictions")
            self.did.rows += done.rows
            self.did.duplicates += done.duplicates + repeated

    def _shadow(self, stream: str, end: int, spec: ModelSpec, records: list[Served], share: float) -> None:
        frame = _sampled(served_frame(records, spec), share)
        if len(frame):
            batch = self._batch(stream, end, spec.name, "shadow")
            self.did.shadow += self.log.append_shadow(spec, frame, batch_id=batch).rows
            self._note(spec.name, "shadow")

    def _labels(self, stream: str, end: int, spec: ModelSpec, records: list[Labelled], share: float) -> None:
        frame = labels_frame(records)
        if share < 1:
            kept = in_sample(frame["prediction_id"], share)
            known = self.log.known(spec, frame["prediction_id"][~kept]) if not kept.all() else set()
            kept |= frame["prediction_id"].isin(known).to_numpy()
            self.did.labels_unsampled += int((~kept).sum())
            frame = frame[kept]
        if len(frame):
            moment = frame["label_timestamp"].max().to_pydatetime()
            batch = self._batch(stream, end, spec.name, "labels")
            self.did.labels += self.log.append_labels(spec, frame, batch_id=batch, as_of=moment, look_up=False).rows
            self._note(spec.name, "labels")

    def _batch(self, stream: str, end: int, model: str, table: str) -> Batch:
        """The append up to this position, into the table that was there before: where that is gone, the log is away,
        and no new one is begun in its place."""
        return Batch(stream, end, self._tables.get(f"{self.log.uri} {model} {table}"))

    def _note(self, model: str, table: str) -> None:
        """Remember which table it was, for this process and those to come."""
        key = f"{self.log.uri} {model} {table}"
        if key not in self._tables and (found := self.log.table_id(model, table)) is not None:
            self._tables[key] = found
            with suppress(OSError):  # the disk is full: known to this process, then
                replace(self.root / TABLES, json.dumps(self._tables))


def _sampled(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    return frame if share >= 1 else frame[in_sample(frame["prediction_id"], share)]
