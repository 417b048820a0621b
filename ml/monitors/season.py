"""Seasons: a window is as unlike the average as every Sunday, or every July, was. What came before is no drift.

A window is matched with the earlier ones of the same hour of the day, hour of the week, or time of the year.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.data.profiles import ColumnProfile, Profile, merge
from ml.results import Measurement, Status, Window
from ml.spec import ModelSpec

Period = Literal["day", "week", "year"]
LENGTH: dict[Period, timedelta] = {
    "day": timedelta(days=1), "week": timedelta(days=7), "year": timedelta(days=365.2425)
}  # fmt: skip
NEAR: dict[Period, timedelta] = {"day": timedelta(hours=1), "week": timedelta(hours=2), "year": timedelta(days=15)}
EPOCH = pd.Timestamp("1970-01-05", tz="UTC")  # a Monday
LEAST_ROWS = 50
SMALL = 0.3

Excess = Callable[[ColumnProfile, ColumnProfile], "float | None"]
"""How far one column of a profile is from another beyond chance; None where they cannot be compared."""


def periods(asked: str, window: timedelta) -> tuple[Period, ...]:
    """The seasons to match by, the longest first: the one asked for, or with `auto` those that a window of this length
    can lie in (at most a third of them).

    >>> periods("auto", timedelta(days=1)), periods("week", timedelta(days=1)), periods("none", timedelta(days=1))
    (('year', 'week'), ('week',), ())
    """
    if asked == "none":
        return ()
    longest_first: tuple[Period, ...] = ("year", "week", "day")
    return tuple(p for p in longest_first if asked == p or (asked == "auto" and 3 * window <= LENGTH[p]))


def same_season(period: Period, moments: pd.Series, start: datetime, end: datetime) -> npt.NDArray[np.bool_]:
    """Moments in the same part of an earlier period as `start` to `end`, give or take an hour, two, or 15 days."""
    length = LENGTH[period].total_seconds()
    middle = pd.Timestamp(start) + (pd.Timestamp(end) - pd.Timestamp(start)) / 2
    reach = (end - start).total_seconds() / 2 + NEAR[period].total_seconds()
    away = (pd.Timestamp(middle) - moments).dt.total_seconds().to_numpy()
    phase = np.abs((away + length / 2) % length - length / 2)
    return np.asarray((phase <= reach) & (away > length / 2), dtype=bool)


def in_season(
    spec: ModelSpec,
    found: Sequence[Measurement],
    current: Profile,
    history: Sequence[Profile],
    window: Window,
    excess: Excess,
) -> list[Measurement]:
    """The measurements, those breaches taken back that are as in the same season before.

    A column is so where it is no further from the matched windows together than the floor, or than one of them is from
    the others; so for the mean of numbers and 0.3 standard deviations.
    facts: `season`, `season_windows`, `season_excess`.
    """
    matched = {p: _matched(p, history, window) for p in periods(spec.monitors.drift.season, window.length)}
    return [_settled(spec, m, current, matched, excess) for m in found]


def _matched(period: Period, history: Sequence[Profile], window: Window) -> list[Profile]:
    dated = [p for p in history if p.rows and p.first and p.last]
    if not dated:
        return []
    middles = pd.Series([p.first + (p.last - p.first) / 2 for p in dated if p.first and p.last])
    half = (window.end - window.start) / 2
    hit = same_season(period, middles, window.start + half, window.end - half)
    return [profile for profile, same in zip(dated, hit, strict=True) if same]


def _settled(
    spec: ModelSpec, found: Measurement, current: Profile, matched: dict[Period, list[Profile]], excess: Excess
) -> Measurement:
    if found.status is not Status.BREACH or found.monitor != "drift.psi" or found.feature is None:
        return found
    name = found.feature
    for period, past in matched.items():
        if sum(profile.rows for profile in past) < LEAST_ROWS:
            continue
        before, now = merge(past).column(name), current.column(name)
        if not before.valid or not now.valid:
            continue
        away, off = excess(before, now) or 0.0, _off(before, now)
        usual, wander = [spec.monitors.drift.floor], [SMALL]
        for i, profile in enumerate(past if len(past) > 1 else []):
            rest, one = merge(past[:i] + past[i + 1 :]).column(name), profile.column(name)
            usual.append(excess(rest, one) or 0.0)
            wander.append(_off(rest, one))
        if away <= max(usual) and off <= max(wander):
            when = {"day": "at this hour", "week": "at this time of the week", "year": "at this time of the year"}
            return replace(
                found, status=Status.OK,
                detail=f"{name} is seasonal: it was like this {when[period]} before. {found.detail}",
                facts={**found.facts, "season": period, "season_windows": len(past), "season_excess": away},
            )  # fmt: skip
    return found


def _off(before: ColumnProfile, now: ColumnProfile) -> float:
    """How far the means are apart, in standard deviations: beyond the reference's range its bins see nothing."""
    if before.mean is None or now.mean is None or before.variance is None:
        return 0.0
    gap = abs(now.mean - before.mean)
    return 0.0 if gap == 0 else float(gap / max(before.variance, 1e-12) ** 0.5)
