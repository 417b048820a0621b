"""Profiles: all that the label-free monitors need of a window, in a few kilobytes that add up.

A profile holds counts in the slots of a bin set (`bins.py`), a few sums, extremes, and a joint table of answers and
labels. The profile of a window is the sum of its hours' profiles, exactly for every count, whoever made them: from
rows in memory here, inside the engine that holds them in `profile_table.py`.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.data.bins import INFINITE, INVALID, NULL, OTHER, UNDER, BinSet, ColumnBins, as_levels, as_numbers, words
from ml.errors import InvalidInput
from ml.metrics import as_class
from ml.spec import FeatureType, Task

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
BLOCK = 32_768  # rows: a block of float64 stays in the second-level cache
MAX_UNSEEN = 1_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JOINT_COLUMNS = ("n", "answer", "label", "loss", "loss_squared")


@dataclass(frozen=True, eq=False)
class Profile:
    """What a span of rows looks like in the slots of `bins`.

    counts: one per slot of each column.
    sums: per column, deviations from the bins' centre and their squares (finite values only).
    extremes: per column, least and greatest finite value; inf, -inf where there is none.
    joint: per joint bin, rows with a label, and the sums of answer (score, or prediction), label (1 = positive or
        right; the value for regression), loss (Brier, 0/1 or absolute error) and its square.
    duplicates: ids that stood more than once. first, last: times of the rows.
    unseen: counts of levels that have no slot, by column, the `MAX_UNSEEN` with the smallest hash.
    """

    bins: BinSet
    rows: int
    counts: Counts
    sums: Floats
    extremes: Floats
    joint: Floats
    duplicates: int = 0
    first: datetime | None = None
    last: datetime | None = None
    unseen: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @classmethod
    def empty(cls, bins: BinSet) -> Profile:
        """The profile of no rows: what merging starts from."""
        extremes = np.tile([np.inf, -np.inf], (len(bins.columns), 1))
        joint = np.zeros((len(bins.joint_edges) + 1, len(JOINT_COLUMNS)))
        return cls(bins, 0, np.zeros(bins.offsets[-1], np.int64), np.zeros((len(bins.columns), 2)), extremes, joint)

    @property
    def labelled(self) -> int:
        """Rows with an answer and a label."""
        return int(self.joint[:, 0].sum())

    def column(self, name: str) -> ColumnProfile:
        """The part of one column. Raises: InvalidInput where the bin set has no such column."""
        at = self.bins.index.get(name)
        if at is None:
            raise InvalidInput(f"{name!r} is not in the profile; it has {', '.join(self.bins.index)}.")
        slots = self.counts[self.bins.offsets[at] : self.bins.offsets[at + 1]]
        return ColumnProfile(
            self.bins.columns[at], self.rows, slots, self.sums[at], self.extremes[at], self.unseen.get(name, {})
        )

    def to_dict(self, *, with_bins: bool = True) -> dict[str, Any]:
        """Plain JSON values; the bin set itself, or only its id."""
        data: dict[str, Any] = {
            "bin_set": self.bins.id,
            "rows": self.rows,
            "counts": self.counts.tolist(),
            "sums": np.nan_to_num(self.sums).tolist(),  # absurd values overflow, and JSON knows no infinity
            "extremes": [[None if math.isinf(v) else v for v in pair] for pair in self.extremes.tolist()],
            "joint": np.nan_to_num(self.joint).tolist(),
            "duplicates": self.duplicates,
            "first": self.first.isoformat() if self.first else None,
            "last": self.last.isoformat() if self.last else None,
            "unseen": {column: dict(levels) for column, levels in self.unseen.items()},
        }
        return data | ({"bins": self.bins.to_dict()} if with_bins else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], bins: BinSet | None = None) -> Profile:
        """Back from `to_dict`. Raises: InvalidInput where `bins` are not those that it was counted in."""
        bins = bins if bins is not None else BinSet.from_dict(data["bins"])
        if bins.id != data["bin_set"]:
            raise InvalidInput(f"The profile was counted in bin set {data['bin_set']}, not {bins.id}; profile anew.")
        extremes = [
            [np.inf if low is None else low, -np.inf if high is None else high] for low, high in data["extremes"]
        ]
        return cls(
            bins=bins,
            rows=data["rows"],
            counts=np.array(data["counts"], np.int64),
            sums=np.array(data["sums"], np.float64).reshape(-1, 2),
            extremes=np.array(extremes, np.float64).reshape(-1, 2),
            joint=np.array(data["joint"], np.float64).reshape(-1, len(JOINT_COLUMNS)),
            duplicates=data["duplicates"],
            first=datetime.fromisoformat(data["first"]) if data["first"] else None,
            last=datetime.fromisoformat(data["last"]) if data["last"] else None,
            unseen=data["unseen"],
        )


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """One column of a profile. `rows` = missing + invalid + infinite + valid."""

    bins: ColumnBins
    rows: int
    slots: Counts
    sums: Floats
    extremes: Floats
    unseen: Mapping[str, int]

    @property
    def null(self) -> int:
        return int(self.slots[NULL])

    @property
    def invalid(self) -> int:
        return int(self.slots[INVALID])

    @property
    def infinite(self) -> int:
        return 0 if self.bins.is_categorical else int(self.slots[INFINITE])

    @property
    def valid(self) -> int:
        """Values that are neither missing, nor of a wrong type, nor infinite."""
        return self.rows - self.null - self.invalid - self.infinite

    @property
    def under(self) -> int:
        return 0 if self.bins.is_categorical else int(self.slots[UNDER])

    @property
    def over(self) -> int:
        return 0 if self.bins.is_categorical else int(self.slots[UNDER + len(self.bins.edges) + 1])

    @property
    def other(self) -> int:
        """Values of levels that have no slot."""
        return int(self.slots[OTHER]) if self.bins.is_categorical else 0

    @property
    def inner(self) -> Counts:
        """Counts in the bins of a numeric column, or of the levels of a categorical one."""
        return self.slots[3:] if self.bins.is_categorical else self.slots[UNDER + 1 : UNDER + 1 + len(self.bins.edges)]

    @property
    def levels(self) -> dict[str, int]:
        """Counts of the levels that occur, with those that have no slot as far as they are kept."""
        counted = {level: int(n) for level, n in zip(self.bins.levels, self.inner, strict=False) if n}
        return counted | dict(self.unseen)

    @property
    def tokens(self) -> tuple[int, int]:
        """Words of a text column, and how many of them the reference's vocabulary lacks."""
        return (int(self.slots[-2]), int(self.slots[-1])) if self.bins.type is FeatureType.TEXT else (0, 0)

    @property
    def minimum(self) -> float | None:
        return None if math.isinf(self.extremes[0]) else float(self.extremes[0])

    @property
    def maximum(self) -> float | None:
        return None if math.isinf(self.extremes[1]) else float(self.extremes[1])

    @property
    def mean(self) -> float | None:
        return (
            None if self.bins.is_categorical or not self.valid else float(self.bins.centre + self.sums[0] / self.valid)
        )

    @property
    def variance(self) -> float | None:
        """Of the values at hand (divided by their number)."""
        if self.bins.is_categorical or not self.valid:
            return None
        return max(float(self.sums[1] / self.valid - (self.sums[0] / self.valid) ** 2), 0.0)


