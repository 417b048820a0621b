"""What came before at this time of the day, the week or the year is seasonal; what did not is drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.data.bins import make_bins
from ml.data.datasets import load, sample_spec
from ml.data.profiles import Profile, profile_frame
from ml.monitors.drift import drift
from ml.monitors.season import same_season
from ml.results import Measurement, Status, Window
from ml.spec import ModelSpec, parse_spec

SPEC = parse_spec("name: shop\ntask: regression\nfeatures:\n  basket: {type: numeric}\n  other: {type: numeric}\n")
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def day(k: int, seed: int = 0, *, lift: float = 0.0) -> pd.DataFrame:
    """The rows of the k-th day: baskets are larger on Saturdays and Sundays."""
    rng = np.random.default_rng([seed, k])
    times = pd.date_range(MONDAY + timedelta(days=k), periods=144, freq="10min")
    weekend = k % 7 >= 5
    return pd.DataFrame(
        {"timestamp": times, "basket": rng.normal(50 + 15 * weekend + lift, 10, 144), "other": rng.normal(0, 1, 144)}
    )


def look(spec: ModelSpec, k: int, *, days: int = 28, lift: float = 0.0) -> dict[str, Measurement]:
    """Day k against a reference of five working days, with the profiles of days before as history."""
    reference = pd.concat([day(j, 1) for j in range(5)])
    bins = make_bins(spec, reference)
    history = [profile_frame(day(j, 2), bins) for j in range(k - days, k)]
    start = MONDAY + timedelta(days=k)
    window = Window(start, start + timedelta(days=1))
    now = profile_frame(day(k, lift=lift), bins)
    found = drift(
        spec, profile_frame(reference, bins), now, window=window, history=history[: spec.monitors.drift.history - 1]
    )
    return {m.feature: m for m in found if m.monitor == "drift.psi" and m.feature}


def test_a_saturday_is_like_the_saturdays_before():
    found = look(SPEC, 33)["basket"]

    assert found.status is Status.OK
    assert (found.facts["season"], found.facts["season_windows"]) == ("week", 3)
    assert "at this time of the week" in found.detail


def test_a_saturday_unlike_the_saturdays_before_is_drift():
    assert look(SPEC, 33, lift=8)["basket"].status is Status.BREACH


def test_a_monday_like_a_saturday_is_drift():
    assert look(SPEC, 35, lift=15)["basket"].status is Status.BREACH


def test_without_seasons_a_saturday_is_drift():
    plain = SPEC.model_copy(deep=True)
    rule = plain.monitors.drift.model_copy(update={"season": "none"})
    plain = plain.model_copy(update={"monitors": plain.monitors.model_copy(update={"drift": rule})})

    assert look(plain, 33)["basket"].status is Status.BREACH


def test_a_july_is_like_the_julys_before_in_forty_years_of_weather():
    spec = sample_spec("rainfall")
    rows = load("rainfall").assign(prediction=0, score=0.5)
    year = rows["timestamp"].dt.year
    winter = rows[year.between(1955, 1958) & rows["timestamp"].dt.month.isin([1, 2, 12])]
    bins = make_bins(spec, winter)

    def month(which: int) -> Profile:
        return profile_frame(rows[(year == which) & (rows["timestamp"].dt.month == 7)], bins)

    window = Window(datetime(1959, 7, 1, tzinfo=UTC), datetime(1959, 8, 1, tzinfo=UTC))
    reference, history = profile_frame(winter, bins), [month(1956), month(1957), month(1958)]
    with_past = drift(spec, reference, month(1959), window=window, history=history)
    without = drift(spec, reference, month(1959), window=window)

    before, after = (sum(m.status is Status.BREACH for m in found) for found in (without, with_past))
    assert before >= 3
    assert after == 0
    assert any(m.facts.get("season") == "year" for m in with_past)


@pytest.mark.parametrize(
    ("period", "moment", "same"),
    [
        ("day", "2026-02-02 07:30", True),
        ("day", "2026-02-02 11:30", False),
        ("week", "2026-02-03 07:30", True),
        ("week", "2026-02-04 07:30", False),
        ("year", "2025-02-20 07:00", True),
        ("year", "2025-06-01 07:00", False),
        ("day", "2026-02-10 07:30", False),
        ("year", "2026-02-01 07:00", False),
    ],
)
def test_the_same_part_of_an_earlier_period(period: str, moment: str, same: bool):
    start, end = datetime(2026, 2, 10, 7, tzinfo=UTC), datetime(2026, 2, 10, 8, tzinfo=UTC)

    assert same_season(period, pd.Series([pd.Timestamp(moment, tz="UTC")]), start, end).tolist() == [same]
