"""Bytes of a body -> plain data -> named columns. What cannot be read is refused with the reason; nothing crashes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ml.serving.problems import Fault, Refused, refuse_rows

_NOT_STRICT = (b"NaN", b"Infinity", b"\\ud", b"\\uD")
csv.field_size_limit(1_000_000)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns as they came, one value a row each, not looked at yet."""

    columns: Mapping[str, Sequence[Any]]
    count: int


def read_json(body: bytes) -> Any:
    """Plain data. NaN and Infinity are taken, as Python's and MLflow's clients write them. Raises: Refused."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if any(mark in body for mark in _NOT_STRICT):
            try:
                return json.loads(body)
            except (ValueError, RecursionError):
                pass
        raise Refused(400, "not json", f"The body is not JSON: {str(error)[:200]}.") from None


def read_csv(body: bytes, most_rows: int) -> Table:
    """A table with a header line. Raises: Refused naming the line that is of another width."""
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        names = next(lines, [])
        rows: list[list[str]] = []
        for row in lines:
            if not row:
                continue
            if len(row) != len(names):
                what = f"has {len(row)} values and the header has {len(names)}; every line needs as many."
                raise refuse_rows([Fault("shape", what, row=len(rows))])
            rows.append(row)
            if len(rows) > most_rows:
                break  # the limit is said where it is kept
    except UnicodeDecodeError:
        raise Refused(400, "not csv", "The body is not text in UTF-8.") from None
    except csv.Error as error:
        raise Refused(400, "not csv", f"The body cannot be read as CSV: {str(error)[:200]}.") from None
    return from_rows(names, rows)


def from_rows(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Rows of values under names. Raises: Refused when a name stands twice or a row is of another width."""
    refuse_twice(names)
    if len(rows) == 1:
        row = rows[0]
        if type(row) is list and len(row) == len(names):
            return Table({name: (value,) for name, value in zip(names, row, strict=True)}, 1)
    for number, row in enumerate(rows):
        if type(row) is not list or len(row) != len(names):
            found = f"has {len(row)} values" if isinstance(row, list) else "is no list of values"
            raise refuse_rows([Fault("shape", f"{found}, and there are {len(names)} columns.", row=number)])
    return Table(
        dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ()), len(rows)
    )


def from_records(records: Sequence[Any]) -> Table:
    """A list of objects, one a row; a key that only some have is missing in the others. Raises: Refused."""
    if len(records) == 1 and type(records[0]) is dict:
        return Table({name: (value,) for name, value in records[0].items()}, 1)
    wrong = next((row for row, record in enumerate(records) if type(record) is not dict), None)
    if wrong is not None:
        raise refuse_rows([Fault("shape", "is no object of column and value.", row=wrong)])
    if not records:
        return Table({}, 0)
    names = list(records[0])
    if set(map(len, records)) == {len(names)}:
        try:
            return Table({name: [record[name] for record in records] for name in names}, len(records))
        except KeyError:
            pass  # as many keys, but others
    names = list(dict.fromkeys(name for record in records for name in record))
    return Table({name: [record.get(name) for record in records] for name in names}, len(records))


def from_columns(columns: Mapping[str, Any]) -> Table:
    """An object of columns, each a list of one value a row, or one plain value for one row. Raises: Refused."""
    lists = {name: flat_column(name, values) for name, values in columns.items()}
    counts = {name: len(values) for name, values in lists.items()}
    if len(set(counts.values())) > 1:
        first, count = next(iter(counts.items()))
        other = next(name for name in counts if counts[name] != count)
        what = f"has {counts[other]} values and {first!r} has {count}; every column needs one a row."
        raise refuse_rows([Fault("shape", what, other)])
    return Table(lists, next(iter(counts.values()), 0))


def flat_column(name: str, values: Any) -> Sequence[Any]:
    """[1, 2], [[1], [2]] and 1 are columns. Raises: Refused for any other shape."""
    if type(values) is not list:
        if type(values) is dict:
            raise refuse_rows([Fault("shape", "is an object; a column is a list of one value a row.", name)])
        return (values,)
    if values and type(values[0]) is list:
        for row, value in enumerate(values):
            if type(value) is not list or len(value) != 1:
                raise refuse_rows([Fault("shape", "holds several values; a column has one a row.", name, row)])
        return [value[0] for value in values]
    return values


def refuse_twice(names: Sequence[str]) -> None:
    """Raises: Refused when a name stands twice."""
    if len(set(names)) < len(names):
        name = next(name for name in names if list(names).count(name) > 1)
        raise refuse_rows([Fault("repeated column", "stands twice; keep one.", name[:100])])
