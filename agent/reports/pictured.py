"""What pictures show: the numbers that are drawn, rounded as they are written, with the words for who cannot see."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    """A piece of a report: frozen, and patient with what an older or newer program wrote."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Point(_Part):
    """One value of a metric: the window that ends `at`, its 95 % interval, and how many labelled rows it rests on."""

    at: datetime | None
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    threshold: float | None = None
    status: str = ""


class Mark(_Part):
    """A moment on the chart; `key` is the letter that stands there."""

    key: str
    kind: str
    at: datetime
    label: str


class Chart(_Part):
    """A metric over time. `looks` is how many values the records have; a long series is thinned to fewer points."""

    metric: str
    unit: str
    better: Literal["lower", "higher"]
    looks: int
    points: list[Point]
    marks: list[Mark]
    alt: str


class HeatMap(_Part):
    """Values by row and span of time; None where nothing was measured. `breached`: where a rule was crossed.

    `ends`: the end of each span. `left_out`: rows that there was no room for, all of them quieter than those shown.
    """

    kind: Literal["drift", "slices"]
    measure: str
    rows: list[str]
    ends: list[datetime]
    values: list[list[float | None]]
    breached: list[list[bool]]
    left_out: int = 0
    alt: str


class Bar(_Part):
    """One bar: a name, a value with its 95 % interval where there is one, and a word beside it."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


class Bars(_Part):
    """Bars beside each other: versions compared, a decision funnel."""

    kind: Literal["versions", "funnel"]
    measure: str
    bars: list[Bar]
    alt: str


class Importance(_Part):
    """How much each feature moves the answers, then and now, in percent; the largest now first."""

    features: list[str]
    then: list[float]
    now: list[float]
    then_label: str
    now_label: str
    left_out: int = 0
    alt: str


Drawn = Chart | HeatMap | Bars | Importance
