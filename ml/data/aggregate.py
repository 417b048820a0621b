"""The aggregate of a profile as one relational expression, compiled by Ibis for the engine that holds the rows.

Every part has the same columns, so that they can be one statement, and see one state of the table:

part         column                  slot                n      a, b, c, d
`ROWS`       -                       -                   rows   repeated ids, -, first, last (microseconds since 1970)
a number     its index in the bins   slot                rows   sums of d = x - centre and of d * d; least, greatest x
a category   its index in the bins   null, other, named  rows   - (`level` has the name)
`JOINT`      -                       joint bin           rows   sums of answer, label, loss, loss * loss

What differs between engines and is avoided here: time zones (only microseconds since 1970 are compared), literals that
pass through decimals (numbers are written as text and cast), overflow as an error, and the order of NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ml.data.bins import INFINITE, INVALID, NULL, OTHER, UNDER, BinSet, ColumnBins
from ml.data.profiles import MAX_UNSEEN
from ml.spec import FeatureType, Task

Expression = Any  # Ibis has no types of its own
ROWS, JOINT = -1, -2
NAMED = 3
HUGE = 1e150
"""Beyond this a square overflows, which some engines refuse: it counts as infinite."""
ENORMOUS = 1e305
"""Beyond this a sum of a few hundred overflows."""


def aggregates(
    table: Expression, bins: BinSet, *, engine: str, seconds: int, trusted: bool = False
) -> Iterator[Expression]:
    """The parts of the profiles of `table`, by spans of so many `seconds`; columns that are absent have none.

    engine: Ibis's name for what holds the table.
    trusted: ids are unique and classes are written as `metrics.as_class` writes them, as in the prediction log.
    """
    rows = _spans(table, engine, seconds)
    yield _rows(rows, trusted)
    for index, column in enumerate(bins.columns):
        if column.name in table.columns:
            yield _column(rows, engine, bins, index, column, trusted)


def joint_aggregate(
    table: Expression, bins: BinSet, *, engine: str, seconds: int, trusted: bool = False
) -> Iterator[Expression]:
    """The part that depends on labels; none where the table has no labels or no predictions."""
    if {"label", "prediction"} <= set(table.columns):
        yield _joint(_spans(table, engine, seconds), bins, trusted)


def _spans(table: Expression, engine: str, seconds: int) -> Expression:
    rows = table.mutate(span_us=micros(table["timestamp"], engine))
    return rows.mutate(span=(rows["span_us"] // (seconds * 1_000_000)).cast("int64"))


def micros(moment: Expression, engine: str) -> Expression:
    """Microseconds since 1970, UTC. A time without a zone is UTC."""

    if not moment.type().is_timestamp():
        moment = moment.cast("timestamp")
    # By name: DuckDB's other ways need an extension that may have to be downloaded, Spark has no microseconds in Ibis.
    if name := {"duckdb": "epoch_us", "pyspark": "unix_micros"}.get(engine):
        return _native(name, int)(moment)
    whole = moment.truncate("s").epoch_seconds().cast("int64")
    return whole * 1_000_000 + moment.microsecond().cast("int64")


def digest(text: Expression) -> Expression:
    """What orders a sample in the same way everywhere; see `profiles.digest`."""
    return _native("md5", str)(text)


@cache
def _native(name: str, returns: type) -> Callable[[Expression], Expression]:
    """A function that engines have, and Ibis has not."""
    import ibis

    def call(value):  # type: ignore[no-untyped-def]  # of any type
        raise NotImplementedError

    call.__annotations__["return"] = returns
    builtin: Callable[[Expression], Expression] = ibis.udf.scalar.builtin(call, name=name)
    return builtin


def _part(
    grouped: Expression, index: int, slot: Expression = None, level: Expression = None, **sums: Expression
) -> Expression:
    import ibis

    def number(value: Expression) -> Expression:
        return (ibis.null() if value is None else value).cast("float64")

    return grouped.select(
        part=ibis.literal(index, "int32"),
        span=grouped["span"],
        slot=(ibis.literal(0) if slot is None else slot).cast("int32"),
        level=(ibis.null() if level is None else level).cast("string"),
        n=grouped["n"].cast("int64"),
        **{name: number(sums.get(name)) for name in "abcd"},
    )


def _rows(rows: Expression, trusted: bool) -> Expression:
    counted = not trusted and "prediction_id" in rows.columns
    found = rows.group_by("span").aggregate(
        n=rows.count(),
        ids=rows["prediction_id"].nunique() if counted else rows.count(),
        lacking=rows["prediction_id"].isnull().ifelse(1, 0).max() if counted else rows.count() * 0,
        first=rows["span_us"].min(),
        last=rows["span_us"].max(),
    )
    repeated = found["n"] - found["ids"] - found["lacking"]
    return _part(found, ROWS, a=repeated, c=found["first"], d=found["last"])


def _column(rows: Expression, engine: str, bins: BinSet, index: int, column: ColumnBins, trusted: bool) -> Expression:
    values = rows[column.name]
    if column.is_categorical:
        is_class = column.name == "prediction" and bins.task is not Task.REGRESSION
        level = _as_class(values, trusted) if is_class else _as_level(values, column.type)
        return _levels(rows.select("span", level=level), index, column)
    x = _as_number(rows, engine, values, column.type)
    if x is None:
        return _wrong_type(rows.select("span", value=values), index)
    return _numbers(rows.select("span", x=x), index, column)


def _as_number(rows: Expression, engine: str, values: Expression, kind: FeatureType) -> Expression | None:
    """The column as the number that is binned (`bins.as_numbers`); None where the engine has another type there."""
    stored = values.type()
    if kind is FeatureType.TEXT:
        return values.cast("string").length().cast("float64")
    if kind is FeatureType.DATETIME:
        if not (stored.is_timestamp() or stored.is_date()):
            return None
        return (rows["span_us"] - micros(values, engine)).cast("float64") / exactly(1e6)
    if stored.is_boolean():
        return _either(values, exactly(1.0), exactly(0.0))
    return values.cast("float64") if stored.is_numeric() else None


def _numbers(rows: Expression, index: int, column: ColumnBins) -> Expression:
    import ibis

    x = rows["x"]
    slot = ibis.cases(
        (x.isnull() | x.isnan(), NULL),
        ((x == exactly(math.inf)) | (x == exactly(-math.inf)), INFINITE),
        (x < exactly(column.low), UNDER),
        else_=_halved(x, column.edges, 0, len(column.edges)),
    )
    enormous = (x > exactly(ENORMOUS)) | (x < exactly(-ENORMOUS))
    centred = ibis.cases((enormous, x.sign().cast("float64") * exactly(math.inf)), else_=x - exactly(column.centre))
    rows = rows.select("span", "x", slot=slot, away=ibis.cases((x.isnull() | x.isnan(), exactly(0.0)), else_=centred))
    away, huge = rows["away"], (rows["away"] > exactly(HUGE)) | (rows["away"] < exactly(-HUGE))
    square = ibis.cases((huge, exactly(math.inf)), else_=away * away)
    found = rows.group_by("span", "slot").aggregate(
        n=rows.count(), s=away.sum(), s2=square.sum(), low=rows["x"].min(), high=rows["x"].max()
    )
    return _part(found, index, found["slot"], a=found["s"], b=found["s2"], c=found["low"], d=found["high"])


def _halved(x: Expression, edges: tuple[float, ...], low: int, high: int) -> Expression:
    """The slot of x: the number of edges below it, found in as many comparisons as the logarithm of the edges."""
    import ibis

    if low == high:
        return ibis.literal(UNDER + 1 + low)
    middle = (low + high) // 2
    upper = _halved(x, edges, middle + 1, high)
    return ibis.cases((x <= exactly(edges[middle]), _halved(x, edges, low, middle)), else_=upper)


def _wrong_type(rows: Expression, index: int) -> Expression:
    """Values that are no numbers or times, counted as invalid: a column that changed its type spoils nothing else."""
    rows = rows.select("span", slot=rows["value"].isnull().ifelse(NULL, INVALID))
    found = rows.group_by("span", "slot").aggregate(n=rows.count())
    return _part(found, index, found["slot"])


def _levels(rows: Expression, index: int, column: ColumnBins) -> Expression:
    """Rows by level. Of levels without a slot only `MAX_UNSEEN` leave by name, those of the smallest digest."""
    import ibis

    level = rows["level"]
    found = rows.group_by("span", "level").aggregate(n=rows.count())
    level = found["level"]
    known = level.isnull() | level.isin(column.levels) if column.levels else level.isnull()
    found = found.mutate(known=known)
    by_digest = ibis.window(group_by=["span", "known"], order_by=digest(found["level"]))
    found = found.mutate(rank=ibis.row_number().over(by_digest))
    named = found["known"] | (found["rank"] < MAX_UNSEEN)
    slot = ibis.cases((found["level"].isnull(), NULL), (named, NAMED), else_=OTHER)
    found = found.select("span", "n", slot=slot, level=named.ifelse(found["level"], ibis.null("string")))
    found = found.group_by("span", "slot", "level").aggregate(n=found["n"].sum())
    return _part(found, index, found["slot"], found["level"])


def _either(condition: Expression, yes: Any, no: Any) -> Expression:
    """Missing stays missing. (Not every engine turns truth into a number by a cast.)"""
    import ibis

    return ibis.cases((condition, yes), (~condition, no))


def _as_level(values: Expression, kind: FeatureType) -> Expression:
    """The name of a level (`bins.as_levels`)."""
    stored = values.type()
    if stored.is_boolean() or (kind is FeatureType.BOOLEAN and stored.is_numeric()):
        return _either(values if stored.is_boolean() else values != 0, "true", "false")
    return values.cast("string")


def _as_class(values: Expression, trusted: bool) -> Expression:
    """The name of a class (`metrics.as_class`): 1, 1.0, true and "True" are one."""
    import ibis

    stored = values.type()
    if stored.is_boolean():
        return _either(values, "1", "0")
    if stored.is_integer():
        return values.cast("int64").cast("string")
    if stored.is_numeric():
        values = values.cast("float64")
        return ibis.cases((values == values.floor(), values.cast("int64").cast("string")), else_=values.cast("string"))
    text = values.cast("string")
    if trusted:
        return text
    whole = text.re_search(r"^-?[0-9]+\.0$")
    return ibis.cases((text == "True", "1"), (text == "False", "0"), (whole, text.left(text.length() - 2)), else_=text)


def _joint(rows: Expression, bins: BinSet, trusted: bool) -> Expression:
    """Rows with a label by joint bin, with the sums of answer, label and loss."""
    import ibis

    def indicator(condition: Expression) -> Expression:
        return ibis.cases((condition, exactly(1.0)), else_=exactly(0.0))

    def finite(x: Expression) -> Expression:
        return x.notnull() & ~x.isnan() & (x != exactly(math.inf)) & (x != exactly(-math.inf))

    given, said = rows["label"], rows["prediction"]
    if bins.task is Task.REGRESSION:
        given, said = given.cast("float64"), said.cast("float64")
        rows = rows.select("span", answer=said, label=given).filter(finite(said) & finite(given))
        loss = (rows["label"] - rows["answer"]).abs()
    else:
        given, said = _as_class(given, trusted), _as_class(said, trusted)
        score = rows["score"].cast("float64") if "score" in rows.columns else ibis.null("float64")
        if bins.task is Task.BINARY:
            right, fallback = indicator(given == bins.positive), indicator(said == bins.positive)
        else:
            right, fallback = indicator(given == said), exactly(1.0)
        answer = ibis.cases((finite(score), score), else_=fallback)
        rows = rows.filter(rows["label"].notnull() & rows["prediction"].notnull())
        rows = rows.select("span", answer=answer, label=right)
        wrong = exactly(1.0) - rows["label"]
        away = rows["label"] - rows["answer"]
        loss = away * away if bins.task is Task.BINARY else wrong
    where: Expression = ibis.literal(0)
    for edge in bins.joint_edges:
        where = where + (rows["answer"] > exactly(edge)).ifelse(1, 0)
    rows = rows.select("span", "answer", "label", slot=where, loss=loss)
    found = rows.group_by("span", "slot").aggregate(
        n=rows.count(),
        s=rows["answer"].sum(),
        y=rows["label"].sum(),
        l=rows["loss"].sum(),
        l2=(rows["loss"] * rows["loss"]).sum(),
    )
    return _part(found, JOINT, found["slot"], a=found["s"], b=found["y"], c=found["l"], d=found["l2"])


def exactly(value: float) -> Expression:
    """A float64 literal, bit for bit: as text, because a decimal in between rounds a second time."""
    import ibis

    return ibis.literal(repr(float(value))).cast("float64")
