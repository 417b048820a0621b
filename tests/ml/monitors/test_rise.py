"""The test of the loss over all looks: what it sees, what it carries, when it is over, and what it cannot judge."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.monitors.rise import Rise, begin, count, dispersion, judge
from ml.results import Status, Window
from ml.spec import ModelSpec

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PART = {"name": "b", "features": {"x": {"type": "numeric"}}}
BINARY = ModelSpec.model_validate({**PART, "task": "binary"})
RECALL = ModelSpec.model_validate({**PART, "task": "binary", "metric": "recall"})
MANY = ModelSpec.model_validate({**PART, "task": "multiclass"})
NUMBER = ModelSpec.model_validate({**PART, "task": "regression"})


def rows(
    spec: ModelSpec, day: int, n: int = 500, *, worse: float = 0.0, missed: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """A day of answered, labelled rows. worse: error added. missed: share of the positives that get a low score."""
    rng = np.random.default_rng([day + 1000, n, seed])
    times = pd.date_range(START + day * DAY, periods=n, freq="2min")
    if spec.task == "regression":
        label = rng.normal(size=n)
        answer = label + rng.normal(0, 1 + worse, n)
        return pd.DataFrame({"timestamp": times, "label": label, "prediction": answer, "score": np.nan})
    if spec.task == "multiclass":
        label = rng.integers(0, 3, n)
        answer = np.where(rng.random(n) < 0.12 + worse, (label + 1) % 3, label)
        return pd.DataFrame({"timestamp": times, "label": label, "prediction": answer, "score": np.nan}).astype(
            {"label": str, "prediction": str}
        )
    z = rng.normal(0, 2.5, n)
    score = 1 / (1 + np.exp(-z))
    label = (rng.random(n) < score).astype(int)
    label = np.where(rng.random(n) < worse * 1.3, 1 - label, label)
    score = np.where((label == 1) & (rng.random(n) < missed), 0.45, score)
    return pd.DataFrame({"timestamp": times, "label": label, "prediction": (score > 0.5).astype(int), "score": score})


def reference(spec: ModelSpec, days: int = 20, seed: int = 0) -> pd.DataFrame:
    return pd.concat([rows(spec, day, seed=seed) for day in range(-days, 0)], ignore_index=True)


def started(spec: ModelSpec, seed: int = 0) -> Rise:
    state = begin(spec, reference(spec, seed=seed), "1")
    assert isinstance(state, Rise)
    return state


def window(day: int) -> Window:
    return Window.before(START + (day + 1) * DAY, 3 * DAY)


def days_until_alarm(spec: ModelSpec, *, fell: int, seed: int = 0, **harm: float) -> tuple[int, Rise]:
    state = started(spec, seed)
    for day in range(fell + 15):
        fresh = rows(spec, day, seed=seed, **(harm if day >= fell else {}))
        state, measured = judge(spec, count(spec, state, fresh, DAY), window(day), fresh)
        if measured.status is Status.BREACH:
            return day - fell + 1, state
    raise AssertionError("never seen")


@pytest.mark.parametrize("spec", [BINARY, MANY], ids=["binary", "multiclass"])
def test_five_points_of_error_are_seen_within_four_days_and_dated(spec: ModelSpec) -> None:
    days = []
    for seed in range(7):
        took, state = days_until_alarm(spec, fell=6, worse=0.05, seed=seed)
        days.append(took)
        assert took > 0
        assert state.alarm is not None
        assert abs(datetime.fromisoformat(state.alarm[1]) - (START + 6 * DAY)) < 3 * DAY
    assert np.median(days) <= 4


def test_a_worse_regression_is_seen() -> None:
    assert 0 < days_until_alarm(NUMBER, fell=4, worse=0.3)[0] <= 4


def test_missed_positives_are_seen_where_recall_is_the_metric() -> None:
    """Scores just below the threshold hardly move the loss; a third of the positives are missed all the same."""
    days, state = days_until_alarm(RECALL, fell=4, missed=0.3)
    assert days <= 2
    assert state.alarm is not None
    assert state.alarm[0] == "missed positives"


def test_an_alarm_stands_until_a_whole_window_is_back_and_then_begins_anew() -> None:
    _, state = days_until_alarm(BINARY, fell=2, worse=0.2)
    assert state.alarm is not None
    statuses = []
    for day in range(10, 22):
        fresh = rows(BINARY, day)
        seen = pd.concat([rows(BINARY, d) for d in range(day - 2, day + 1)])
        if day == 10:
            seen = rows(BINARY, day, worse=0.2)
        state, measured = judge(BINARY, count(BINARY, state, fresh, DAY), window(day), seen)
        statuses.append(measured.status)
    assert statuses[0] is Status.BREACH
    assert set(statuses[1:]) == {Status.OK}
    assert state.alarm is None


def test_the_state_survives_json_and_any_number_of_pieces() -> None:
    whole = pieces = started(BINARY)
    day = rows(BINARY, 0, worse=0.1)
    whole = count(BINARY, whole, day, DAY)
    for part in np.array_split(np.arange(len(day)), 5):
        pieces = Rise.from_json(json.loads(json.dumps(pieces.to_json())))
        pieces = count(BINARY, pieces, day.iloc[part], DAY / 5)
    for a, b in zip(whole.channels, pieces.channels, strict=True):
        assert a.detector.log_evidence == pytest.approx(b.detector.log_evidence)
        assert a.since == b.since
        assert a.size == pytest.approx(b.size)
    assert pieces == Rise.from_json(json.loads(json.dumps(pieces.to_json())))


def test_looking_often_costs_nothing() -> None:
    """Hourly looks spend what daily ones do: the weight of a look is the time that it stands for."""
    daily, hourly = started(MANY), started(MANY)
    for day in range(5):
        fresh = rows(MANY, day, 480)
        daily = count(MANY, daily, fresh, DAY)
        for hour in range(24):
            hourly = count(MANY, hourly, fresh.iloc[hour * 20 : hour * 20 + 20], DAY / 24)
    assert hourly.channels[0].detector.log_evidence == pytest.approx(daily.channels[0].detector.log_evidence)


def test_time_without_labels_is_spent_when_they_come() -> None:
    state = started(BINARY)
    waited = count(BINARY, count(BINARY, state, rows(BINARY, 0).iloc[:0], 9 * DAY), rows(BINARY, 9), DAY)
    at_once = count(BINARY, state, rows(BINARY, 9), 10 * DAY)
    assert waited == at_once


def test_another_champion_reference_or_tolerance_is_another_test() -> None:
    usual = reference(BINARY)
    keys = {
        made.key
        for made in (
            begin(BINARY, usual, "1"),
            begin(BINARY, usual, "2"),
            begin(BINARY, usual.head(5000), "1"),
            begin(BINARY.model_copy(update={"tolerance": 0.1}), usual, "1"),
        )
        if isinstance(made, Rise)
    }
    assert len(keys) == 4
    assert begin(BINARY, usual, "1") == begin(BINARY, usual, "1")


@pytest.mark.parametrize("spec", [BINARY, RECALL, MANY, NUMBER], ids=lambda s: f"{s.task}-{s.metric}")
def test_what_cannot_be_judged_is_said(spec: ModelSpec) -> None:
    good = reference(spec, 2)
    for poor in (None, good.iloc[:0], good.head(20), good.assign(label=None), good.drop(columns="label")):
        said = begin(spec, poor, "1")
        assert isinstance(said, str)
        assert "needed" in said
    state = started(spec)
    for empty in (good.iloc[:0], good.assign(label=None), good.assign(prediction=None)):
        _, measured = judge(spec, count(spec, state, empty, DAY), window(0), empty)
        assert measured.status is Status.NO_DATA
        assert "no labelled row" in measured.detail
    for odd in (good.assign(score=np.nan), good.head(1), good.assign(label=good["label"].iloc[0])):
        judge(spec, count(spec, state, odd, DAY), window(0), odd)


def test_days_that_differ_are_worth_fewer_rows() -> None:
    rng = np.random.default_rng(0)
    days = pd.Series(np.repeat(pd.date_range(START, periods=30), 100))
    steady = (rng.random(3000) < 0.2).astype(float)
    assert dispersion(steady, days) < 1.6
    moody = (rng.random(3000) < np.repeat(rng.uniform(0.05, 0.35, 30), 100)).astype(float)
    assert dispersion(moody, days) > 4
