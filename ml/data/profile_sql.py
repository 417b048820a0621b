"""Profiles made inside the engine that holds the log: only counts leave it.

One aggregate per column and one for the joint table, each grouped by the hour. What they give is equal to
`profiles.profile_hours` of the same rows. Texts are the exception: they come out to be split into words.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml.data.bins import INFINITE, NULL, UNDER, BinSet, ColumnBins
from ml.data.prediction_log import DataVersion, PredictionLog
from ml.data.profiles import Profile, add_levels, count_words
from ml.results import Window
from ml.spec import FeatureType, ModelSpec, Task

if TYPE_CHECKING:
    import duckdb

HOUR = timedelta(hours=1)


def profile_log(
    log: PredictionLog,
    spec: ModelSpec,
    window: Window | None,
    bins: BinSet,
    *,
    as_of: datetime | None = None,
    version: DataVersion | str | None = None,
    every: timedelta = HOUR,
) -> dict[datetime, Profile]:
    """Profiles of a window of the log, by the hour (or `every`); hours without rows are absent.

    Only the joint table depends on labels, and so on `as_of`. Raises: NotFound, Unavailable as `PredictionLog.read`.
    """
    with log.scan(spec, window, as_of=as_of, version=version) as rows:
        if rows is None:
            return {}
        return profile_relation(rows.connection, "answers", bins, "log", stored=set(rows.columns), every=every)


def profile_relation(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    bins: BinSet,
    labelled: str | None = None,
    *,
    stored: set[str],
    every: timedelta = HOUR,
) -> dict[datetime, Profile]:
    """Profiles of a DuckDB relation in the form of the log, whose columns are `stored`.

    labelled: the relation that also has labels, for the joint table; None leaves it empty.
    """
    key = f"epoch_us(timestamp) // {int(every.total_seconds() * 1e6)}"
    made = _Hours(connection, relation, key, bins, every)
    made.count_rows()
    for column in bins.columns:
        if column.name not in stored:
            made.all_missing(column)
        elif column.is_categorical:
            made.count_levels(column)
        else:
            made.count_numbers(column)
            if column.type is FeatureType.TEXT:
                made.count_texts(column)
    if labelled is not None:
        made.count_joint(labelled)
    return made.profiles()


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _number(value: float) -> str:
    return f"{float(value)!r}::DOUBLE"


def _value(column: ColumnBins) -> str:
    """The column as the number that is binned; see `bins.as_numbers`."""
    if column.type is FeatureType.TEXT:
        return f"length({_name(column.name)})::DOUBLE"
    if column.type is FeatureType.DATETIME:
        return f"((epoch_us(timestamp) - epoch_us({_name(column.name)}))::DOUBLE / 1e6)"
    return f"{_name(column.name)}::DOUBLE"


def _halved(edges: tuple[float, ...], low: int, high: int) -> str:
    """SQL for the slot of x: the number of edges below it, found by halving."""
    if low == high:
        return str(UNDER + 1 + low)
    middle = (low + high) // 2
    return (
        f"CASE WHEN x <= {_number(edges[middle])} THEN {_halved(edges, low, middle)} "
        f"ELSE {_halved(edges, middle + 1, high)} END"
    )


class _Hours:
    def __init__(
        self, connection: duckdb.DuckDBPyConnection, relation: str, key: str, bins: BinSet, every: timedelta
    ) -> None:
        self.connection, self.relation, self.key, self.bins = connection, relation, key, bins
        self.step = int(every.total_seconds() * 1e6)
        self.rows: dict[int, tuple[int, int, int]] = {}
        self.parts: dict[int, Profile] = {}
        self.unseen: dict[int, dict[str, dict[str, int]]] = defaultdict(dict)

    def _query(self, select: str, groups: str = "1", relation: str = "") -> dict[str, Any]:
        query = f"SELECT {self.key} AS hour, {select} FROM {relation or self.relation} GROUP BY {groups}"  # noqa: S608
        return self.connection.execute(query).fetchnumpy()

    def count_rows(self) -> None:
        found = self._query("count(*) AS n, min(epoch_us(timestamp)) AS first, max(epoch_us(timestamp)) AS last")
        for hour, n, first, last in zip(found["hour"], found["n"], found["first"], found["last"], strict=True):
            self.rows[int(hour)] = (int(n), int(first), int(last))
            self.parts[int(hour)] = Profile.empty(self.bins)

    def _slots(self, hour: int, column: ColumnBins) -> npt.NDArray[np.int64]:
        at = self.bins.index[column.name]
        return self.parts[hour].counts[self.bins.offsets[at] : self.bins.offsets[at + 1]]

    def all_missing(self, column: ColumnBins) -> None:
        for hour, (n, _, _) in self.rows.items():
            self._slots(hour, column)[NULL] = n

    def count_numbers(self, column: ColumnBins) -> None:
        """Rows by hour and slot; the slot by halving, as many comparisons as the logarithm of the edges."""
        x, centred = _value(column), f"(x - {_number(column.centre)})"
        relation = f"(FROM {self.relation} SELECT timestamp, {x} AS x)"
        slot = (
            f"CASE WHEN x IS NULL OR isnan(x) THEN {NULL} WHEN isinf(x) THEN {INFINITE} "
            f"WHEN x < {_number(column.low)} THEN {UNDER} ELSE {_halved(column.edges, 0, len(column.edges))} END"
        )
        found = self._query(
            f"{slot} AS slot, count(*) AS n, sum({centred}) AS s, sum({centred} * {centred}) AS s2, "
            f"min(x) AS low, max(x) AS high",
            "1, 2",
            relation,
        )
        at = self.bins.index[column.name]
        for hour, slot_number, n, s, s2, low, high in zip(*(values.tolist() for values in found.values()), strict=True):
            part = self.parts[hour]
            self._slots(hour, column)[slot_number] = n
            if slot_number >= UNDER:
                part.sums[at] += s, s2
                part.extremes[at] = min(part.extremes[at, 0], low), max(part.extremes[at, 1], high)

    def count_levels(self, column: ColumnBins) -> None:
        found = self._query(f"{_name(column.name)}::VARCHAR AS level, count(*) AS n", "1, 2")
        by_hour: dict[int, list[tuple[str, int]]] = defaultdict(list)
        missing = np.ma.getmaskarray(found["level"])
        for hour, level, null, n in zip(
            found["hour"].tolist(), found["level"], missing, found["n"].tolist(), strict=True
        ):
            if null or level is None:
                self._slots(hour, column)[NULL] += n
            else:
                by_hour[hour].append((level, n))
        for hour, counted in by_hour.items():
            if unseen := add_levels(column, self._slots(hour, column), counted):
                self.unseen[hour][column.name] = unseen

    def count_texts(self, column: ColumnBins) -> None:
        query = f"SELECT timestamp, {_name(column.name)} AS t FROM {self.relation}"  # noqa: S608
        frame = self.connection.sql(query).to_arrow_table().to_pandas()
        hours = frame["timestamp"].astype("datetime64[us, UTC]").astype(np.int64) // self.step
        for hour, texts in frame["t"].groupby(hours.to_numpy()):
            count_words(texts, column, self._slots(int(hour), column))

    def count_joint(self, labelled: str) -> None:
        if self.bins.task is Task.REGRESSION:
            answer, label, loss = "prediction", "label", "abs(label - prediction)"
            where = "WHERE isfinite(label) AND isfinite(prediction)"
        else:
            positive = "'" + self.bins.positive.replace("'", "''") + "'"
            where = "WHERE label IS NOT NULL AND prediction IS NOT NULL"
            if self.bins.task is Task.BINARY:
                label = f"(label = {positive})::INT::DOUBLE"
                answer = f"CASE WHEN isfinite(score) THEN score ELSE (prediction = {positive})::INT::DOUBLE END"
                loss = f"({label} - {answer}) * ({label} - {answer})"
            else:
                label = "(label = prediction)::INT::DOUBLE"
                answer, loss = "CASE WHEN isfinite(score) THEN score ELSE 1.0 END", f"1.0 - {label}"
        at = " + ".join(f"({answer} > {_number(edge)})::INT" for edge in self.bins.joint_edges) or "0"
        inner = f"(FROM {labelled} SELECT timestamp, {at} AS bin, {answer} AS a, {label} AS y, {loss} AS l {where})"
        found: dict[str, Any] = self.connection.execute(
            f"FROM {inner} SELECT {self.key} AS hour, bin, count(*) AS n, "
            "sum(a) AS a, sum(y) AS y, sum(l) AS l, sum(l * l) AS l2 GROUP BY 1, 2"
        ).fetchnumpy()
        for i, hour in enumerate(found["hour"].tolist()):
            self.parts[hour].joint[int(found["bin"][i])] = [found[key][i] for key in ("n", "a", "y", "l", "l2")]

    def profiles(self) -> dict[datetime, Profile]:
        out = {}
        for hour in sorted(self.parts):
            n, first, last = self.rows[hour]
            part = self.parts[hour]
            out[_moment(hour * self.step)] = Profile(
                bins=self.bins,
                rows=n,
                counts=part.counts,
                sums=part.sums,
                extremes=part.extremes,
                joint=part.joint,
                duplicates=0,  # the log has each id once
                first=_moment(first),
                last=_moment(last),
                unseen=self.unseen.get(hour, {}),
            )
        return out


def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
