from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.data.bins import make_bins
from ml.data.profiles import Profile, profile_frame
from ml.errors import InvalidInput
from ml.monitors.drift import (
    benjamini_hochberg,
    compare,
    drift,
    drift_of_frames,
    population_stability_index,
    psi_threshold,
)
from ml.results import Measurement, Status, Window
from ml.spec import ModelSpec, parse_spec

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7))
SPEC = parse_spec("""
name: loans
task: binary
features:
  income: {type: numeric}
  region: {type: categorical}
  weather: {type: numeric, used: false}
  note: {type: text}
""")


def sample(rng: np.random.Generator, n: int, *, shift: float = 0.0, north: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "prediction_id": [f"p{k}" for k in range(n)],
            "timestamp": pd.Timestamp(START) + pd.to_timedelta(np.arange(n), unit="s"),
            "income": rng.lognormal(size=n),
            "region": rng.choice(["north", "south"], n, p=[north, 1 - north]).astype(object),
            "weather": rng.normal(size=n) + shift,
            "note": rng.choice(["pays late", "pays in time", "moved house"], n).astype(object),
            "prediction": rng.choice(["0", "1"], n).astype(object),
            "score": rng.random(n),
        }
    )


def by_name(measurements: list[Measurement]) -> dict[str | None, Measurement]:
    return {m.feature: m for m in measurements if m.monitor == "drift.psi"}


def test_a_shift_is_seen_where_it_is_and_nowhere_else() -> None:
    rng = np.random.default_rng(1)
    found = by_name(drift_of_frames(SPEC, sample(rng, 4000), sample(rng, 3000, shift=0.5, north=0.65), WEEK))
    assert {name for name, m in found.items() if m.status is Status.BREACH} == {"weather", "region"}
    assert found["weather"].facts["used"] is False
    assert "not fed" in found["weather"].detail
    assert found["weather"].value == pytest.approx(0.25, abs=0.06)  # the PSI of a half standard deviation
    assert set(found) == {*SPEC.features, "prediction", "score"}


def test_a_shift_below_the_floor_is_not_worth_a_note() -> None:
    rng = np.random.default_rng(2)
    found = by_name(drift_of_frames(SPEC, sample(rng, 40_000), sample(rng, 40_000, shift=0.1), WEEK))
    assert found["weather"].facts["p_adjusted"] < 0.001
    assert found["weather"].status is Status.OK


def test_no_data_is_said_and_spoils_nothing() -> None:
    rng = np.random.default_rng(3)
    reference, current = sample(rng, 500), sample(rng, 500)
    found = by_name(drift_of_frames(SPEC, reference.assign(income=np.nan), current.drop(columns="region"), WEEK))
    assert found["income"].status is Status.NO_DATA
    assert "the reference has no values" in found["income"].detail
    assert found["region"].status is Status.NO_DATA
    assert found["weather"].status is Status.OK
    empty = drift_of_frames(SPEC, reference, current.head(0), WEEK)
    assert {m.status for m in empty} == {Status.NO_DATA}
    constant = by_name(drift_of_frames(SPEC, reference.assign(income=1.0), current.assign(income=1.0), WEEK))
    assert "one value only" in constant["income"].detail


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_handful_of_rows_never_breaches(n: int) -> None:
    rng = np.random.default_rng(4)
    found = drift_of_frames(SPEC, sample(rng, 2000), sample(rng, n, shift=9.0), WEEK)
    assert all(m.status is not Status.BREACH for m in found if m.feature != "weather")


def test_infinities_and_missing_values_are_a_bin_of_their_own() -> None:
    rng = np.random.default_rng(5)
    current = sample(rng, 2000)
    current.loc[:400, "income"] = np.inf
    current.loc[current.index % 4 == 0, "weather"] = np.nan
    found = by_name(drift_of_frames(SPEC, sample(rng, 2000), current, WEEK))
    assert found["income"].status is Status.BREACH
    assert found["weather"].status is Status.BREACH


