"""Labels by prediction id: what turned out to be true, read from a request and written to the journal.

They may come late, before their prediction, again, and corrected; what is in force is what became known last. When the
answer leaves they stand on disk, whether the log can be reached or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ml.data.nulls import NULLS
from ml.serving.journal import Journal
from ml.serving.problems import Fault, Refused, refuse_rows
from ml.spec import ModelSpec, Task

ID, LABEL, TIME = "prediction_id", "label", "label_timestamp"
LONGEST = 200
SKEW = timedelta(minutes=5)  # a clock elsewhere may be ahead by so much
MOST_FAULTS = 20


def take(body: bytes, spec: ModelSpec, journal: Journal, at: float, *, most_rows: int) -> dict[str, int]:
    """Write the labels of a request, received at `at` (seconds since 1970), to the journal.

    The body is JSON: `{"rows": [{"prediction_id": …, "label": …}, …]}`, a list of such rows, or one row. The label may
    stand under the spec's target too; `label_timestamp` (ISO 8601) says when it became known, if not now. Rows whose
    label is null are left out. Returns `accepted` and `empty`.
    Raises: Refused naming row and column; JournalFull.
    """
    ids, labels, times, empty = read(body, spec, at, most_rows=most_rows)
    if ids:
        journal.record_labels(spec.name, ids, labels, times, at)
    return {"accepted": len(ids), "empty": empty}


def read(
    body: bytes, spec: ModelSpec, at: float, *, most_rows: int
) -> tuple[list[str], list[Any], list[str | None], int]:
    """Ids, labels, times, and how many rows have no label. Raises: Refused."""
    latest = datetime.fromtimestamp(at, UTC) + SKEW
    ids: list[str] = []
    labels: list[Any] = []
    times: list[str | None] = []
    faults: list[Fault] = []
    empty = 0
    for number, row in enumerate(_rows(body, most_rows)):
        if len(faults) >= MOST_FAULTS:
            break
        if not isinstance(row, dict):
            faults.append(Fault("not a row", f"is no object with {ID!r} and {LABEL!r}.", None, number))
            continue
        name = str(row[ID]) if type(row.get(ID)) is int else row.get(ID)
        label = row.get(LABEL, row.get(spec.target))
        column = LABEL if LABEL in row or spec.target not in row else spec.target
        if found := _wrong(row, column, name, spec):
            faults.append(Fault(*found, number))
            continue
        if label is None or (isinstance(label, str) and label in NULLS):
            empty += 1
            continue
        try:
            times.append(_time(row.get(TIME), latest))
        except ValueError as error:
            faults.append(Fault("wrong time", str(error), TIME, number))
            continue
        ids.append(str(name))
        labels.append(float(label) if spec.task is Task.REGRESSION else label)
    if faults:
        raise refuse_rows(faults)
    return ids, labels, times, empty


def _rows(body: bytes, most_rows: int) -> list[Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "not JSON", f"The body is not valid JSON: {error}.") from None
    if isinstance(data, dict):
        data = data.get("rows", [data])
    if not isinstance(data, list):
        raise Refused(400, "no rows", f'Labels are sent as {{"rows": [{{"{ID}": …, "{LABEL}": …}}]}}.')
    if not data:
        raise Refused(400, "no rows", "There are no rows; send at least one.")
    if len(data) > most_rows:
        raise Refused(413, "too many rows", f"{len(data):,} rows are more than {most_rows:,}; send fewer at once.")
    return data


def _wrong(row: Mapping[str, Any], column: str, name: Any, spec: ModelSpec) -> tuple[str, str, str] | None:
    """Rule, sentence and column of what is wrong with a row's id or label; None where nothing is."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST or not name.isprintable():
        return "wrong id", f"is no id of a prediction: 1 to {LONGEST} printable characters.", ID
    if column not in row:
        return "no label", f"is missing; each row has {ID!r} and {LABEL!r}.", LABEL
    label = row[column]
    if label is None or (isinstance(label, str) and label in NULLS):
        return None
    if spec.task is Task.REGRESSION:
        number = isinstance(label, int | float) and not isinstance(label, bool) and math.isfinite(label)
        return None if number else ("wrong label", "is not a number.", column)
    if isinstance(label, str) and not (len(label) <= LONGEST and label.isprintable()):
        return "wrong label", f"is no class: 1 to {LONGEST} printable characters.", column
    if not isinstance(label, str | int | float | bool):
        return "wrong label", "is no class: one text, number or truth value.", column
    return None


def _time(value: Any, latest: datetime) -> str | None:
    """When it became known, in UTC. Raises: ValueError saying what is wrong."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("is not a time in ISO 8601, such as 2026-01-31T08:00:00Z.") from None
    if moment > latest:
        raise ValueError("lies in the future; it is the time at which the label became known.")
    if moment.year < 1970:
        raise ValueError("lies before 1970.")
    return moment.isoformat()
