"""Rows -> the matrix that the estimator is fed, equal bit for bit to what `ml.models.encoding` makes of them.

One row of numbers, truths and categories takes a few microseconds of plain Python; batches go column by column through
NumPy. What a checked request never holds (numbers as text, odd ways to write a time) goes through the slow encoder.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.errors import DataError
from ml.serving.engines.plan import Plan, Step

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_LIMIT = float(np.finfo(np.float32).max)
_NAN = float("nan")
_PLAIN = {float, int, bool, type(None)}
_TRUE = {"1", "true", "t", "yes", "y"}
_FALSE = {"0", "false", "f", "no", "n"}
_DAY = 86_400.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOMENT = re.compile(
    r"(?:1[7-9]\d|2[01]\d|22[0-5])\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{3}|\.\d{6})?)?(?:Z|[+-]\d\d:\d\d)?)?"
)
_WORD = re.compile(r"(?u)\b\w\w+\b")


class Encoder:
    """The first half of a plan, ready to run; holds nothing that changes, so many threads may use it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.width = plan.width
        self.numeric = tuple(step.feature for step in plan.steps)
        self.only_numbers = all(step.kind == "numeric" and not step.scale for step in plan.steps)
        self.places = [{level: j for j, level in enumerate(step.levels)} for step in plan.steps]
        ends = np.cumsum([step.width for step in plan.steps]).tolist()
        self.starts = [end - step.width for end, step in zip(ends, plan.steps, strict=True)]
        self.required = frozenset(plan.required)
        self._pack = struct.Struct(f"={self.width}f").pack

    def matrix(self, columns: Mapping[str, Sequence[Any]], n: int) -> Matrix:
        """Shape (n, width). Raises: DataError naming the column that is missing or cannot be used."""
        try:
            if self.only_numbers:
                return self._numbers_of_one(columns) if n == 1 else self._numbers_of_many(columns, n)
            wide = np.empty((n, self.width))
            for step, start, places in zip(self.plan.steps, self.starts, self.places, strict=True):
                _fill(wide[:, start : start + step.width], step, columns[step.feature], places)
        except KeyError as error:
            raise DataError(
                f"The column {error} is missing from the rows; the model is fed it. Send it, empty if unknown."
            ) from None
        return np.clip(wide, -_LIMIT, _LIMIT).astype(np.float32)

    def _numbers_of_one(self, columns: Mapping[str, Sequence[Any]]) -> Matrix:
        try:
            values = [columns[name][0] for name in self.numeric]
            if isfinite(sum(values)):  # nothing is missing or infinite
                return np.frombuffer(self._pack(*values), dtype=np.float32).reshape(1, self.width)
        except (TypeError, struct.error, OverflowError):  # text, nothing, or more than 32 bits hold
            pass
        return self._numbers_of_many(columns, 1)

    def _numbers_of_many(self, columns: Mapping[str, Sequence[Any]], n: int) -> Matrix:
        matrix = np.empty((n, self.width), dtype=np.float32)
        for j, name in enumerate(self.numeric):
            column = _numbers(columns[name])
            if not np.abs(column).max() <= _LIMIT:  # something is missing or large
                column = self._usable(name, _finite(column))
            matrix[:, j] = column
        return matrix

    def _usable(self, name: str, column: Floats) -> Floats:
        """A column within 32 bits. Raises: DataError where the model refuses what is missing or larger."""
        version = self.plan.version
        if name in self.required and (gaps := np.flatnonzero(np.isnan(column))).size:
            raise DataError(
                f"The column {name!r} of row {gaps[0]} is missing and version {version} cannot answer without it; "
                "send a number."
            )
        if not self.plan.clip and (beyond := np.flatnonzero(np.abs(column) > _LIMIT)).size:
            raise DataError(
                f"The column {name!r} of row {beyond[0]} is larger than 32 bits hold, which version {version} computes "
                "in; send a number within ±3.4e38."
            )
        return np.clip(column, -_LIMIT, _LIMIT)


def class_text(value: Any) -> str:
    """A class or category as comparable text, as `ml.metrics.as_class` has it: 1, 1.0, "1" and True are one.

    >>> [class_text(value) for value in (True, 1.0, "1.0", "yes", -2.5)]
    ['1', '1', '1', 'yes', '-2.5']
    """
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    text = str(value)
    if text in ("True", "False"):
        return str(int(text == "True"))
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text


