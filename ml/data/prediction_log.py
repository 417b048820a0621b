"""The prediction log: what every model answered, and what turned out to be true, as Delta tables.

One folder per model with two tables, `predictions` and `labels`, and a third one where a version answers in the
shadow. Rows are only ever appended. An append has landed when the function returns; it happens once per batch id, and
once per prediction id. Labels may come before their prediction, late, and again: what was known at a time is what
`read` joins, the latest label winning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ml.data.delta import Batch, Table, files_with_bounds, reach, unavailable, view
from ml.data.known_ids import KnownIds
from ml.data.log_frame import arrow_schema, conform, served
from ml.data.profile_log import ProfileLog
from ml.data.scan import Scan, connect, quoted
from ml.data.tables import TIME, normalize
from ml.errors import InvalidInput
from ml.results import Window, utc
from ml.spec import ModelSpec, Task

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

TABLES = ("predictions", "labels", "shadow")
SAME_ID = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did. rows: written now. duplicates: were there already. unknown: labels whose prediction is not in
    the log yet (kept); `first_unknown` is one of their ids. empty: rows without a label, left out."""

    rows: int
    duplicates: int
    version: DataVersion
    unknown: int = 0
    first_unknown: str | None = None
    empty: int = 0
    labels: int = 0


@dataclass(frozen=True, slots=True, order=True)
class DataVersion:
    """Versions of both tables that belong together, to read the same rows again.

    >>> DataVersion.parse("p12.l7")
    DataVersion(predictions=12, labels=7)
    >>> str(DataVersion(12, 7))
    'p12.l7'
    """

    predictions: int
    labels: int

    def __str__(self) -> str:
        return f"p{self.predictions}.l{self.labels}"

    @classmethod
    def parse(cls, text: str) -> DataVersion:
        match = re.fullmatch(r"p(\d+)\.l(\d+)", text)
        if match is None:
            raise InvalidInput(f"{text!r} is not a version of the prediction log; it looks like p12.l7.")
        return cls(int(match[1]), int(match[2]))