def merge(profiles: Iterable[Profile]) -> Profile:
    """The profile of all rows of several profiles. Raises: InvalidInput for none, or for different bin sets."""
    parts = list(profiles)
    if not parts:
        raise InvalidInput("There is no profile to merge; profile at least one span.")
    bins = parts[0].bins
    if wrong := next((p for p in parts if p.bins is not bins and p.bins.id != bins.id), None):
        raise InvalidInput(f"Profiles of bin sets {bins.id} and {wrong.bins.id} cannot be added; profile anew in one.")
    if len(parts) == 1:
        return parts[0]
    least = np.array([p.extremes[:, 0] for p in parts]).min(axis=0)
    most = np.array([p.extremes[:, 1] for p in parts]).max(axis=0)
    unseen: dict[str, dict[str, int]] = {}
    for part in parts:
        for column, levels in part.unseen.items():
            mine = unseen.setdefault(column, {})
            for level, count in levels.items():
                mine[level] = mine.get(level, 0) + count
    return Profile(
        bins=bins,
        rows=sum(p.rows for p in parts),
        counts=np.sum([p.counts for p in parts], axis=0, dtype=np.int64),
        sums=np.sum([p.sums for p in parts], axis=0),
        extremes=np.column_stack([least, most]),
        joint=np.sum([p.joint for p in parts], axis=0),
        duplicates=sum(p.duplicates for p in parts),
        first=min((p.first for p in parts if p.first), default=None),
        last=max((p.last for p in parts if p.last), default=None),
        unseen={column: few(levels) for column, levels in unseen.items()},
    )


