"""One contract over the monitors that look at labels or stand in for them, and what each must see."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.errors import InvalidInput
from ml.metrics import row_loss
from ml.monitors.estimation import estimate
from ml.monitors.maturity import maturity
from ml.monitors.performance import design_effect, performance
from ml.monitors.sequential import Detector, watch_loss
from ml.results import Measurement, Status, Window
from ml.spec import ModelSpec

START = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7))
BINARY = ModelSpec.model_validate(
    {"name": "b", "task": "binary", "features": {"x": {"type": "numeric"}, "y": {"type": "numeric"}}}
)
NUMBER = ModelSpec.model_validate(
    {"name": "r", "task": "regression", "features": {"x": {"type": "numeric"}, "y": {"type": "numeric"}}}
)
MANY = ModelSpec.model_validate({"name": "m", "task": "multiclass", "features": {"x": {"type": "numeric"}}})


def binary(n: int, seed: int, *, shift: float = 0.0, noise: float = 0.0, start: datetime = START) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(shift, 1, n), rng.normal(0, 1, n)
    score = 1 / (1 + np.exp(-1.5 * x - y))
    label = (rng.random(n) < score).astype(int)
    label = np.where(rng.random(n) < noise, 1 - label, label)
    times = pd.date_range(start, periods=n, freq="5min")
    return pd.DataFrame(
        {"timestamp": times, "x": x, "y": y, "score": score, "prediction": (score > 0.5).astype(int), "label": label,
         "label_timestamp": times}
    )  # fmt: skip


def number(n: int, seed: int, *, bias: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 1, n), rng.normal(0, 1, n)
    times = pd.date_range(START, periods=n, freq="5min")
    label = 3 * x + rng.normal(0, 1, n)
    return pd.DataFrame(
        {"timestamp": times, "x": x, "y": y, "score": np.nan, "prediction": 3 * x + bias, "label": label,
         "label_timestamp": times}
    )  # fmt: skip


def look(spec: ModelSpec, current: pd.DataFrame, reference: pd.DataFrame | None) -> dict[str, Measurement]:
    found = performance(spec, current, window=WEEK, reference=reference, as_of=WEEK.end)
    return {m.monitor: m for m in found}


def messes() -> dict[str, tuple[ModelSpec, pd.DataFrame]]:
    good, real = binary(200, 1), number(200, 1)
    return {
        "empty": (BINARY, good.iloc[:0]),
        "one row": (BINARY, good.iloc[:1]),
        "no labels": (BINARY, good.assign(label=None)),
        "no label column": (BINARY, good.drop(columns="label")),
        "one class": (BINARY, good.assign(label=1)),
        "no scores": (BINARY, good.assign(score=np.nan)),
        "infinite": (NUMBER, real.assign(prediction=np.inf)),
        "infinite labels": (NUMBER, real.assign(label=np.inf)),
        "text labels": (NUMBER, real.assign(label="high")),
        "constant": (NUMBER, real.assign(prediction=1.0, label=1.0, x=1.0, y=1.0)),
        "all missing": (NUMBER, real.assign(x=np.nan, y=np.nan, prediction=np.nan)),
        "multiclass": (MANY, real.assign(prediction="a", label="b")),
        "out of order": (BINARY, good.iloc[::-1]),
        "features vanished": (BINARY, good.drop(columns=["x", "y"])),
    }


@pytest.mark.parametrize("name", list(messes()))
@pytest.mark.parametrize("with_reference", [True, False])
def test_every_monitor_answers_every_mess(name: str, with_reference: bool) -> None:
    spec, current = messes()[name]
    reference = number(300, 2) if spec is not BINARY else binary(300, 2)
    if spec is MANY:
        reference = reference.assign(prediction="a", label="a")
    found = performance(spec, current, window=WEEK, reference=reference if with_reference else None, as_of=WEEK.end)
    found += estimate(spec, reference, current, window=WEEK)

    assert {"performance.labels", "performance.loss", "estimation.loss"} <= {m.monitor for m in found}
    for measurement in found:
        assert (measurement.value is None) == (measurement.status is Status.NO_DATA)
        assert measurement.value is None or np.isfinite(measurement.value)
        assert measurement.detail
        json.dumps(dict(measurement.facts), allow_nan=False)


def test_a_healthy_week_is_no_breach_and_says_how_many_labels_it_rests_on() -> None:
    found = look(BINARY, binary(1500, 3), binary(1500, 4))

    assert {m.status for m in found.values()} == {Status.OK}
    assert found["performance.roc_auc"].interval is not None
    needed = found["performance.labels"].facts["needed"]
    assert isinstance(needed, int)
    assert needed > 100


def test_a_worse_model_breaches_by_loss_metric_and_recall() -> None:
    found = look(BINARY, binary(1500, 3, noise=0.3), binary(1500, 4))

    assert found["performance.loss"].status is Status.BREACH
    assert found["performance.roc_auc"].status is Status.BREACH
    loss = found["performance.loss"]
    assert loss.interval is not None
    assert loss.threshold is not None
    assert loss.interval.low > loss.threshold


def test_a_bias_breaches_the_error_of_a_regression() -> None:
    found = look(NUMBER, number(500, 3, bias=1.5), number(500, 4))

    assert (found["performance.mae"].status, found["performance.loss"].status) == (Status.BREACH, Status.BREACH)


@pytest.mark.parametrize("seed", range(10))
def test_sampling_noise_of_a_small_window_is_no_breach(seed: int) -> None:
    assert look(BINARY, binary(100, 100 + seed), binary(1500, 4))["performance.loss"].status is Status.OK


def test_labels_of_the_future_are_not_seen() -> None:
    current = binary(300, 3).assign(label_timestamp=pd.Timestamp(WEEK.end) + pd.Timedelta(days=1))

    assert look(BINARY, current, binary(300, 4))["performance.loss"].status is Status.NO_DATA


def test_only_labels_that_had_their_time_count() -> None:
    spec = BINARY.model_copy(update={"label_delay": timedelta(days=1)})
    current = binary(864, 3)  # three days
    early = current["timestamp"] > current["timestamp"].iloc[-1] - pd.Timedelta(days=1)
    current.loc[early & (current["label"] == 0), "label"] = np.nan  # positives are told at once

    ripe = maturity(spec, None, current, current["timestamp"].iloc[-1].to_pydatetime())

    assert not ripe.usable[early.to_numpy()].any()
    assert ripe.usable[~early.to_numpy()].all()
    assert not ripe.overdue


def test_overdue_labels_are_dated() -> None:
    current = binary(864, 3)
    current.loc[500:, "label"] = np.nan

    ripe = maturity(BINARY, binary(500, 1), current, current["timestamp"].iloc[-1].to_pydatetime())

    assert ripe.overdue
    assert ripe.since == current["timestamp"][500]


def test_repeated_rows_are_worth_fewer() -> None:
    rng = np.random.default_rng(0)
    assert design_effect(rng.normal(size=1000)) == 1.0
    assert design_effect(np.repeat(rng.normal(size=100), 10)) > 5


def losses(rng: np.random.Generator, n: int, error: float) -> np.ndarray:
    return (rng.random(n) < error).astype(float)


def test_ninety_days_of_daily_looks_raise_no_false_alarm() -> None:
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        state = watch_loss(losses(rng, 3000, 0.12), tolerance=0.01, run_length=1e6)
        alarms += state.update(losses(rng, 45_000, 0.12)).alarmed
    assert alarms <= 1


def test_five_points_of_error_are_seen_within_four_days() -> None:
    days = []
    for seed in range(20):
        rng = np.random.default_rng(100 + seed)
        state = watch_loss(losses(rng, 20_000, 0.12), tolerance=0.005, run_length=1e6).update(losses(rng, 10_000, 0.12))
        before = state.rows
        after = state.update(losses(rng, 10_000, 0.17))
        assert after.alarm_at is not None
        days.append((after.alarm_at - before) / 500)
    assert np.mean(days) < 4


def test_the_detectors_state_survives_json_in_any_number_of_pieces() -> None:
    rng = np.random.default_rng(0)
    reference, stream = losses(rng, 1000, 0.1), losses(rng, 300, 0.15)
    whole = watch_loss(reference, 0.01).update(stream)
    state = watch_loss(reference, 0.01)
    for part in np.array_split(stream, 7):
        state = Detector.from_json(json.loads(json.dumps(state.to_json()))).update(part)
    assert state.log_evidence == pytest.approx(whole.log_evidence)
    assert state.rows == 300


def test_a_detector_needs_a_reference() -> None:
    with pytest.raises(InvalidInput, match="30 reference losses"):
        watch_loss([0.1] * 5, 0.01)


@pytest.mark.parametrize("shift", [0.5, 1.0, -0.7])
def test_the_loss_under_covariate_shift_is_estimated_within_a_hundredth(shift: float) -> None:
    current = binary(4000, 6, shift=shift)
    found = estimate(BINARY, binary(4000, 5), current.drop(columns="label"), window=WEEK)[0]

    assert found.facts["estimate"] == pytest.approx(row_loss(BINARY, current).mean(), abs=0.01)


def test_where_inputs_leave_the_reference_nothing_is_estimated() -> None:
    found = estimate(BINARY, binary(2000, 5), binary(1000, 6, shift=5.0), window=WEEK)[0]

    assert found.status is Status.NO_DATA
    assert "outside the reference" in found.detail
