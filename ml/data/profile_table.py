"""Profiles made inside the engine that holds the rows: only counts leave it.

The rows may be the prediction log (`profile_log`, in DuckDB) or any table that Ibis reaches (`profile_table`). What
they give is equal to `profiles.profile_hours` of the same rows: every count exactly, sums up to rounding. Texts are
the exception: they come out to be split into words, unless `texts` is off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data.aggregate import JOINT, NAMED, ROWS, Expression, aggregates, joint_aggregate, micros
from ml.data.bins import NULL, OTHER, UNDER, BinSet
from ml.data.prediction_log import DataVersion, PredictionLog
from ml.data.profiles import EPOCH, Profile, count_words, few
from ml.errors import InvalidInput
from ml.results import Window
from ml.spec import FeatureType, ModelSpec

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

HOUR = timedelta(hours=1)
ENGINE = "duckdb"
Columns = tuple[tuple[str, Any], ...]
TOGETHER = 2
"""Columns of the log in one statement: more takes memory for each at the same time, fewer waits for each."""
TEXTS = 50_000
"""Texts that are in memory at a time."""


def profile_table(
    table: Expression, bins: BinSet, *, every: timedelta = HOUR, texts: bool = True
) -> dict[datetime, Profile]:
    """Profiles of an Ibis table by the hour (or `every`, whole seconds); hours without rows are absent.

    table: in the form of a log frame: `timestamp`, and whatever it has of the features, `prediction`, `score`, `label`
        and `prediction_id` (to count repeated ones). Filter and rename it with Ibis. Times without a zone are UTC.
    texts: fetch the texts, to count the words that the reference's vocabulary lacks.

    One statement makes the whole of it, so that it is of one state of the table. Tested on PostgreSQL, Spark and
    DuckDB. A column of another type than its bins counts as invalid. Raises: InvalidInput without a `timestamp`.
    """
    import ibis

    if "timestamp" not in table.columns:
        raise InvalidInput(
            "The table has no column `timestamp`; rename the one that says when a row was predicted to it."
        )
    seconds, engine = whole_seconds(every), table.get_backend().name
    parts = [
        *aggregates(table, bins, engine=engine, seconds=seconds),
        *joint_aggregate(table, bins, engine=engine, seconds=seconds),
    ]
    made = _Spans(bins, seconds, set(table.columns))
    made.add([ibis.union(*parts).to_pyarrow()])
    for column in made.texts() if texts else ():
        made.add_words(column, words_of(table, column, engine).to_pyarrow_batches(chunk_size=TEXTS))
    return made.profiles()


def profile_log(
    log: PredictionLog,
    spec: ModelSpec,
    window: Window | None,
    bins: BinSet,
    *,
    as_of: datetime | None = None,
    version: DataVersion | str | None = None,
    every: timedelta = HOUR,
    columns: bool = True,
    labels: bool = True,
) -> dict[datetime, Profile]:
    """Profiles of a window of the log, by the hour (or `every`); hours without rows are absent.

    columns: count the columns. labels: fill the joint table, which alone depends on labels, and so on `as_of`, and
    costs a join. What is not asked for stays at nothing.
    Raises: NotFound, Unavailable as `PredictionLog.read`.
    """
    import ibis

    seconds = whole_seconds(every)
    with log.scan(spec, window, as_of=as_of, version=version) as rows:
        if rows is None:
            return {}
        connection = rows.connection
        connection.execute("SET preserve_insertion_order = false")
        answers, joined = (tuple(_types(connection, name).items()) for name in ("answers", "log"))
        made = _Spans(bins, seconds, {name for name, _ in answers})
        queries = _queries(_Key(bins), seconds, answers, joined if labels else None, columns)
        made.add(connection.sql(query).to_arrow_table() for query in queries)
        for column in made.texts() if columns else ():
            table = words_of(ibis.table(dict(answers), name="answers"), column, ENGINE)
            made.add_words(column, connection.sql(str(ibis.to_sql(table, dialect=ENGINE))).to_arrow_reader(TEXTS))
        return made.profiles()


@dataclass(frozen=True)
class _Key:
    """A bin set that is known by its id."""

    bins: BinSet = field(compare=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.bins.id)


@lru_cache(maxsize=16)
def _queries(key: _Key, seconds: int, answers: Columns, joined: Columns | None, columns: bool) -> tuple[str, ...]:
    """The statements for the log. Compiling them takes as long as 100,000 rows: once per bin set."""
    import ibis

    table = ibis.table(dict(answers), name="answers")
    wanted = key.bins if columns else replace(key.bins, columns=())
    parts = list(aggregates(table, wanted, engine=ENGINE, seconds=seconds, trusted=True))
    if joined is not None:
        log = ibis.table(dict(joined), name="log")
        parts += joint_aggregate(log, key.bins, engine=ENGINE, seconds=seconds, trusted=True)
    together = (ibis.union(*parts[i : i + TOGETHER]) for i in range(0, len(parts), TOGETHER))
    return tuple(str(ibis.to_sql(part, dialect=ENGINE)) for part in together)


def _types(connection: duckdb.DuckDBPyConnection, relation: str) -> Any:
    from ibis.expr.schema import Schema

    return Schema.from_pyarrow(connection.sql(f"FROM {relation} LIMIT 0").to_arrow_table().schema)


def words_of(table: Expression, column: str, engine: str) -> Expression:
    """The texts of a column with their times."""
    texts = table.select(us=micros(table["timestamp"], engine), text=table[column].cast("string"))
    return texts.filter(texts["text"].notnull())


def whole_seconds(every: timedelta) -> int:
    """Raises: InvalidInput for less than a second, or a part of one."""
    if every < timedelta(seconds=1) or every % timedelta(seconds=1):
        raise InvalidInput(f"Profiles are made by whole seconds, not every {every}; give a multiple of one second.")
    return int(every.total_seconds())


class _Spans:
    """Profiles by span, filled from the aggregate's parts."""

    def __init__(self, bins: BinSet, seconds: int, stored: set[str]) -> None:
        self.bins, self.seconds, self.stored = bins, seconds, stored
        self.spans = np.zeros(0, np.int64)
        self.unseen: dict[int, dict[str, dict[str, int]]] = {}

    def add(self, answers: Iterable[pa.Table]) -> None:
        """The first answer holds the rows by span."""
        for answer in answers:
            part = answer["part"].to_numpy()
            if not len(self.spans):
                self._begin(answer.filter(part == ROWS))
            for index in np.unique(part).tolist():
                if index != ROWS:
                    self._fill(index, answer.filter(part == index))

    def _begin(self, rows: pa.Table) -> None:
        rows = rows.sort_by("span")
        self.spans = rows["span"].to_numpy()
        self.rows = rows["n"].to_numpy()
        self.repeated, self.first, self.last = (rows[name].to_numpy().astype(np.int64) for name in "acd")
        n, width = len(self.spans), len(self.bins.columns)
        self.counts = np.zeros((n, int(self.bins.offsets[-1])), np.int64)
        self.sums = np.zeros((n, width, 2))
        self.extremes = np.tile([np.inf, -np.inf], (n, width, 1))
        self.joint = np.tile(Profile.empty(self.bins).joint, (n, 1, 1))
        for index, column in enumerate(self.bins.columns):
            if column.name not in self.stored:
                self.counts[:, self.bins.offsets[index] + NULL] = self.rows

    def _fill(self, index: int, cells: pa.Table) -> None:
        at = np.searchsorted(self.spans, cells["span"].to_numpy())
        slot, n = cells["slot"].to_numpy(), cells["n"].to_numpy()
        values = np.column_stack([cells[name].to_numpy() for name in "abcd"])
        if index == JOINT:
            self.joint[at, slot] = np.column_stack([n, values])
            return
        column, start = self.bins.columns[index], int(self.bins.offsets[index])
        if column.is_categorical:
            self._fill_levels(index, at, slot, n, cells["level"])
            return
        self.counts[at, start + slot] = n
        finite = (slot >= UNDER) & ~np.isnan(values[:, 2])
        at, values = at[finite], values[finite]
        np.add.at(self.sums[:, index], at, values[:, :2])
        np.minimum.at(self.extremes[:, index, 0], at, values[:, 2])
        np.maximum.at(self.extremes[:, index, 1], at, values[:, 3])

    def _fill_levels(self, index: int, at: Any, slot: Any, n: Any, level: pa.ChunkedArray) -> None:
        column, start = self.bins.columns[index], int(self.bins.offsets[index])
        level = level.combine_chunks().dictionary_encode()
        names = level.dictionary.to_pylist()
        code = level.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        slots = np.array([column.position.get(name, OTHER) for name in names] + [OTHER])
        where = np.where(slot == NAMED, slots[code], slot)
        np.add.at(self.counts, (at, start + where), n)
        strange = (slot == NAMED) & (where == OTHER)
        for i, k, count in zip(at[strange].tolist(), code[strange].tolist(), n[strange].tolist(), strict=True):
            self.unseen.setdefault(i, {}).setdefault(column.name, {})[names[k]] = count

    def texts(self) -> list[str]:
        return [c.name for c in self.bins.columns if c.type is FeatureType.TEXT and c.name in self.stored]

    def add_words(self, name: str, texts: Iterable[pa.RecordBatch]) -> None:
        index = self.bins.index[name]
        start, end = self.bins.offsets[index : index + 2]
        for batch in texts:
            spans = batch["us"].to_numpy() // (self.seconds * 1_000_000)
            for span, part in batch["text"].to_pandas().groupby(spans):
                at = np.searchsorted(self.spans, span)
                count_words(part, self.bins.columns[index], self.counts[at, start:end])

    def profiles(self) -> dict[datetime, Profile]:
        out = {}
        for i, span in enumerate(self.spans.tolist()):
            out[EPOCH + timedelta(seconds=span * self.seconds)] = Profile(
                bins=self.bins,
                rows=int(self.rows[i]),
                counts=self.counts[i],
                sums=self.sums[i],
                extremes=self.extremes[i],
                joint=self.joint[i],
                duplicates=int(self.repeated[i]),
                first=EPOCH + timedelta(microseconds=int(self.first[i])),
                last=EPOCH + timedelta(microseconds=int(self.last[i])),
                unseen={column: few(levels) for column, levels in self.unseen.get(i, {}).items()},
            )
        return out
