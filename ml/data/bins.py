"""Fixed bins from the reference: what makes counts exact, additive, tiny, and comparable over years.

A numeric column has up to 32 reference-quantile bins, one for what lies under and one for what lies over everything
seen (or the spec's `range`); a categorical one has a slot for each level, up to 1,000. The id of a bin set is the hash
of all of it: counts are compared only within one id.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import DataError
from ml.metrics import as_class
from ml.spec import Feature, FeatureType, ModelSpec, Task

QUANTILE_BINS = 32
MAX_LEVELS = 1_000
VOCABULARY = 1_000
JOINT_BINS = 20

# Slots that come before a column's bins or levels.
NULL, INVALID, INFINITE, UNDER = 0, 1, 2, 3
OTHER = 2
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Lower-case words of a text, in any script.

    >>> words("Überweisung, 3x!")
    ['überweisung', '3x']
    """
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class ColumnBins:
    """The slots of one column.

    numeric, datetime (as seconds before the row's timestamp), text (as length in characters):
        null, invalid, infinite, under, one per upper edge, over; text adds tokens and tokens out of vocabulary.
    categorical, boolean: null, invalid, other, one per level.

    low: values below are `under`. edges: ascending upper edges, the last the largest ordinary value.
    centre: sums and squares are taken about it, to keep their precision. complete: no level of the reference had to be
    left out, so `other` is what was never seen.
    """

    name: str
    type: FeatureType
    low: float = 0.0
    edges: tuple[float, ...] = ()
    centre: float = 0.0
    levels: tuple[str, ...] = ()
    complete: bool = True
    vocabulary: tuple[str, ...] = ()

    @property
    def is_categorical(self) -> bool:
        return self.type in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN)

    @cached_property
    def slots(self) -> int:
        if self.is_categorical:
            return 3 + len(self.levels)
        return 5 + len(self.edges) + (2 if self.type is FeatureType.TEXT else 0)

    @cached_property
    def position(self) -> dict[str, int]:
        """Slot of each level."""
        return {level: 3 + i for i, level in enumerate(self.levels)}

    @cached_property
    def known_words(self) -> frozenset[str]:
        return frozenset(self.vocabulary)


@dataclass(frozen=True)
class BinSet:
    """The bins of every column of a model, and of the joint table of answers and labels.

    joint_edges: upper edges (all but the last) of the score, or of the prediction for regression.
    positive: the class that a label of 1 means in the joint table; for multiclass 1 is a right answer.
    """

    task: Task
    positive: str
    columns: tuple[ColumnBins, ...]
    joint_edges: tuple[float, ...]

    @cached_property
    def id(self) -> str:
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def index(self) -> dict[str, int]:
        return {column.name: i for i, column in enumerate(self.columns)}

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Where each column's slots begin, and at the end how many there are."""
        return np.concatenate([[0], np.cumsum([column.slots for column in self.columns])]).astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BinSet:
        columns = tuple(
            ColumnBins(
                name=c["name"],
                type=FeatureType(c["type"]),
                low=c["low"],
                edges=tuple(c["edges"]),
                centre=c["centre"],
                levels=tuple(c["levels"]),
                complete=c["complete"],
                vocabulary=tuple(c["vocabulary"]),
            )
            for c in data["columns"]
        )
        return cls(Task(data["task"]), data["positive"], columns, tuple(data["joint_edges"]))


def make_bins(spec: ModelSpec, reference: pd.DataFrame) -> BinSet:
    """The bin set of a model from its reference, a log frame. Absent and empty columns get no bins of their own.

    Raises: DataError when the reference has no rows.
    """
    if len(reference) == 0:
        raise DataError(f"The reference of {spec.name!r} has no rows; choose a window with predictions in it.")
    columns = [_column_bins(name, feature, reference) for name, feature in spec.features.items()]
    answer = Feature(type=FeatureType.NUMERIC if spec.task is Task.REGRESSION else FeatureType.CATEGORICAL)
    columns.append(_column_bins("prediction", answer, reference))
    if spec.task is Task.REGRESSION:
        edges = columns[-1].edges
        step = max(len(edges) / JOINT_BINS, 1.0)
        joint = tuple(edges[int(k * step) - 1] for k in range(1, JOINT_BINS) if int(k * step) < len(edges))
    else:
        columns.append(_column_bins("score", Feature(type=FeatureType.NUMERIC), reference))
        joint = tuple(k / JOINT_BINS for k in range(1, JOINT_BINS))
    return BinSet(spec.task, str(as_class([spec.positive])[0]), tuple(columns), joint)


