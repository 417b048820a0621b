from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.data.bins import BinSet, make_bins
from ml.data.prediction_log import PredictionLog
from ml.data.profile_table import profile_log
from ml.data.profiles import MAX_UNSEEN, Profile, few, merge, profile_frame, profile_hours
from ml.data.tables import normalize
from ml.errors import DataError, InvalidInput
from ml.results import Window
from ml.spec import ModelSpec, parse_spec

FEATURES = """
features:
  income: {type: numeric}
  share: {type: numeric, range: [0, 1]}
  region: {type: categorical}
  owner: {type: boolean}
  since: {type: datetime}
  note: {type: text}
"""
SPECS = {task: parse_spec(f"name: loans\ntask: {task}\n{FEATURES}") for task in ("binary", "multiclass", "regression")}
START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, np.inf, -np.inf, 1e300, -7.25]), st.floats(-10, 10))
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2025, 1, 1))
ROW = st.fixed_dictionaries(
    {
        "minute": st.integers(0, 300),
        "income": NUMBERS,
        "share": NUMBERS,
        "region": st.sampled_from(["north", "south", "Süd-West", "new'one", "", None]),
        "owner": st.sampled_from([True, False, None]),
        "since": st.one_of(st.none(), MOMENTS),
        "note": st.sampled_from(["late again", "ÜBER late, 3 times", "", None, "一 二"]),
        "prediction": st.sampled_from(["0", "1", "2"]),
        "score": st.one_of(st.none(), st.sampled_from([0.0, 0.05, 0.5, 1.0]), st.floats(0, 1)),
        "label": st.sampled_from(["0", "1", "2", None]),
    }
)


def log_frame(rows: list[dict[str, Any]], spec: ModelSpec) -> pd.DataFrame:
    raw = pd.DataFrame({key: pd.Series([row[key] for row in rows], dtype=object) for key in rows[0]})
    raw["prediction_id"] = [f"p{k}" for k in range(len(raw))]
    raw["timestamp"] = pd.Timestamp(START) + pd.to_timedelta(raw.pop("minute").astype(int), unit="min")
    return normalize(raw, spec)


def assert_equal(a: Profile, b: Profile) -> None:
    assert a.bins.id == b.bins.id
    assert a.counts.tolist() == b.counts.tolist()
    assert (a.rows, a.first, a.last, a.duplicates) == (b.rows, b.first, b.last, b.duplicates)
    assert {c: dict(v) for c, v in a.unseen.items()} == {c: dict(v) for c, v in b.unseen.items()}
    assert a.extremes.tolist() == b.extremes.tolist()
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(a.joint, b.joint, rtol=1e-9, atol=1e-9)


@given(st.lists(ROW, min_size=1, max_size=25), st.sampled_from(sorted(SPECS)), st.integers(1, 25))
@settings(max_examples=25, deadline=None)
def test_parts_add_up_to_the_whole(rows: list[dict[str, Any]], task: str, reference: int) -> None:
    frame = log_frame(rows, SPECS[task])
    bins = make_bins(SPECS[task], frame.head(reference))
    whole = profile_frame(frame, bins)
    assert_equal(merge(profile_hours(frame, bins).values()), whole)
    assert_equal(merge([Profile.empty(bins), whole]), whole)
    for column in bins.columns:
        seen = whole.column(column.name)
        assert seen.slots[: 5 + len(column.edges) if not column.is_categorical else None].sum() == len(frame)
        assert seen.null + seen.invalid + seen.infinite + seen.valid == len(frame)