def few(levels: Mapping[str, int]) -> dict[str, int]:
    """At most `MAX_UNSEEN` levels, those of the smallest hash: the same taken from the parts or from the whole."""
    if len(levels) <= MAX_UNSEEN:
        return dict(levels)
    return {level: levels[level] for level in heapq.nsmallest(MAX_UNSEEN, levels, key=digest)}


def digest(text: str) -> str:
    """A hash that every engine has: what orders a sample in the same way everywhere."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def profile_frame(frame: pd.DataFrame, bins: BinSet) -> Profile:
    """The profile of a log frame in memory. A column that is absent counts as all missing.

    Values of the wrong type, which `tables.normalize` found, are counted as invalid and not as missing.
    """
    n = len(frame)
    profile = Profile.empty(bins)
    unseen: dict[str, dict[str, int]] = {}
    broken: Mapping[str, Any] = frame.attrs.get("invalid", {})
    for at, column in enumerate(bins.columns):
        slots = profile.counts[bins.offsets[at] : bins.offsets[at + 1]]
        if column.name not in frame:
            slots[NULL] = n
        elif column.is_categorical:
            unseen[column.name] = _count_levels(frame[column.name], column, slots)
        else:
            numbers = as_numbers(frame[column.name], column.type, frame)
            count_numbers(numbers, column, slots, profile.sums[at], profile.extremes[at])
            if column.type is FeatureType.TEXT:
                count_words(frame[column.name], column, slots)
        wrong = min(int(broken.get(column.name, [0])[0]), int(slots[NULL]))
        slots[INVALID] += wrong
        slots[NULL] -= wrong
    _count_joint(frame, bins, profile.joint)
    timed = "timestamp" in frame and n
    ids = frame.get("prediction_id")
    return Profile(
        bins=bins,
        rows=n,
        counts=profile.counts,
        sums=profile.sums,
        extremes=profile.extremes,
        joint=profile.joint,
        duplicates=0 if ids is None else n - int(ids.nunique(dropna=False)),
        first=frame["timestamp"].min().to_pydatetime() if timed else None,
        last=frame["timestamp"].max().to_pydatetime() if timed else None,
        unseen={column: levels for column, levels in unseen.items() if levels},
    )


def profile_hours(
    frame: pd.DataFrame, bins: BinSet, *, every: timedelta = timedelta(hours=1)
) -> dict[datetime, Profile]:
    """Profiles by the hour (or `every`) in which rows fall, counted from 1970; hours without rows are absent."""
    step = int(every.total_seconds() * 1e6)
    keys = frame["timestamp"].astype("datetime64[us, UTC]").astype(np.int64).to_numpy() // step
    whole = frame.copy(deep=False)
    whole.attrs = {}  # the count of invalid values belongs to the whole
    return {
        EPOCH + timedelta(microseconds=int(cast("int", key)) * step): profile_frame(part, bins)
        for key, part in whole.groupby(keys, sort=True)
    }


def count_numbers(values: Floats, column: ColumnBins, slots: Counts, sums: Floats, extremes: Floats) -> None:
    """Compare and count, block by block: a block is read from memory once and compared with every edge in cache."""
    edges = column.edges
    at_most = [0] * len(edges)
    below = finite = 0
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK]
        with np.errstate(invalid="ignore", over="ignore"):
            total = float(block.sum())
        if not math.isfinite(total):  # the cheapest way to see that something is missing or infinite
            missing = np.isnan(block)
            slots[NULL] += np.count_nonzero(missing)
            slots[INFINITE] += np.count_nonzero(np.isinf(block))
            block = block[np.isfinite(block)]
            if not len(block):
                continue
        finite += len(block)
        below += int(np.count_nonzero(block < column.low))
        for j, edge in enumerate(edges):
            at_most[j] += int(np.count_nonzero(block <= edge))
        with np.errstate(over="ignore"):
            centred = block - column.centre
            sums[0] += centred.sum()
            sums[1] += np.multiply(centred, centred, out=centred).sum()  # no BLAS: its threads wait for one another
        extremes[0] = min(extremes[0], block.min())
        extremes[1] = max(extremes[1], block.max())
    slots[UNDER] += below
    upto = [below, *at_most, finite]
    slots[UNDER + 1 : UNDER + 2 + len(edges)] += np.diff(upto)


def count_words(values: pd.Series, column: ColumnBins, slots: Counts) -> None:
    """Words, and words that the reference's vocabulary lacks, into the last two slots."""
    known = column.known_words
    for text in values.dropna():
        found = words(text)
        slots[-2] += len(found)
        slots[-1] += sum(word not in known for word in found)


