from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.data.bins import make_bins
from ml.data.profiles import Profile, profile_frame
from ml.data.tables import normalize
from ml.errors import InvalidInput
from ml.monitors.quality import conformal_rank, quality
from ml.results import Measurement, Status, Window
from ml.spec import parse_spec

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7))
SPEC = parse_spec("""
name: loans
task: binary
features:
  income: {type: numeric}
  share: {type: numeric, range: [0, 1]}
  region: {type: categorical}
  owner: {type: boolean}
  since: {type: datetime}
  note: {type: text}
""")


def sample(n: int = 1000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    times = pd.Timestamp(START) + pd.to_timedelta(np.linspace(0, 6.9, n), unit="D")
    return pd.DataFrame(
        {
            "prediction_id": [f"p{k}" for k in range(n)],
            "timestamp": times.as_unit("us"),
            "income": rng.normal(50, 5, n),
            "share": rng.random(n),
            "region": rng.choice(["north", "south", "east"], n).astype(object),
            "owner": pd.array(rng.random(n) < 0.5, dtype="boolean"),
            "since": times - pd.to_timedelta(rng.integers(1, 1000, n), unit="D"),
            "note": rng.choice(["pays late", "pays in time"], n).astype(object),
            "prediction": rng.choice(["0", "1"], n).astype(object),
            "score": rng.random(n),
        }
    )


def checked(
    current: pd.DataFrame, history: tuple[Profile, ...] = (), as_of: datetime | None = None
) -> list[Measurement]:
    reference = sample(3000, seed=9)
    bins = make_bins(SPEC, reference)
    return quality(
        SPEC, profile_frame(reference, bins), profile_frame(current, bins), window=WEEK, history=history, as_of=as_of
    )


def breaches(found: list[Measurement]) -> set[tuple[str, str | None]]:
    return {(m.monitor, m.feature) for m in found if m.status is Status.BREACH}


def one(found: list[Measurement], monitor: str, feature: str | None = None) -> Measurement:
    return next(m for m in found if m.monitor == monitor and m.feature == feature)


def test_a_healthy_window_is_healthy() -> None:
    found = checked(sample())
    assert breaches(found) == set()
    assert all(m.status is Status.OK for m in found)
    assert {m.monitor for m in found if m.feature is None} == {
        "quality.volume",
        "quality.freshness",
        "quality.duplicates",
    }


def test_each_break_is_named_and_no_other() -> None:
    frame = sample()
    for change, expected in (
        ({"income": frame["income"].where(frame.index % 10 > 0)}, ("quality.null_share", "income")),
        ({"income": frame["income"].where(frame.index > 0, np.inf)}, ("quality.infinite", "income")),
        ({"income": frame["income"] * np.where(frame.index % 20, 1, 100)}, ("quality.out_of_range", "income")),
        ({"share": frame["share"].where(frame.index % 20 > 0, 1.5)}, ("quality.out_of_range", "share")),
        ({"region": frame["region"].where(frame.index % 20 > 0, "NORTH")}, ("quality.new_category", "region")),
        ({"income": 50.0}, ("quality.constant", "income")),
        ({"region": "north"}, ("quality.constant", "region")),
        ({"owner": pd.array([True] * 1000, dtype="boolean")}, ("quality.constant", "owner")),
        ({"prediction_id": "p1"}, ("quality.duplicates", None)),
    ):
        assert breaches(checked(frame.assign(**change))) == {expected}


def test_what_breaks_is_said_with_numbers() -> None:
    frame = sample()
    found = checked(frame.assign(region=frame["region"].where(frame.index % 20 > 0, "NORTH")))
    new = one(found, "quality.new_category", "region")
    assert new.value == pytest.approx(0.05)
    assert new.interval is not None
    assert new.interval.low < 0.05 < new.interval.high
    assert new.facts["examples"] == ["NORTH"]
    assert "5.0% of 1000 values are categories never seen ('NORTH'), 0.0% in the reference" in new.detail


def test_values_of_a_wrong_type_and_a_vanished_feature() -> None:
    raw = sample().drop(columns="share").assign(income=lambda f: f["income"].astype(object))
    raw.loc[3, "income"] = "n.a."
    found = checked(normalize(raw, SPEC, role="current"))
    assert breaches(found) == {("quality.type", "income"), ("quality.null_share", "share")}
    assert one(found, "quality.null_share", "share").value == 1.0


def test_an_empty_window_is_no_data_not_health() -> None:
    found = checked(sample().head(0))
    assert breaches(found) == {("quality.volume", None)}
    assert {m.status for m in found if m.monitor != "quality.volume"} == {Status.NO_DATA}


def test_one_row_breaches_nothing() -> None:
    assert breaches(checked(sample(1), as_of=WEEK.end)) == set()


def test_a_reference_without_values_says_what_it_cannot_check() -> None:
    reference = sample(500).assign(income=np.nan, region=None)
    bins = make_bins(SPEC, reference)
    found = quality(SPEC, profile_frame(reference, bins), profile_frame(sample(), bins), window=WEEK)
    assert one(found, "quality.out_of_range", "income").status is Status.NO_DATA
    assert "the reference has no values" in one(found, "quality.new_category", "region").detail


def test_age_and_clocks_that_run_ahead() -> None:
    late = checked(sample(), as_of=WEEK.end + timedelta(days=30))
    assert breaches(late) == {("quality.freshness", None)}
    ahead = one(checked(sample(), as_of=START), "quality.freshness")
    assert ahead.status is Status.BREACH
    assert "still to come" in ahead.detail


def test_history_decides_what_is_usual() -> None:
    bins = make_bins(SPEC, sample(3000, seed=9))

    def with_nulls(share: float, seed: int) -> pd.DataFrame:
        frame = sample(1000, seed)
        return frame.assign(income=frame["income"].where(np.random.default_rng(seed).random(1000) > share))

    usual = tuple(profile_frame(with_nulls(0.1 + 0.005 * (k % 5), k), bins) for k in range(20))
    assert ("quality.null_share", "income") in breaches(checked(with_nulls(0.11, 99)))
    assert breaches(checked(with_nulls(0.11, 99), history=usual)) == set()
    assert breaches(checked(with_nulls(0.3, 99), history=usual)) == {("quality.null_share", "income")}
    assert breaches(checked(sample(300), history=tuple(usual))) == {("quality.volume", None)}


def test_rare_categories_are_expected_by_good_and_turing() -> None:
    spec = parse_spec("name: m\ntask: regression\nfeatures:\n  c: {type: categorical}\n")
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, 801.0)
    names = np.array([f"c{k}" for k in range(800)], dtype=object)
    frames = [pd.DataFrame({"c": names[rng.choice(800, 600, p=weights / weights.sum())]}) for _ in range(2)]
    bins = make_bins(spec, frames[0])
    found = quality(spec, profile_frame(frames[0], bins), profile_frame(frames[1], bins), window=WEEK)
    new = one(found, "quality.new_category", "c")
    assert new.value is not None
    assert new.value > 0.02
    assert new.status is Status.OK


def test_ranks_and_bins() -> None:
    assert conformal_rank(1.0, [0.0] * 19) == 0.05
    a, b = sample(100), sample(100, seed=1)
    one_, other = (profile_frame(f, make_bins(SPEC, f)) for f in (a, b))
    with pytest.raises(InvalidInput, match="cannot be compared"):
        quality(SPEC, one_, other, window=WEEK)
