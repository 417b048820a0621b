"""A repair: what would undo a data break, as a value that can be described, logged and replayed on rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.diagnosis.undo import reclocked, ungarbled

Mask = npt.NDArray[np.bool_]


class BreakKind(StrEnum):
    """The fingerprint of a break."""

    UNIT = "unit"
    SENTINEL = "sentinel"
    DEFAULT_FILL = "default_fill"
    CLIPPED = "clipped"
    NULLS = "nulls"
    RENAME = "rename"
    NEW_CATEGORY = "new_category"
    SWAPPED = "swapped"
    STALE = "stale"
    SCHEMA = "schema"
    EMPTY = "empty_text"
    TRUNCATED = "truncated"
    ENCODING = "encoding"
    VOCABULARY = "vocabulary"
    CLOCK = "clock"
    LAGGED = "lagged"
    OUT_OF_RANGE = "out_of_range"
    DECOUPLED = "decoupled"


@dataclass(frozen=True, slots=True)
class Repair:
    """`true = factor * observed + offset` (numbers), `mapping` (categories), the two features `swap`ped back,
    texts read in the wrong encoding (`decode`), times (`clock`: factor and offset of their seconds since 1970), numbers
    that go round (`cycle` of so many from `base` on), or a column that is `lag` rows late (rows in order of time).

    >>> frame = pd.DataFrame({"chol": [5.2, 240.0]})
    >>> repair = Repair(("chol",), factor=38.67)
    >>> repair.apply(frame, np.array([True, False]))["chol"].round(1).tolist()
    [201.1, 240.0]
    >>> repair.describe()
    'multiply chol by 38.67'
    """

    features: tuple[str, ...]
    factor: float = 1.0
    offset: float = 0.0
    mapping: Mapping[str, str] = field(default_factory=dict)
    swap: bool = False
    decode: str = ""
    clock: bool = False
    lag: int = 0
    cycle: int = 0
    base: int = 0

    def apply(self, frame: pd.DataFrame, rows: Mask) -> pd.DataFrame:
        """A copy of `frame` with the repair applied to the masked rows."""
        out = frame.copy()
        first = self.features[0]
        if self.swap:
            second = self.features[1]
            a, b = frame[first].to_numpy(copy=True), frame[second].to_numpy(copy=True)
            out[first], out[second] = np.where(rows, b, a), np.where(rows, a, b)
        elif self.decode:
            out[first] = frame[first].where(
                ~rows, frame[first].map(partial(ungarbled, encoding=self.decode), na_action="ignore")
            )
        elif self.clock:
            out[first] = reclocked(frame[first], rows, self.factor, self.offset)
        elif self.lag:
            values = frame[first].to_numpy(copy=True)
            ahead = values.copy()
            ahead[: -self.lag] = values[self.lag :]
            out[first] = np.where(rows, ahead, values)
        elif self.cycle:
            values = frame[first].to_numpy(np.float64)
            out[first] = np.where(rows, (values - self.base + self.offset) % self.cycle + self.base, values)
        elif self.mapping:
            out[first] = frame[first].where(
                ~rows, frame[first].map(lambda v: self.mapping.get(v, v), na_action="ignore")
            )
        else:
            values = frame[first].to_numpy(np.float64)
            out[first] = np.where(rows, self.factor * values + self.offset, values)
        return out

    def describe(self) -> str:
        name = self.features[0]
        if self.swap:
            return f"swap {name} and {self.features[1]} back"
        if self.decode:
            return f"read {name} as UTF-8: it was read as {self.decode}"
        if self.clock:
            if self.offset:
                return f"set {name} {abs(self.offset) / 3600:g} hours {'later' if self.offset > 0 else 'earlier'}"
            verb, number = ("multiply", self.factor) if self.factor > 1 else ("divide", 1 / self.factor)
            return f"{verb} the seconds of {name} since 1970 by {number:g}"
        if self.lag:
            return f"move {name} forward by {self.lag} rows: it is late"
        if self.cycle:
            return f"add {self.offset:g} to {name}, modulo {self.cycle}"
        if self.mapping:
            pairs = ", ".join(f"{old!r} to {new!r}" for old, new in list(self.mapping.items())[:5])
            return f"rename in {name}: {pairs}"
        if self.offset == 0:
            if self.factor >= 1:
                return f"multiply {name} by {self.factor:g}"
            if self.factor > 0:
                return f"divide {name} by {1 / self.factor:g}"
            return f"change the sign of {name}"
        sign = "+" if self.offset > 0 else "-"
        if self.factor == 1:
            verb, word = ("add", "to") if self.offset > 0 else ("subtract", "from")
            return f"{verb} {abs(self.offset):g} {word} {name}"
        return f"{name}: {self.factor:.6g} * value {sign} {abs(self.offset):.6g}"

    def parameters(self) -> dict[str, Any]:
        """Plain values for the action's parameters."""
        if self.swap:
            return {"swap": list(self.features)}
        if self.decode:
            return {"decode": self.decode}
        if self.clock:
            return {"clock": True, "factor": self.factor, "offset": self.offset}
        if self.lag:
            return {"lag": self.lag}
        if self.cycle:
            return {"offset": self.offset, "modulo": self.cycle}
        if self.mapping:
            return {"mapping": dict(self.mapping)}
        return {"factor": self.factor, **({"offset": self.offset} if self.offset else {})}


@dataclass(frozen=True, slots=True)
class Break:
    """One suspected break: which rows, since when, where, and what would undo it.

    rows: mask over the current frame. share: affected share of the rows since the onset (within the segment).
    certain: the fingerprint leaves no other reading. plain: most values lie outside everything seen before, by a factor
    no world changes by; labels cannot speak against it. repair: None where values are lost.
    """

    kind: BreakKind
    features: tuple[str, ...]
    rows: Mask
    share: float
    onset: pd.Timestamp | None
    segment: tuple[str, str] | None
    repair: Repair | None
    certain: bool
    statement: str
    strength: float
    start: int = 0
    plain: bool = False

    @property
    def lost(self) -> bool:
        return self.repair is None

    @property
    def remedy(self) -> str:
        name = " and ".join(self.features)
        if self.repair is not None:
            return self.repair.describe()
        return {
            BreakKind.STALE: f"refresh {name}: it repeats old values",
            BreakKind.SCHEMA: f"send {name} again",
            BreakKind.NEW_CATEGORY: f"say what the new values of {name} mean",
        }.get(self.kind, f"restore the values of {name}")
