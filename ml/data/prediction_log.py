"""The prediction log: what every model answered, and what turned out to be true, as Delta tables.

One folder per model with two tables, `predictions` and `labels`. Rows are only ever appended. An append has landed when
the function returns; it happens once per batch id, and once per prediction id. Labels may come before their prediction,
late, and again: what was known at a time is what `read` joins, the latest label winning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ml.data.delta import Table, files_between, is_local, unavailable, view
from ml.data.known_ids import KnownIds
from ml.data.log_frame import arrow_schema, conform, served
from ml.data.tables import TIME, normalize
from ml.errors import InvalidInput, Unavailable
from ml.results import Window, utc
from ml.spec import ModelSpec, Task

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from deltalake import DeltaTable

LATEST = """
    SELECT prediction_id, arg_max(label, (label_timestamp, sequence)) AS label, max(label_timestamp) AS label_timestamp
    FROM labels {where} GROUP BY prediction_id
"""


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

    # -- writing ---------------------------------------------------------------------------------------------------

    def append_predictions(
        self, spec: ModelSpec, frame: pd.DataFrame, *, batch_id: str, position: int = 1, answered: bool = False
    ) -> Appended:
        """Append rows (a log frame, or anything `normalize` takes); ids that the log has are left out and counted.

        A batch id may stand for a stream: each append of it then says the position up to which it goes, and one that
        goes no further than what has landed does nothing. `answered` keeps the model server's own columns.

        Labels that the rows carry are appended too, as known at their `label_timestamp`, or where there is none at
        the row's time plus the spec's label delay.
        Raises: DataError; Unavailable (nothing of the rows that were not acknowledged is then half-written).
        """
        import pyarrow as pa

        rows = normalize(frame, spec, role="predictions", source=f"predictions of {spec.name!r}")
        if answered:
            rows = rows.assign(**{name: frame[name].to_numpy() for name in served(spec, frame.columns)})
        frame, schema = rows, arrow_schema(spec, rows)
        columns = [field.name for field in schema]
        rows = frame.sort_values("timestamp", kind="stable")[columns]
        given = len(rows)

        def new_rows(table: DeltaTable) -> pa.Table | None:
            known = self._ids.among(table, rows["prediction_id"])
            new = rows[~rows["prediction_id"].isin(known)] if known else rows
            return pa.Table.from_pandas(new, schema=schema, preserve_index=False)

        self._reach()
        written = _Counted(new_rows)
        version, wrote = self._table(spec.name, "predictions").append(schema, batch_id, written, position)
        appended = written.rows if wrote else 0
        labelled = frame[frame["label"].notna()]
        labels = 0
        if len(labelled):
            known_at = labelled["label_timestamp"].fillna(labelled["timestamp"] + pd.Timedelta(spec.label_delay))
            late = pd.DataFrame({"prediction_id": labelled["prediction_id"], "label": labelled["label"]})
            late["label_timestamp"] = known_at
            newest = known_at.max().to_pydatetime()
            labels = self.append_labels(spec, late, batch_id=batch_id, as_of=newest, position=position).rows
        pinned = DataVersion(version, self._version(spec.name, "labels"))
        return Appended(appended, given - appended, pinned, labels=labels)

    def append_labels(
        self, spec: ModelSpec, frame: pd.DataFrame, *, batch_id: str, as_of: datetime, position: int = 1
    ) -> Appended:
        """Append labels (`prediction_id`, `label`, and `label_timestamp` or they count as known at `as_of`).

        A label that says what was already known at its time is left out and counted. Raises: DataError; Unavailable.
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

        self._reach()
        written = _Counted(new_rows)
        version, wrote = self._table(spec.name, "labels").append(schema, batch_id, written, position)
        appended = written.rows if wrote else 0
        known = self.known(spec, rows["prediction_id"])
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

    def compact(self, model: str, *, keep: timedelta = timedelta(days=90)) -> None:
        """Join the small files of a model; files that only versions older than `keep` use are removed.

        Raises: Unavailable.
        """
        from deltalake.exceptions import DeltaError

        for name in ("predictions", "labels"):
            table = self._table(model, name).open()
            if table is not None:
                try:
                    table.optimize.compact()
                    table.create_checkpoint()
                    hours = max(int(keep.total_seconds() // 3600), 0)
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
    ) -> pd.DataFrame:
        """The rows of a window (None: all) in order of time, with the labels known at `as_of`.

        `as_of` also hides rows of that time and later. `columns` limits what is read; `version` reads what a pinned
        version held. No rows is an empty log frame. Raises: NotFound (the version is gone); Unavailable.
        """
        wanted = list(columns) if columns is not None else None
        with self.scan(spec, window, as_of=as_of, version=version) as rows:
            if rows is None:
                return conform(pd.DataFrame(), spec, wanted, ())
            listed = (
                "*" if wanted is None else ", ".join(_quoted(c) for c in wanted if c in rows.columns) or "timestamp"
            )
            query = f"SELECT {listed} FROM log ORDER BY timestamp, prediction_id"  # noqa: S608 (quoted names)
            found: pd.DataFrame = rows.connection.sql(query).to_arrow_table().to_pandas()
            return conform(found, spec, wanted, rows.columns)

    def scan(
        self,
        spec: ModelSpec,
        window: Window | None,
        *,
        as_of: datetime | None = None,
        version: DataVersion | str | None = None,
    ) -> Scan:
        """The same rows as a DuckDB view named `log`, for aggregates that need not leave the engine."""
        return Scan(self, spec.name, window, as_of, version)

    def span(self, spec: ModelSpec) -> Window | None:
        """From the first row to just after the last, or None where there is none."""
        with self.scan(spec, None) as rows:
            if rows is None:
                return None
            first, last = rows.connection.sql("SELECT min(timestamp), max(timestamp) FROM log").fetchall()[0]
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
                "FROM log GROUP BY 1 ORDER BY first, model_version"
            ).df()
        for column in ("first", "last"):
            frame[column] = pd.to_datetime(frame[column], utc=True).astype(TIME)
        return frame

    def version(self, model: str) -> DataVersion:
        """What both tables hold now, to be read again later. `p0.l0` is a log with nothing in it."""
        self._reach()
        return DataVersion(self._version(model, "predictions"), self._version(model, "labels"))

    # -- within ----------------------------------------------------------------------------------------------------

    def _table(self, model: str, name: str) -> Table:
        return Table(f"{self.uri}/{model}/{name}", self._options)

    def _version(self, model: str, name: str) -> int:
        table = self._table(model, name).open()
        return 0 if table is None else table.version()

    def _reach(self) -> None:
        if is_local(self.uri):
            folder = Path(self.uri.removeprefix("file://"))
            if not folder.is_dir() and not folder.absolute().parent.is_dir():
                raise Unavailable(
                    f"The prediction log has no place: {folder.absolute().parent} does not exist; "
                    f"create it, mount it, or point LOG_URI elsewhere."
                )

    def _said_before(self, table: DeltaTable, rows: pd.DataFrame) -> pd.Series:
        """Which labels say what the label in force at their time says already."""
        nothing = pd.Series(False, index=rows.index)
        connection = _connect()
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