class PredictionLog:
    """The log under one address: a folder, or an object store's URL with its `storage_options`.

    Nothing is touched until the first call. A folder is made if its parent is there; otherwise the log is
    Unavailable, as an unmounted disk is not an empty one.
    """

    def __init__(self, uri: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        self.uri = str(uri).rstrip("/")
        self._options = dict(storage_options) if storage_options else None
        self._ids = KnownIds()

    def __reduce__(self) -> tuple[type[PredictionLog], tuple[str, dict[str, str] | None]]:
        """What another process needs of it: the address."""
        return PredictionLog, (self.uri, self._options)

    # -- writing ---------------------------------------------------------------------------------------------------

    def append_predictions(
        self, spec: ModelSpec, frame: pd.DataFrame, *, batch_id: str | Batch, answered: bool = False
    ) -> Appended:
        """Append rows (a log frame, or anything `normalize` takes); ids that the log has are left out and counted.

        `answered` keeps the model server's own columns, route and latency, and knows an id again for two days only: its
        rows come as they are made, for ever. Labels that the rows carry are appended too, as known at their
        `label_timestamp`, or where there is none at the row's time plus the spec's label delay.
        Raises: DataError; Unavailable (nothing of the rows that were not acknowledged is then half-written).
        """
        frame, appended, version = self._append_answers(spec, frame, "predictions", batch_id, answered)
        labelled = frame[frame["label"].notna()]
        labels = 0
        if len(labelled):
            known_at = labelled["label_timestamp"].fillna(labelled["timestamp"] + pd.Timedelta(spec.label_delay))
            late = pd.DataFrame({"prediction_id": labelled["prediction_id"], "label": labelled["label"]})
            late["label_timestamp"] = known_at
            newest = known_at.max().to_pydatetime()
            labels = self.append_labels(spec, late, batch_id=batch_id, as_of=newest).rows
        pinned = DataVersion(version, self._version(spec.name, "labels"))
        return Appended(appended, len(frame) - appended, pinned, labels=labels)

    def append_shadow(self, spec: ModelSpec, frame: pd.DataFrame, *, batch_id: str | Batch) -> Appended:
        """Append what a version answered in the shadow, to the same ids as the served predictions, in a table of its
        own that `read` never shows. The first shadow answer to an id stays. Raises: DataError; Unavailable."""
        frame, appended, _ = self._append_answers(spec, frame, "shadow", batch_id, answered=True)
        return Appended(appended, len(frame) - appended, self.version(spec.name))

    def _append_answers(
        self, spec: ModelSpec, given: pd.DataFrame, name: str, batch_id: str | Batch, answered: bool
    ) -> tuple[pd.DataFrame, int, int]:
        """The rows as a log frame, how many of them were written now, and the version of the table that has them."""
        import pyarrow as pa

        frame = normalize(given, spec, role="predictions", source=f"predictions of {spec.name!r}")
        if answered:
            frame = frame.assign(**{own: given[own].to_numpy() for own in served(spec, given.columns)})
        schema = arrow_schema(spec, frame)
        rows = frame.sort_values("timestamp", kind="stable")[schema.names]
        since = rows["timestamp"].iloc[0].to_pydatetime() - SAME_ID if answered else None

        def new_rows(table: DeltaTable) -> pa.Table | None:
            known = self._ids.among(table, rows["prediction_id"], since)
            new = rows[~rows["prediction_id"].isin(known)] if known else rows
            return pa.Table.from_pandas(new, schema=schema, preserve_index=False)

        reach(self.uri)
        written = _Counted(new_rows)
        version, wrote = self._table(spec.name, name).append(schema, _batch(batch_id), written)
        return frame, written.rows if wrote else 0, version

    def append_labels(
        self,
        spec: ModelSpec,
        frame: pd.DataFrame,
        *,
        batch_id: str | Batch,
        as_of: datetime,
        look_up: bool = True,
    ) -> Appended:
        """Append labels (`prediction_id`, `label`, and `label_timestamp` or they count as known at `as_of`).

        `look_up` counts those whose prediction is unknown, among all ids of the log. A label that says what was already
        known at its time is left out and counted. Raises: DataError; Unavailable.
        """
        import pyarrow as pa

        frame = normalize(frame, spec, role="labels", source=f"labels of {spec.name!r}")
        given = len(frame)
        rows = frame[frame["label"].notna()].copy()
        moment = pd.Timestamp(utc(as_of))
        dated = rows["label_timestamp"] if "label_timestamp" in rows else pd.Series(pd.NaT, index=rows.index)
        rows["label_timestamp"] = pd.to_datetime(dated, utc=True).fillna(moment).astype(TIME)
        label = pa.float64() if spec.task is Task.REGRESSION else pa.string()
        time = pa.timestamp("us", "UTC")
        schema = pa.schema(
            {"prediction_id": pa.string(), "label": label, "label_timestamp": time, "sequence": pa.int64()}
        )

        def new_rows(table: DeltaTable) -> pa.Table | None:
            new = rows[~self._said_before(table, rows)].assign(sequence=table.version() + 1)
            return pa.Table.from_pandas(new[schema.names], schema=schema, preserve_index=False)

        reach(self.uri)
        written = _Counted(new_rows)
        version, wrote = self._table(spec.name, "labels").append(schema, _batch(batch_id), written)
        appended = written.rows if wrote else 0
        known = self.known(spec, rows["prediction_id"]) if look_up else set(rows["prediction_id"])
        unknown = rows[~rows["prediction_id"].isin(known)]
        return Appended(
            rows=appended,
            duplicates=len(rows) - appended,
            version=DataVersion(self._version(spec.name, "predictions"), version),
            unknown=unknown["prediction_id"].nunique(),
            first_unknown=None if unknown.empty else str(unknown["prediction_id"].iloc[0]),
            empty=given - len(rows),
        )

    def known(self, spec: ModelSpec, ids: pd.Series) -> set[str]:
        """Those of the prediction ids that the log has."""
        predictions = self._table(spec.name, "predictions").open()
        return self._ids.among(predictions, ids) if predictions is not None else set()

    def has_landed(self, model: str, batch: Batch) -> bool:
        """Whether predictions were appended under this batch, up to its position or further. Raises: Unavailable."""
        return self._table(model, "predictions").has(batch)

    def compact(self, model: str, *, keep: timedelta = timedelta(days=90)) -> None:
        """Join the small files of a model; files that only versions older than `keep` use are removed.

        Raises: Unavailable.
        """
        from deltalake.exceptions import DeltaError

        self.profiles.join(model)
        for name, kept in (*((name, keep) for name in TABLES), ("profiles", timedelta(days=1))):
            table = self._table(model, name).open()
            if table is not None:
                try:
                    table.optimize.compact()
                    table.create_checkpoint()
                    hours = max(int(kept.total_seconds() // 3600), 0)
                    table.vacuum(hours, dry_run=False, enforce_retention_duration=False)
                except (DeltaError, OSError) as error:
                    raise unavailable(table.table_uri, error) from None

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(
        self,
        spec: ModelSpec,
        window: Window | None,
        *,
        as_of: datetime | None = None,
        columns: Sequence[str] | None = None,
        version: DataVersion | str | None = None,
        most: int | None = None,
    ) -> pd.DataFrame:
        """The rows of a window (None: all) in order of time, with the labels known at `as_of`.

        `as_of` also hides rows of that time and later. `columns` limits what is read; `version` reads what a pinned
        version held. Where there are more than `most` rows, a sample of about so many (see `Scan`). No rows is an empty
        log frame. Raises: NotFound (the version is gone); Unavailable.
        """
        wanted = list(columns) if columns is not None else None
        return _rows(self.scan(spec, window, as_of=as_of, version=version, most=most), spec, wanted)

    def read_shadow(
        self,
        spec: ModelSpec,
        window: Window | None,
        *,
        as_of: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """What shadow versions answered in a window, as `read` gives what was served. Raises: Unavailable."""
        wanted = list(columns) if columns is not None else None
        shadow, labels = self._table(spec.name, "shadow"), self._table(spec.name, "labels")
        return _rows(Scan(self.uri, shadow, labels, window, as_of), spec, wanted)

    def scan(
        self,
        spec: ModelSpec,
        window: Window | None,
        *,
        as_of: datetime | None = None,
        version: DataVersion | str | None = None,
        most: int | None = None,
    ) -> Scan:
        """The same rows as a DuckDB view named `log`, for aggregates that need not leave the engine."""
        pinned = DataVersion.parse(version) if isinstance(version, str) else version
        versions = (pinned.predictions, pinned.labels) if pinned else None
        answers, labels = self._table(spec.name, "predictions"), self._table(spec.name, "labels")
        return Scan(self.uri, answers, labels, window, as_of, versions, most)

    def files(self, spec: ModelSpec, version: DataVersion) -> list[tuple[str, datetime | None, datetime | None]]:
        """The files of a version's predictions, each with its first and last time, None where they are not known.

        Raises: NotFound, Unavailable as `read`.
        """
        table = self._table(spec.name, "predictions").open(version.predictions)
        return [] if table is None else files_with_bounds(table, "timestamp")

    def span(self, spec: ModelSpec) -> Window | None:
        """From the first row to just after the last, or None where there is none."""
        with self.scan(spec, None) as rows:
            if rows is None:
                return None
            first, last = rows.connection.sql("SELECT min(timestamp), max(timestamp) FROM answers").fetchall()[0]
        return Window(first, last + timedelta(microseconds=1))

    def newest(self, spec: ModelSpec) -> datetime | None:
        """The time of the latest prediction."""
        span = self.span(spec)
        return None if span is None else span.end - timedelta(microseconds=1)

    def count(self, spec: ModelSpec, window: Window | None = None, *, as_of: datetime | None = None) -> tuple[int, int]:
        """Rows, and how many of them have a label."""
        with self.scan(spec, window, as_of=as_of) as rows:
            if rows is None:
                return 0, 0
            total, labelled = rows.connection.sql("SELECT count(*), count(label) FROM log").fetchall()[0]
        return int(total), int(labelled)

    def versions_seen(self, spec: ModelSpec) -> pd.DataFrame:
        """Which model versions answered: `model_version`, `first`, `last`, `rows`, by first appearance."""
        columns = ["model_version", "first", "last", "rows"]
        with self.scan(spec, None) as rows:
            if rows is None:
                return pd.DataFrame({c: pd.Series(dtype="int64" if c == "rows" else object) for c in columns})
            frame: pd.DataFrame = rows.connection.sql(
                "SELECT model_version, min(timestamp) AS first, max(timestamp) AS last, count(*) AS rows "
                "FROM answers GROUP BY 1 ORDER BY first, model_version"
            ).df()
        for column in ("first", "last"):
            frame[column] = pd.to_datetime(frame[column], utc=True).astype(TIME)
        return frame

    @property
    def profiles(self) -> ProfileLog:
        """What is known of answers that were not kept row by row."""
        return ProfileLog(self.uri, self._options)

    def table_id(self, model: str, name: str) -> str | None:
        """The identity of one of a model's tables (`TABLES`), None where there is none. Raises: Unavailable."""
        reach(self.uri)
        table = self._table(model, name).open()
        return None if table is None else str(table.metadata().id)

    def version(self, model: str) -> DataVersion:
        """What both tables hold now, to be read again later. `p0.l0` is a log with nothing in it."""
        reach(self.uri)
        return DataVersion(self._version(model, "predictions"), self._version(model, "labels"))

    # -- within ----------------------------------------------------------------------------------------------------

    def _table(self, model: str, name: str) -> Table:
        return Table(f"{self.uri}/{model}/{name}", self._options)

    def _version(self, model: str, name: str) -> int:
        table = self._table(model, name).open()
        return 0 if table is None else table.version()

    def _said_before(self, table: DeltaTable, rows: pd.DataFrame) -> pd.Series:
        """Which labels say what the label in force at their time says already."""
        nothing = pd.Series(False, index=rows.index)
        connection = connect()
        if rows.empty or not view(connection, "known", table):
            return nothing
        connection.register("given", rows.assign(position=range(len(rows))))
        repeated = connection.sql(
            """
            SELECT g.position FROM given g JOIN known k
              ON k.prediction_id = g.prediction_id AND k.label_timestamp <= g.label_timestamp
            GROUP BY g.position, g.label HAVING arg_max(k.label, (k.label_timestamp, k.sequence)) = g.label
            """
        ).fetchall()
        nothing.iloc[[row[0] for row in repeated]] = True
        return nothing


def _rows(scan: Scan, spec: ModelSpec, wanted: list[str] | None) -> pd.DataFrame:
    with scan as rows:
        if rows is None:
            return conform(pd.DataFrame(), spec, wanted, ())
        listed = "*" if wanted is None else ", ".join(quoted(c) for c in wanted if c in rows.columns) or "timestamp"
        query = f"SELECT {listed} FROM log ORDER BY timestamp, prediction_id"  # noqa: S608 (quoted names)
        found: pd.DataFrame = rows.connection.sql(query).to_arrow_table().to_pandas()
        return conform(found, spec, wanted, rows.columns)


def _batch(name: str | Batch) -> Batch:
    return name if isinstance(name, Batch) else Batch(name)


class _Counted:
    """Remembers how many rows the last attempt was about to write."""

    def __init__(self, make: Any) -> None:
        self._make, self.rows = make, 0

    def __call__(self, table: DeltaTable) -> pa.Table | None:
        rows = self._make(table)
        self.rows = 0 if rows is None else rows.num_rows
        return rows
