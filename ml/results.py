"""The shared vocabulary of every check: a window of time, and a measurement made on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from ml.errors import InvalidInput


def utc(moment: datetime) -> datetime:
    """The same moment in UTC; a time without a zone is taken to be UTC.

    >>> utc(datetime(2026, 1, 1)).isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open span of event time `[start, end)` in UTC.

    >>> day = Window(datetime(2026, 1, 1), datetime(2026, 1, 2))
    >>> day.contains(datetime(2026, 1, 2, tzinfo=UTC))
    False
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc(self.start))
        object.__setattr__(self, "end", utc(self.end))
        if self.end <= self.start:
            raise InvalidInput(
                f"A window must end after it starts, but {self.start:%Y-%m-%d %H:%M} .. "
                f"{self.end:%Y-%m-%d %H:%M} does not; swap or widen the two times."
            )

    @classmethod
    def before(cls, end: datetime, length: timedelta) -> Window:
        """The window of `length` that ends at `end`."""
        return cls(utc(end) - length, end)

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    def contains(self, moment: datetime) -> bool:
        return self.start <= utc(moment) < self.end

    def overlaps(self, other: Window) -> bool:
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}"


class Status(StrEnum):
    """What a measurement says. `no_data` is never `ok`: nothing seen is not nothing wrong."""

    OK = "ok"
    BREACH = "breach"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval at `level`."""

    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number that a monitor gives for a window.

    monitor: `family.check`, e.g. `drift.psi`, `quality.null_share`, `performance.mae`.
    feature: the column measured, or None for the whole model.
    value: None exactly when status is `no_data`.
    n: rows that the value rests on. unit: unit of the value, "" where it has none.
    threshold: the bound that the value was held against, None where there is none.
    detail: one sentence for a person. facts: further plain values (JSON-ready).
    """

    monitor: str
    window: Window
    value: float | None
    n: int
    status: Status
    feature: str | None = None
    segment: str | None = None
    interval: Interval | None = None
    unit: str = ""
    threshold: float | None = None
    detail: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.value is None) != (self.status is Status.NO_DATA):
            raise ValueError(f"{self.monitor}: a value is missing exactly when the status is no_data")

    @property
    def family(self) -> str:
        """The part of `monitor` before the dot: quality, drift, performance, estimation."""
        return self.monitor.partition(".")[0]
