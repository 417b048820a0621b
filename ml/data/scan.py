"""Rows of the prediction log inside DuckDB, with the labels known at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml.data.delta import Table, files_between, reach, unavailable, view
from ml.results import Window, utc

if TYPE_CHECKING:
    import duckdb
    from deltalake import DeltaTable

LATEST = """
    SELECT prediction_id, arg_max(label, (label_timestamp, sequence)) AS label, max(label_timestamp) AS label_timestamp
    FROM labels {where} GROUP BY prediction_id
"""


class Scan:
    """Rows of the log as the view `log` (`answers`: without labels). Entering gives None where there are none to look
    at. log: its address. pinned: the versions of both tables to read, the newest by default. most: where there are
    more rows, about so many, those whose ids have the smallest hash: the same ones whoever takes them."""

    def __init__(
        self,
        log: str,
        answers: Table,
        labels: Table,
        window: Window | None,
        as_of: datetime | None,
        pinned: tuple[int, int] | None = None,
        most: int | None = None,
    ) -> None:
        self._log, self._answers, self._labels, self._window, self._as_of = log, answers, labels, window, as_of
        self._pinned, self._most = pinned or (None, None), most
        self.connection: duckdb.DuckDBPyConnection = connect()
        self.columns: tuple[str, ...] = ()

    def __enter__(self) -> Scan | None:
        import duckdb

        reach(self._log)
        predictions = self._answers.open(self._pinned[0])
        if predictions is None:
            return None
        moment = None if self._as_of is None else utc(self._as_of)
        start = self._window.start if self._window else None
        ends = [end for end in (self._window.end if self._window else None, moment) if end is not None]
        files = files_between(predictions, "timestamp", start, min(ends, default=None))
        labels = self._labels.open(self._pinned[1])
        try:
            if not view(self.connection, "predictions", predictions, files):
                return None
            joined = labels is not None and view(self.connection, "labels", labels)
            self._define(joined, start, min(ends, default=None), moment, _field_type(predictions, "prediction"))
            self.columns = tuple(self.connection.sql("SELECT * FROM log LIMIT 0").columns)
        except (duckdb.IOException, OSError) as error:
            raise unavailable(self._log, error) from None
        return self

    def _define(
        self, joined: bool, start: datetime | None, end: datetime | None, moment: datetime | None, label_type: str
    ) -> None:
        bounds = [f"timestamp >= {_stamp(start)}"] if start else []
        bounds += [f"timestamp < {_stamp(end)}"] if end else []
        sample = self._sample(_where(bounds))
        self.connection.execute(f"CREATE VIEW answers AS FROM predictions {_where(bounds + sample)}")
        if joined:
            known = [f"label_timestamp <= {_stamp(moment)}"] if moment else []
            latest = LATEST.format(where=_where(known + sample))
            query = f"FROM answers LEFT JOIN ({latest}) USING (prediction_id)"
        else:
            unknown = f"CAST(NULL AS {label_type}) AS label, CAST(NULL AS TIMESTAMPTZ) AS label_timestamp"
            query = f"FROM answers SELECT *, {unknown}"
        self.connection.execute(f"CREATE VIEW log AS {query}")

    def _sample(self, where: str) -> list[str]:
        """What also holds of the rows that are wanted."""
        if self._most is None:
            return []
        (found,) = self.connection.sql(f"SELECT count(*) FROM predictions {where}").fetchall()  # noqa: S608
        if found[0] <= self._most:
            return []
        return [f"md5(prediction_id) < '{int(self._most / found[0] * 16**8):08x}'"]

    def __exit__(self, *exc: object) -> None:
        self.connection.close()


def connect() -> duckdb.DuckDBPyConnection:
    import duckdb

    # No TimeZone setting and no date_trunc on zoned times: both need an extension that may have to be downloaded.
    return duckdb.connect(config={"autoinstall_known_extensions": False})


def _where(conditions: list[str]) -> str:
    return "WHERE " + " AND ".join(conditions) if conditions else ""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _stamp(moment: datetime | None) -> str:
    return f"TIMESTAMPTZ '{moment.astimezone(UTC).isoformat(sep=' ')}'" if moment else "NULL"


def _field_type(table: DeltaTable, column: str) -> str:
    kinds = {field.name: str(field.type) for field in table.schema().fields}
    return "DOUBLE" if "double" in kinds.get(column, "") else "VARCHAR"