def _count_levels(values: pd.Series, column: ColumnBins, slots: Counts) -> dict[str, int]:
    codes, names = as_levels(values)
    counts = np.bincount(codes + 1, minlength=len(names) + 1)
    slots[NULL] += counts[0]
    return add_levels(column, slots, zip(names, counts[1:].tolist(), strict=True))


def add_levels(column: ColumnBins, slots: Counts, counted: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Counts of levels into their slots; gives back those that have none."""
    unseen: dict[str, int] = {}
    position = column.position
    for level, count in counted:
        if count:
            at = position.get(level, OTHER)
            slots[at] += count
            if at == OTHER:
                unseen[level] = unseen.get(level, 0) + count
    return few(unseen)


def _count_joint(frame: pd.DataFrame, bins: BinSet, joint: Floats) -> None:
    if "label" not in frame or "prediction" not in frame or not frame["label"].notna().any():
        return
    rows = frame[frame["label"].notna() & frame["prediction"].notna()]
    if bins.task is Task.REGRESSION:
        answer, label = rows["prediction"].to_numpy(np.float64), rows["label"].to_numpy(np.float64)
        finite = np.isfinite(answer) & np.isfinite(label)
        answer, label = answer[finite], label[finite]
        loss = np.abs(label - answer)
    else:
        given, said = as_class(rows["label"]), as_class(rows["prediction"])
        score = rows["score"].to_numpy(np.float64) if "score" in rows else np.full(len(rows), np.nan)
        if bins.task is Task.BINARY:
            label = (given == bins.positive).astype(np.float64)
            answer = np.where(np.isfinite(score), score, said == bins.positive)
            loss = (label - answer) ** 2
        else:
            label = (given == said).astype(np.float64)
            answer = np.where(np.isfinite(score), score, 1.0)
            loss = 1.0 - label
    where = np.searchsorted(np.array(bins.joint_edges), answer, side="left")
    for j, weights in enumerate((None, answer, label, loss, loss**2)):
        joint[:, j] += np.bincount(where, weights=weights, minlength=len(joint))
