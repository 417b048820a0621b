from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.data import scenarios
from ml.data.datasets import NAMES, load, sample_spec, spec_path
from ml.errors import DataError, InvalidInput, NotFound
from ml.metrics import metric
from ml.models.candidate import split
from ml.models.recipes import fit

STREAMS = {
    "bike-demand": scenarios.bike_demand,
    "heart-disease": scenarios.heart_disease,
    "rainfall": scenarios.rainfall,
}


@pytest.mark.parametrize("name", NAMES)
def test_the_samples_ship_with_their_spec_and_source(name):
    frame, spec = load(name), sample_spec(name)
    assert set(spec.features) <= set(frame.columns)
    assert frame["label"].notna().all()
    readme = (spec_path(name).parent / "README.md").read_text()
    for file in spec_path(name).parent.glob("*.csv"):
        assert file.name in readme
    example = Path(__file__).parents[3] / "examples" / "workspace" / "models" / f"{name}.yaml"
    assert example.resolve() == spec_path(name).resolve()


def test_an_unknown_sample_is_not_found():
    with pytest.raises(NotFound, match="bike-demand, heart-disease, rainfall"):
        load("iris")


def test_cholesterol_of_zero_is_read_as_missing():
    frame = load("heart-disease")
    assert frame.loc[frame["hospital"] == "Switzerland", "chol"].isna().all()
    assert frame["chol"].min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_in_order_and_labels_come_after_their_delay(name):
    stream = STREAMS[name]()
    rows = pd.concat([stream.past, stream.live])
    assert rows["timestamp"].is_monotonic_increasing
    assert rows["prediction_id"].is_unique
    assert stream.past["timestamp"].max() < stream.live["timestamp"].min()
    assert set(rows["label_timestamp"] - rows["timestamp"]) == {pd.Timedelta(stream.spec.label_delay)}
    pd.testing.assert_frame_equal(STREAMS[name]().live, stream.live)


def test_no_patient_is_both_trained_on_and_met_later():
    stream = scenarios.heart_disease(seed=3)
    early, late = split(stream.spec, stream.past)
    assert not set(early["patient"]) & (set(late["patient"]) | set(stream.live["patient"]))
    assert set(stream.live["hospital"]) == {"Cleveland", "Hungary", "Switzerland", "VA Long Beach"}


def test_spring_ruins_the_bike_model_and_retraining_halves_the_error():
    stream = scenarios.bike_demand()
    spec = stream.spec
    model = fit(spec, split(spec, stream.past)[0])
    now = pd.Timestamp("2011-05-05", tz="UTC")
    live = stream.live
    recent = live[(live["label_timestamp"] < now) & (live["timestamp"] >= now - spec.training.window)]
    again = fit(spec, split(spec, recent)[0])
    march = live[live["timestamp"] < pd.Timestamp("2011-04-01", tz="UTC")]
    later = live[(live["timestamp"] >= now) & (live["timestamp"] < now + pd.Timedelta(days=14))]
    error = {
        "march": metric(spec, march[["label"]].join(model.predict(march))),
        "nothing": metric(spec, later[["label"]].join(model.predict(later))),
        "retrained": metric(spec, later[["label"]].join(again.predict(later))),
    }
    assert error["nothing"] > 3 * error["march"]
    assert error["retrained"] < error["nothing"] / 2


def test_swapped_columns_in_training_ruin_recall_on_sound_rows():
    stream = scenarios.heart_disease()
    early, _ = split(stream.spec, stream.past)
    sound, bad = fit(stream.spec, early), fit(stream.spec, scenarios.swap_columns(early, "chol", "thalch"))
    recall = [metric(stream.spec, stream.live[["label"]].join(m.predict(stream.live))) for m in (sound, bad)]
    assert recall[0] > 0.8
    assert recall[1] < recall[0] - 0.15


def test_a_unit_fault_touches_its_segment_after_its_onset_and_nothing_else():
    stream = scenarios.heart_disease()
    onset = datetime(2026, 1, 20, tzinfo=UTC)
    rows = stream.live
    broken = scenarios.unit_fault(rows, "chol", scenarios.MMOL_PER_MG, onset=onset, segment=("hospital", "Hungary"))
    hit = (rows["timestamp"] >= pd.Timestamp(onset)) & (rows["hospital"] == "Hungary")
    np.testing.assert_allclose(broken.loc[hit, "chol"] * 38.67, rows.loc[hit, "chol"])
    pd.testing.assert_frame_equal(broken[~hit], rows[~hit])
    pd.testing.assert_frame_equal(broken.drop(columns="chol"), rows.drop(columns="chol"))
    model = fit(stream.spec, split(stream.spec, stream.past)[0])
    before, after = (metric(stream.spec, f.loc[hit, ["label"]].join(model.predict(f[hit]))) for f in (rows, broken))
    assert after < before - 0.1


def test_a_shift_of_the_unused_feature_changes_no_answer():
    stream = scenarios.heart_disease()
    model = fit(stream.spec, split(stream.spec, stream.past)[0])
    shifted = scenarios.shift(stream.live, "trestbps", 12.0)
    assert (shifted["trestbps"] - stream.live["trestbps"]).dropna().round(6).eq(12.0).all()
    pd.testing.assert_frame_equal(model.predict(shifted), model.predict(stream.live))


def test_the_other_faults_do_what_they_say():
    rows = scenarios.bike_demand().live.head(100)
    onset = rows["timestamp"].iloc[50].to_pydatetime()
    assert (scenarios.sentinel(rows, "temp", -999.0, onset=onset)["temp"] == -999).sum() == 50
    half = scenarios.sentinel(rows, "temp", None, share=0.5, onset=onset)["temp"].isna().sum()
    assert 15 < half < 35
    assert (scenarios.sentinel(rows, "weathersit", "unknown")["weathersit"] == "unknown").all()
    renamed = scenarios.rename_category(rows, "weathersit", {"clear": "CLEAR"}, onset=onset)["weathersit"]
    assert "CLEAR" not in set(renamed[:50])
    assert "clear" not in set(renamed[50:])
    old = scenarios.stale(rows, "temp", lag=24, onset=onset)["temp"]
    assert old[50:].tolist() == rows["temp"][26:76].tolist()
    assert old[:50].tolist() == rows["temp"][:50].tolist()


def test_a_fault_that_could_not_hit_anything_is_refused():
    rows = scenarios.heart_disease(live_days=2).live
    with pytest.raises(InvalidInput, match="no column 'cholesterol'"):
        scenarios.unit_fault(rows, "cholesterol", 2.0)
    with pytest.raises(DataError, match="No row has hospital = 'Boston'"):
        scenarios.unit_fault(rows, "chol", 2.0, segment=("hospital", "Boston"))