def _column_bins(name: str, feature: Feature, reference: pd.DataFrame) -> ColumnBins:
    if name not in reference:
        return ColumnBins(name, feature.type)
    values = reference[name]
    if feature.type in (FeatureType.CATEGORICAL, FeatureType.BOOLEAN):
        levels, complete = _levels(values)
        return ColumnBins(name, feature.type, levels=levels, complete=complete)
    numbers = as_numbers(values, feature.type, reference)
    low, edges, centre = _quantile_edges(numbers, feature.range)
    vocabulary = _vocabulary(values) if feature.type is FeatureType.TEXT else ()
    return ColumnBins(name, feature.type, low=low, edges=edges, centre=centre, vocabulary=vocabulary)


def as_numbers(values: pd.Series, kind: FeatureType, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """A column as the numbers that are binned: itself, a text's length, or a time's age at the row's timestamp."""
    if kind is FeatureType.TEXT:
        return np.asarray(values.map(len, na_action="ignore").to_numpy(np.float64, na_value=np.nan), np.float64)
    if kind is FeatureType.DATETIME:
        age = (frame["timestamp"] - values).astype("timedelta64[us]")
        micros = age.to_numpy().astype(np.int64)
        seconds: npt.NDArray[np.float64] = micros.astype(np.float64) / 1e6
        seconds[age.isna().to_numpy()] = np.nan
        return seconds
    return np.ascontiguousarray(values.to_numpy(np.float64, na_value=np.nan), np.float64)


def as_levels(values: pd.Series) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Codes (-1 for missing) and the names of the levels, booleans as "true" and "false"."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return np.asarray(values.cat.codes, np.int64), [str(level) for level in values.cat.categories]
    if pd.api.types.is_bool_dtype(values.dtype):
        known = values.astype("boolean")
        return np.asarray(known.astype("Int8").fillna(-1), np.int64), ["false", "true"]
    codes, uniques = pd.factorize(values, use_na_sentinel=True)
    return codes.astype(np.int64, copy=False), [
        str(level).lower() if isinstance(level, (bool, np.bool_)) else str(level) for level in uniques
    ]


def _levels(values: pd.Series) -> tuple[tuple[str, ...], bool]:
    """Every level where there are few enough; else only heavy ones, so that chance does not choose among the rare."""
    codes, names = as_levels(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    seen = [(name, int(count)) for name, count in zip(names, counts, strict=True) if count]
    if len(seen) <= MAX_LEVELS:
        return tuple(sorted(name for name, _ in seen)), True
    heavy = max(counts.sum() / MAX_LEVELS, 20)
    return tuple(sorted(name for name, count in seen if count >= heavy)), False


def _vocabulary(values: pd.Series) -> tuple[str, ...]:
    counts = Counter(word for text in values.dropna() for word in words(text))
    return tuple(sorted(word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:VOCABULARY]))


def _quantile_edges(
    numbers: npt.NDArray[np.float64], bounds: tuple[float, float] | None
) -> tuple[float, tuple[float, ...], float]:
    ordered = np.sort(numbers[np.isfinite(numbers)])
    if bounds is not None:
        ordered = ordered[(ordered >= bounds[0]) & (ordered <= bounds[1])]
    n = len(ordered)
    if n == 0:
        low, high = bounds or (0.0, 0.0)
        return float(low), (float(high),) if bounds else (), 0.0
    ranks = np.ceil(np.arange(1, QUANTILE_BINS + 1) * n / QUANTILE_BINS).astype(np.int64) - 1
    edges = np.unique(ordered[ranks])  # observed values, so that heavy ties share one bin and edges are exact
    distinct = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(edges) < QUANTILE_BINS else edges
    if len(distinct) <= QUANTILE_BINS:
        edges = distinct
    low, high = (float(ordered[0]), float(edges[-1])) if bounds is None else bounds
    edges = np.append(edges[edges < high], high)
    return float(low), tuple(float(edge) for edge in edges), float(ordered[n // 2])
