"""Values of one column as they come in a body -> the plain values of `Rows`, by the column's type.

A missing value, NaN, an infinity and a category never seen are data: they are answered, logged and measured. A value
of another type is refused. What counts as a number, a truth or a time is what `ml.data.tables` takes from files, so
that the log does not depend on the way that rows came in.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from ml.data.nulls import NULLS
from ml.spec import FeatureType

LONGEST = {FeatureType.CATEGORICAL: 1_000, FeatureType.TEXT: 100_000}
NAN = float("nan")
_MISSING = frozenset(NULLS)
_NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE)
_TRUTH: dict[Any, bool | None] = {"1": True, "true": True, "t": True, "yes": True, "y": True}
_TRUTH |= {"0": False, "false": False, "f": False, "no": False, "n": False}
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class WrongCell(Exception):
    """A value that is not of its column's type; becomes a fault with row and column."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(what)
        self.rule = rule


Reader = Callable[[Any], Any]


def number(value: Any) -> float:
    """
    >>> number("1.5"), number(3), number(None)
    (1.5, 3.0, nan)
    """
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            raise WrongCell("too large", "is a number beyond what 64 bits hold") from None
    if value is None:
        return NAN
    if kind is str:
        if value in _MISSING:
            return NAN
        if len(value) < 400 and _NUMBER.fullmatch(value):
            return float(value)
    raise WrongCell("wrong type", "is not a number")


def truth(value: Any) -> bool | None:
    """
    >>> truth("Yes"), truth(0), truth(None)
    (True, False, None)
    """
    kind = type(value)
    if kind is bool or value is None:
        return value  # type: ignore[no-any-return]
    if kind in (int, float):
        if value in (0, 1):
            return bool(value)
        if value != value:
            return None
    elif kind is str:
        if value in _MISSING:
            return None
        known = _TRUTH.get(value.lower()) if len(value) < 9 else None
        if known is not None:
            return known
    raise WrongCell("wrong type", "is not true or false")


def level(value: Any) -> str | None:
    """A category's name in one form: 3, 3.0 and "3.0" are "3".

    >>> level(3.0), level("3.0"), level("rain"), level(None)
    ('3', '3', 'rain', None)
    """
    kind = type(value)
    if kind is str:
        if value in _MISSING:
            return None
        if value.endswith(".0") and value[:-2].lstrip("-").isdigit():
            return clean(value[:-2], FeatureType.CATEGORICAL)
        return clean(value, FeatureType.CATEGORICAL)
    if value is None:
        return None
    if kind is float:
        if value != value:
            return None
        return str(int(value)) if value.is_integer() else str(value)
    if kind in (int, bool):
        return clean(str(value), FeatureType.CATEGORICAL)
    raise WrongCell("wrong type", "is not a category: text, a number or nothing")


def text(value: Any) -> str | None:
    """Text as it is, without what cannot be stored."""
    if value is None or value == "":
        return None
    if type(value) is str:
        return clean(value, FeatureType.TEXT)
    if type(value) in (int, float, bool):
        return level(value)
    raise WrongCell("wrong type", "is not text")


def moment(value: Any) -> str | None:
    """A time in UTC, ISO 8601; without a zone it is UTC.

    >>> moment("2026-03-01T13:00:00+01:00"), moment(None)
    ('2026-03-01T12:00:00+00:00', None)
    """
    if value is None:
        return None
    if type(value) is str:
        if value in _MISSING:
            return None
        try:
            parsed = datetime.fromisoformat(value.strip())
            parsed = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
            return parsed.isoformat()
        except (ValueError, OverflowError):
            pass
    raise WrongCell("wrong type", "is not a time in ISO 8601, such as 2026-01-31T08:00:00Z")


def clean(value: str, kind: FeatureType) -> str:
    """Text without control characters, lone surrogates and direction overrides. Raises: WrongCell when too long."""
    if len(value) > LONGEST[kind]:
        raise WrongCell("too long", f"is longer than {LONGEST[kind]:,} characters")
    if value.isprintable():
        return value
    return _SURROGATE.sub("\ufffd", _UNSTORABLE.sub("", value))


READERS: dict[FeatureType, Reader] = {
    FeatureType.NUMERIC: number,
    FeatureType.CATEGORICAL: level,
    FeatureType.BOOLEAN: truth,
    FeatureType.DATETIME: moment,
    FeatureType.TEXT: text,
}
_FLOAT, _STR = {float}, {str}
_DIGITS = re.compile(r"[-+.,0-9eE]*", re.ASCII)


def read_numbers(values: Sequence[Any]) -> Sequence[float]:
    """A numeric column; the usual one, all of floats, is packed once for all that use it. Raises: WrongCell."""
    kinds = set(map(type, values))
    if kinds == _FLOAT:
        return array("d", values)
    if kinds == _STR and _DIGITS.fullmatch(",".join(values)):  # as CSV brings them: nothing odd in any of them
        try:
            return array("d", map(float, values))
        except ValueError:  # something is missing, or no number
            pass
    return list(map(number, values))


def read_levels(values: Sequence[Any]) -> Sequence[str | None]:
    """A column of categories: each different text is looked at once. Raises: WrongCell."""
    if len(values) < 8 or set(map(type, values)) != {str}:
        return list(map(level, values))
    names = {value: level(value) for value in set(values)}
    return [names[value] for value in values]
