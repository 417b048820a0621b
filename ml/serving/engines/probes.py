"""Rows on which a faster engine must agree with the model itself: real ones, and the ones where engines go wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.serving.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

REAL = 500
HOSTILE = 3_000
_LARGEST = float(np.finfo(np.float32).max)
_NUMBERS = (0.0, -0.0, 1e-45, -1e-45, 1e-39, 1.0, -1.0, 16_777_217.0, _LARGEST, -_LARGEST, 1e300, -1e300,
            float("inf"), float("-inf"))  # fmt: skip
_ODD: Mapping[str, tuple[Any, ...]] = {
    "numeric": _NUMBERS,
    "boolean": (True, False),
    "categorical": ("", "a level that nobody ever sent", "nan", "1.0", "True", "é" * 300),
    "text": ("", "a", "word " * 500, "\u00df\u0130 naïve x1_y 漢字"),
    "datetime": ("1970-01-01", "2026-02-28T23:59:59.999999Z", "2200-01-01T00:00:00+14:00", "1800-05-05T05:05"),
}

Row = dict[str, Any]


def real_rows(kinds: Mapping[str, str], frame: pd.DataFrame) -> list[Row]:
    """Rows of the prediction log's form as plain values, the first 500."""
    head = frame.head(REAL)
    columns = {name: [_plain(kind, value) for value in head[name].tolist()] for name, kind in kinds.items()}
    return [{name: columns[name][j] for name in kinds} for j in range(len(head))]


def made_up_rows(kinds: Mapping[str, str], *, count: int = 200, seed: int = 0) -> list[Row]:
    """Rows for a model of which no rows are known: numbers of many sizes, and gaps."""
    rng = np.random.default_rng(seed)

    def value(kind: str) -> Any:
        if rng.random() < 0.1:
            return _missing(kind)
        if kind == "numeric":
            return float(rng.normal() * 10.0 ** rng.integers(-3, 5))
        odd = _ODD[kind]
        return odd[int(rng.integers(len(odd)))]

    return [{name: value(kind) for name, kind in kinds.items()} for _ in range(count)]


def hostile_rows(kinds: Mapping[str, str], real: Sequence[Row], splits: Mapping[str, Sequence[float]]) -> Iterator[Row]:
    """Real rows with one value changed: missing, extreme, unseen, and for trees exactly on a split and a hair beside.

    splits: feature -> thresholds of the trees.
    """
    base = real[0]
    yield {name: _missing(kind) for name, kind in kinds.items()}
    each = max(2, HOSTILE // len(kinds))  # of many features, each gets some of the odd values, others than the next
    for j, (name, kind) in enumerate(kinds.items()):
        base = real[j % len(real)]
        yield base | {name: _missing(kind)}
        odd = _ODD[kind]
        for k in range(min(each, len(odd))):
            yield base | {name: odd[(j + k) % len(odd)]}
    for name, values in splits.items():
        levels = sorted(set(values))
        for k, threshold in enumerate(levels[:: 1 + 3 * len(levels) * len(splits) // HOSTILE]):
            middle = np.float32(threshold)
            for value in (np.nextafter(middle, np.float32(-np.inf)), middle, np.nextafter(middle, np.float32(np.inf))):
                yield real[k % len(real)] | {name: float(value)}


def complete_row(kinds: Mapping[str, str], real: Sequence[Row]) -> Row:
    """The real row with the fewest gaps, its missing numbers 0."""
    best = min(real, key=lambda row: sum(has_gap(row, (name,)) for name in kinds))
    return {name: 0.0 if kind == "numeric" and has_gap(best, (name,)) else best[name] for name, kind in kinds.items()}


def without_each(kinds: Mapping[str, str], base: Row) -> list[Row]:
    """A row for each feature, without it."""
    return [base | {name: _missing(kind)} for name, kind in kinds.items()]


def has_gap(row: Row, names: Iterable[str]) -> bool:
    """Whether one of the features is missing; an infinite number is."""
    return any((value := row[name]) is None or (isinstance(value, float) and not isfinite(value)) for name in names)


def as_rows(rows: Sequence[Row]) -> Rows:
    names = list(rows[0])
    return Rows({name: [row[name] for row in rows] for name in names}, [str(j) for j in range(len(rows))])


def _missing(kind: str) -> Any:
    return float("nan") if kind == "numeric" else None


def _plain(kind: str, value: Any) -> Any:
    import pandas as pd

    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return _missing(kind)
    if kind == "numeric":
        return float(value) if isinstance(value, (int, float, np.number)) else _number(str(value))
    if kind == "datetime":
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    if kind == "boolean":
        return (
            value
            if isinstance(value, bool)
            else {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower().removesuffix(".0"))
        )
    return str(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