def test_new_words_are_drift_of_the_text() -> None:
    rng = np.random.default_rng(6)
    current = sample(rng, 1000)
    current.loc[current.index % 2 == 0, "note"] = "zahlt spät"
    words = [m for m in drift_of_frames(SPEC, sample(rng, 1000), current, WEEK) if m.monitor == "drift.vocabulary"]
    assert [m.status for m in words] == [Status.BREACH]
    assert words[0].value == pytest.approx(0.44, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "levels"), [("numeric", 0), ("categorical", 2), ("categorical", 100), ("categorical", 1000)]
)
@pytest.mark.parametrize(("n", "m"), [(200, 200), (2000, 300), (300, 2000)])
def test_false_alarms_are_those_that_were_asked_for(kind: str, levels: int, n: int, m: int) -> None:
    """300 healthy pairs at alpha 5 %: 15 alarms expected, more than 30 or fewer than 3 have odds below 1 in 3,000."""
    rng = np.random.default_rng(n + m + levels)
    spec = parse_spec(f"name: m\ntask: regression\nfeatures:\n  x: {{type: {kind}}}\n")
    weights = 1 / np.arange(1, levels + 1) ** 0.7 if levels else np.array([])
    names = np.array([f"l{k}" for k in range(levels)], dtype=object)

    def draw(rows: int) -> pd.DataFrame:
        x = names[rng.choice(levels, rows, p=weights / weights.sum())] if levels else rng.lognormal(size=rows)
        return pd.DataFrame({"x": x})

    alarms = tested = 0
    for _ in range(300):
        reference, current = draw(n), draw(m)
        bins = make_bins(spec, reference)
        result = compare(profile_frame(reference, bins).column("x"), profile_frame(current, bins).column("x"))
        if not isinstance(result, str):
            tested += 1
            alarms += result.p_value <= 0.05
    assert tested > 290
    assert 3 <= alarms <= 30


def jittered(spec: ModelSpec, bins_of: pd.DataFrame, seed: int, columns: int) -> Iterator[Profile]:
    """Healthy windows whose means wander: what sampling alone does not explain."""
    rng = np.random.default_rng(seed)
    bins = make_bins(spec, bins_of)
    while True:
        data = {f"x{j}": rng.normal(rng.normal(0, 0.25), 1, 500) for j in range(columns)}
        yield profile_frame(pd.DataFrame(data), bins)


def test_healthy_windows_that_wander_are_ranked_not_tested() -> None:
    columns = 8
    spec = parse_spec(
        "name: m\ntask: regression\nfeatures:\n" + "".join(f"  x{j}: {{type: numeric}}\n" for j in range(columns))
    )
    rng = np.random.default_rng(0)
    reference = pd.DataFrame({f"x{j}": rng.normal(size=2000) for j in range(columns)})
    windows = jittered(spec, reference, 1, columns)
    mine = profile_frame(reference, make_bins(spec, reference))
    cold = ranked = 0
    history: list[Profile] = []
    for _ in range(60):
        history = [next(windows) for _ in range(20)]
        current = next(windows)
        cold += any(m.status is Status.BREACH for m in drift(spec, mine, current, window=WEEK))
        ranked += any(m.status is Status.BREACH for m in drift(spec, mine, current, window=WEEK, history=history))
    assert cold > 45, "independent-row tests call almost every wandering window drift"
    assert ranked <= 8, "of 60 healthy runs with eight columns each, 3 are expected to alarm"
    bins = mine.bins
    moved = {f"x{j}": rng.normal(2.0 if j == 3 else 0, 1, 500) for j in range(columns)}
    found = by_name(drift(spec, mine, profile_frame(pd.DataFrame(moved), bins), window=WEEK, history=history))
    assert [name for name, m in found.items() if m.status is Status.BREACH] == ["x3"]
    assert "20 healthy windows" in found["x3"].detail


def test_profiles_of_other_bins_are_refused() -> None:
    rng = np.random.default_rng(7)
    a, b = sample(rng, 300), sample(rng, 300)
    one, other = (profile_frame(f, make_bins(SPEC, f)) for f in (a, b))
    with pytest.raises(InvalidInput, match="cannot be compared"):
        drift(SPEC, one, other, window=WEEK)


def test_helpers_agree_with_their_definitions() -> None:
    assert population_stability_index([10, 90], [10, 90]) == 0
    p, q = np.array([0.1, 0.9]), np.array([0.2, 0.8])
    exact = float(((q - p) * np.log(q / p)).sum())
    assert population_stability_index(p * 1e6, q * 1e6) == pytest.approx(exact, abs=1e-4)
    assert psi_threshold(10, 10**9, 10**9, floor=0.05) == 0.05
    assert benjamini_hochberg([0.5, 0.01, 0.02]).tolist() == pytest.approx([0.5, 0.03, 0.03])