@given(rows=st.lists(ROW, min_size=1, max_size=25), task=st.sampled_from(sorted(SPECS)))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_engine_counts_what_memory_counts(
    rows: list[dict[str, Any]], task: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec = SPECS[task]
    frame = log_frame(rows, spec)
    bins = make_bins(spec, frame.head(7))
    log = PredictionLog(tmp_path_factory.mktemp("log"))
    log.append_predictions(spec, frame, batch_id="a")
    stored = log.read(spec, None)
    here, there = profile_hours(stored, bins), profile_log(log, spec, None, bins)
    assert list(here) == list(there)
    for hour in here:
        assert_equal(here[hour], there[hour])


def test_json_and_back() -> None:
    spec = SPECS["binary"]
    rows = [
        {"minute": k, "income": None, "share": 2.0, "region": f"r{k}", "owner": None, "since": None} for k in range(9)
    ]
    frame = log_frame([row | {"note": "x", "prediction": 1, "score": None, "label": 1} for row in rows], spec)
    profile = profile_frame(frame, make_bins(spec, frame.head(3)))
    assert_equal(Profile.from_dict(json.loads(json.dumps(profile.to_dict(), allow_nan=False))), profile)
    alone = json.loads(json.dumps(profile.to_dict(with_bins=False), allow_nan=False))
    assert_equal(Profile.from_dict(alone, profile.bins), profile)
    with pytest.raises(InvalidInput, match="was counted in bin set"):
        Profile.from_dict(alone, make_bins(spec, frame.head(2)))


def plain(spec: ModelSpec, **columns: object) -> pd.DataFrame:
    n = max(len(c) for c in columns.values() if isinstance(c, (list, np.ndarray)))
    return pd.DataFrame({"timestamp": pd.Timestamp(START) + pd.to_timedelta(np.arange(n), unit="s"), **columns})


def test_bins_hold_equal_shares_and_ties_stay_together() -> None:
    spec = parse_spec("name: m\ntask: regression\nfeatures:\n  x: {type: numeric}\n  hour: {type: numeric}\n")
    frame = plain(spec, x=np.arange(3200.0), hour=np.arange(3200) % 24.0, prediction=np.zeros(3200))
    bins = make_bins(spec, frame)
    profile = profile_frame(frame, bins)
    assert profile.column("x").inner.tolist() == [100] * 32
    assert bins.columns[1].edges == tuple(range(24))
    assert profile.column("x").mean == pytest.approx(1599.5)
    assert profile.column("x").variance == pytest.approx(np.arange(3200.0).var())
    beyond = profile_frame(plain(spec, x=[-1.0, 5.0, 9999.0], hour=[1.0] * 3), bins).column("x")
    assert (beyond.under, beyond.over, beyond.valid) == (1, 1, 3)


def test_precision_survives_large_offsets() -> None:
    spec = parse_spec("name: m\ntask: regression\nfeatures:\n  x: {type: numeric}\n")
    x = 1e9 + np.random.default_rng(0).normal(size=10_000)
    frame = plain(spec, x=x)
    assert profile_frame(frame, make_bins(spec, frame)).column("x").variance == pytest.approx(x.var(), rel=1e-6)


def test_ten_thousand_categories_keep_the_heavy_and_sample_the_rest() -> None:
    spec = parse_spec("name: m\ntask: regression\nfeatures:\n  c: {type: categorical}\n")
    names = [f"c{k}" for k in range(10_000)] + ["heavy"] * 1_000
    bins = make_bins(spec, plain(spec, c=names))
    assert bins.columns[0].levels == ("heavy",)
    assert not bins.columns[0].complete
    halves = [profile_frame(plain(spec, c=names[i::2]), bins) for i in (0, 1)]
    whole = profile_frame(plain(spec, c=names), bins)
    assert len(whole.unseen["c"]) == MAX_UNSEEN
    assert merge(halves).unseen == whole.unseen
    assert few({"a": 1}) == {"a": 1}


def test_wrong_types_are_counted_apart_from_missing() -> None:
    spec = parse_spec("name: m\ntask: regression\nfeatures:\n  x: {type: numeric}\n")
    raw = plain(spec, x=[1.0, "broken", None, 2.0])
    frame = normalize(raw, spec, role="current")
    seen = profile_frame(frame, make_bins(spec, frame)).column("x")
    assert (seen.null, seen.invalid, seen.valid) == (1, 1, 2)


def test_a_column_that_vanished_is_missing_everywhere() -> None:
    spec = parse_spec("name: m\ntask: regression\nfeatures:\n  x: {type: numeric}\n  c: {type: categorical}\n")
    bins = make_bins(spec, plain(spec, x=[1.0, 2.0], c=["a", "b"]))
    profile = profile_frame(plain(spec, x=[1.0, 2.0, 3.0]), bins)
    assert profile.column("c").null == 3
    with pytest.raises(InvalidInput, match="'z' is not in the profile"):
        profile.column("z")


def test_profiles_of_different_bins_do_not_mix() -> None:
    spec = parse_spec("name: m\ntask: regression\nfeatures:\n  x: {type: numeric}\n")
    one, other = (profile_frame(f, make_bins(spec, f)) for f in (plain(spec, x=[1.0]), plain(spec, x=[2.0])))
    with pytest.raises(InvalidInput, match="cannot be added"):
        merge([one, other])
    with pytest.raises(InvalidInput, match="no profile to merge"):
        merge([])
    with pytest.raises(DataError, match="The reference of 'm' has no rows"):
        make_bins(spec, plain(spec, x=[1.0]).head(0))


def test_joint_table_gives_accuracy_and_brier() -> None:
    spec = SPECS["binary"]
    frame = plain(spec, prediction=["1", "0", "1"], score=[0.9, 0.2, 0.6], label=["1", "0", "0"])
    profile = profile_frame(frame, make_bins(spec, frame))
    assert profile.labelled == 3
    assert profile.joint[:, 3].sum() == pytest.approx(0.01 + 0.04 + 0.36)
    assert profile.joint[:, 2].sum() == 1


def test_a_window_of_the_log_is_profiled_as_of_a_time(tmp_path: Path) -> None:
    spec = parse_spec("name: m\ntask: regression\nfeatures:\n  x: {type: numeric}\n")
    frame = plain(spec, x=[1.0, 2.0, 3.0], prediction=[1.0, 1.0, 1.0]).assign(prediction_id=["a", "b", "c"])
    log = PredictionLog(tmp_path)
    log.append_predictions(spec, frame, batch_id="1")
    late = pd.DataFrame({"prediction_id": ["a"], "label": [2.0]})
    log.append_labels(spec, late, batch_id="l", as_of=START + timedelta(days=1))
    bins: BinSet = make_bins(spec, frame)
    window = Window(START, START + timedelta(seconds=2))
    early, later = (
        merge(profile_log(log, spec, window, bins, as_of=START + age).values())
        for age in (timedelta(hours=1), timedelta(days=2))
    )
    assert (early.rows, early.labelled) == (2, 0)
    assert (later.rows, later.labelled) == (2, 1)
    assert profile_log(log, spec, Window(START - timedelta(days=2), START), bins) == {}