def _fill(target: Floats, step: Step, column: Sequence[Any], places: dict[str, int]) -> None:
    if step.kind == "categorical":
        target[:] = 0.0
        for row, value in enumerate(column):
            if (place := _place(value, places)) >= 0:
                target[row, place] = 1.0
        return
    if step.kind == "text":
        _weigh(target, step, column)
        return
    if step.kind == "datetime":
        values = _cycles(_moments(column))
    else:
        values = (_truths(column) if step.kind == "boolean" else _finite(_numbers(column)))[:, None]
    if not step.scale:
        target[:] = values
        return
    missing = np.isnan(values).any(axis=1)
    with np.errstate(over="ignore"):
        for j, (center, scale) in enumerate(zip(step.center, step.scale, strict=True)):
            target[:, j] = np.where(missing, 0.0, (values[:, j] - center) / scale)
    target[:, -1] = missing


def _place(value: Any, places: dict[str, int]) -> int:
    if value is None or value != value:
        return len(places)
    if type(value) is str and (place := places.get(value)) is not None:
        return place
    return places.get(class_text(value), -1)


def _numbers(column: Any) -> Floats:
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        return column.astype(np.float64, copy=False)
    try:
        return np.frombuffer(array("d", column))  # refuses text and None, which is faster than a look at every type
    except (TypeError, OverflowError):
        pass
    if _PLAIN.issuperset(map(type, column)):
        return np.array(column, dtype=np.float64)
    import pandas as pd

    values = pd.to_numeric(pd.Series(list(column), dtype=object), errors="coerce")
    return values.to_numpy(dtype=np.float64, na_value=np.nan).copy()


def _finite(values: Floats) -> Floats:
    return np.where(np.isinf(values), np.nan, values)


def _truths(column: Sequence[Any]) -> Floats:
    return np.array([_truth(value) for value in column])


def _truth(value: Any) -> float:
    if value is True:
        return 1.0
    if value is False:
        return 0.0
    if value is None or value != value:
        return _NAN
    text = class_text(value).lower()
    return 1.0 if text in _TRUE else 0.0 if text in _FALSE else _NAN


def _moments(column: Sequence[Any]) -> Floats:
    """Seconds since 1970, UTC. Written plainly, a time is read here; every other way is left to pandas."""
    seconds = np.empty(len(column))
    for row, value in enumerate(column):
        if value is None or value != value:
            seconds[row] = _NAN
            continue
        found = _plain_moment(value)
        if found is None:
            return _moments_by_pandas(column)
        seconds[row] = found
    return seconds


def _plain_moment(value: Any) -> float | None:
    if type(value) is not str or not _MOMENT.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return float((moment - _EPOCH) // _MICROSECOND * 1000) / 1e9  # rounded as nanoseconds are, once


def _moments_by_pandas(column: Sequence[Any]) -> Floats:
    import pandas as pd

    from ml.models.encoding import as_moment

    return as_moment(pd.Series(list(column)))


def _cycles(seconds: Floats) -> Floats:
    turns = [seconds / _DAY, (seconds / _DAY + 4) / 7, seconds / (365.2425 * _DAY)]
    waves = [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]
    return np.column_stack([*waves, seconds / _DAY])


def _weigh(target: Floats, step: Step, column: Sequence[Any]) -> None:
    """Words by 1 + log(count), times how rare they are, to length one; then the length of the text."""
    target[:] = 0.0
    words = step.words or {}
    for row, value in enumerate(column):
        text = "" if value is None or value != value else str(value)
        target[row, -1] = len(text)
        counts = Counter(place for word in _WORD.findall(text.lower()) if (place := words.get(word)) is not None)
        if not counts:
            continue
        places = np.array(sorted(counts))
        weights = np.log(np.array([counts[place] for place in places.tolist()], dtype=np.float64)) + 1.0
        weights *= np.array([step.idf[place] for place in places.tolist()])
        length = 0.0
        for weight in weights.tolist():  # one after the other, as scikit-learn adds them
            length += weight * weight
        target[row, places] = weights / np.sqrt(length)
    target[:, -1] = np.log1p(target[:, -1])