class Scan:
    """Rows of the log inside DuckDB, as the view `log` (`answers`: without labels).

    Entering gives None where there are none to look at.
    """

    def __init__(
        self,
        log: PredictionLog,
        model: str,
        window: Window | None,
        as_of: datetime | None,
        version: DataVersion | str | None,
    ) -> None:
        self._log, self._model, self._window, self._as_of = log, model, window, as_of
        self._version = DataVersion.parse(version) if isinstance(version, str) else version
        self.connection: duckdb.DuckDBPyConnection = _connect()
        self.columns: tuple[str, ...] = ()

    def __enter__(self) -> Scan | None:
        import duckdb

        self._log._reach()
        pinned = self._version
        predictions = self._log._table(self._model, "predictions").open(pinned.predictions if pinned else None)
        if predictions is None:
            return None
        moment = None if self._as_of is None else utc(self._as_of)
        start = self._window.start if self._window else None
        ends = [end for end in (self._window.end if self._window else None, moment) if end is not None]
        files = files_between(predictions, "timestamp", start, min(ends, default=None))
        labels = self._log._table(self._model, "labels").open(pinned.labels if pinned else None)
        try:
            if not view(self.connection, "predictions", predictions, files):
                return None
            joined = labels is not None and view(self.connection, "labels", labels)
            self._define(joined, start, min(ends, default=None), moment, _field_type(predictions, "prediction"))
            self.columns = tuple(self.connection.sql("SELECT * FROM log LIMIT 0").columns)
        except (duckdb.IOException, OSError) as error:
            raise unavailable(self._log.uri, error) from None
        return self

    def _define(
        self, joined: bool, start: datetime | None, end: datetime | None, moment: datetime | None, label_type: str
    ) -> None:
        bounds = [f"timestamp >= {_stamp(start)}"] if start else []
        bounds += [f"timestamp < {_stamp(end)}"] if end else []
        where = "WHERE " + " AND ".join(bounds) if bounds else ""
        self.connection.execute(f"CREATE VIEW answers AS FROM predictions {where}")
        if joined:
            known = f"WHERE label_timestamp <= {_stamp(moment)}" if moment else ""
            latest = LATEST.format(where=known)
            query = f"FROM answers LEFT JOIN ({latest}) USING (prediction_id)"
        else:
            unknown = f"CAST(NULL AS {label_type}) AS label, CAST(NULL AS TIMESTAMPTZ) AS label_timestamp"
            query = f"FROM answers SELECT *, {unknown}"
        self.connection.execute(f"CREATE VIEW log AS {query}")

    def __exit__(self, *exc: object) -> None:
        self.connection.close()


class _Counted:
    """Remembers how many rows the last attempt was about to write."""

    def __init__(self, make: Any) -> None:
        self._make, self.rows = make, 0

    def __call__(self, table: DeltaTable) -> pa.Table | None:
        rows = self._make(table)
        self.rows = 0 if rows is None else rows.num_rows
        return rows


def _connect() -> duckdb.DuckDBPyConnection:
    import duckdb

    # No TimeZone setting and no date_trunc on zoned times: both need an extension that may have to be downloaded.
    return duckdb.connect(config={"autoinstall_known_extensions": False})


def _stamp(moment: datetime | None) -> str:
    return f"TIMESTAMPTZ '{moment.astimezone(UTC).isoformat(sep=' ')}'" if moment else "NULL"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _field_type(table: DeltaTable, column: str) -> str:
    kinds = {field.name: str(field.type) for field in table.schema().fields}
    return "DOUBLE" if "double" in kinds.get(column, "") else "VARCHAR"
