from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from ml.errors import DataError
from ml.models.evaluation import Verdict, compare
from ml.models.recipes import fit


@dataclass(frozen=True)
class Scripted:
    """A predictor whose error is a column of the rows, in a segment of its own if it has one."""

    version: str
    column: str

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        if self.column not in frame:
            raise DataError(f"The column {self.column!r} is missing from the rows.")
        return pd.DataFrame(
            {"prediction": frame["label"].astype(float) + frame[self.column], "score": np.nan}, frame.index
        )


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    n = 400
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2026-01-01", periods=n, freq="h", tz="UTC"),
            "label": rng.normal(50, 5, n),
            "plan": np.where(np.arange(n) % 4 == 0, "max", "basic"),
            "large": rng.normal(0, 4, n),
            "small": rng.normal(0, 1, n),
        }
    )


@pytest.fixture
def spec(make_spec):
    return make_spec("regression", "segments: [plan]")


def test_a_clearly_better_challenger_is_accepted_and_the_reverse_rejected(spec, rows):
    better = compare(spec, Scripted("1", "large"), Scripted("2", "small"), rows)
    worse = compare(spec, Scripted("2", "small"), Scripted("1", "large"), rows)
    assert better.verdict is Verdict.ACCEPT
    assert worse.verdict is Verdict.REJECT
    assert better.gain == pytest.approx(-(worse.gain or 0))
    assert better.interval is not None
    assert better.champion is not None
    assert better.champion.interval is not None
    assert 0 < better.interval.low < (better.gain or 0) < better.interval.high
    assert better.champion.interval.low < better.champion.metric < better.champion.interval.high


def test_the_same_model_twice_is_not_accepted(spec, rows):
    result = compare(spec, Scripted("1", "large"), Scripted("2", "large"), rows)
    assert result.verdict is Verdict.REJECT
    assert result.gain == 0


def test_a_difference_within_noise_is_inconclusive(spec, rows):
    noise = rows.assign(other=np.random.default_rng(1).normal(0, 4, len(rows)))
    assert compare(spec, Scripted("1", "large"), Scripted("2", "other"), noise).verdict is Verdict.INCONCLUSIVE


def test_a_gain_below_the_margin_is_not_enough(spec, rows):
    assert compare(spec, Scripted("1", "large"), Scripted("2", "small"), rows, margin=3.0).verdict is not Verdict.ACCEPT


def test_a_challenger_that_ruins_one_segment_is_rejected_by_its_name(spec, rows):
    tilted = rows.assign(tilted=np.where(rows["plan"] == "max", 9.0, 0.0))
    result = compare(spec, Scripted("1", "large"), Scripted("2", "tilted"), tilted)
    assert result.gain is not None
    assert result.gain > 0
    assert result.verdict is Verdict.REJECT
    assert "plan=max" in result.reason


def test_too_few_labels_are_inconclusive_and_say_so(spec, rows):
    result = compare(spec, Scripted("1", "large"), Scripted("2", "small"), rows.head(20))
    assert (result.verdict, result.gain, result.n) == (Verdict.INCONCLUSIVE, None, 20)
    assert compare(spec, Scripted("1", "large"), Scripted("2", "small"), rows.drop(columns="label")).n == 0


def test_a_challenger_that_cannot_score_is_rejected_but_a_champion_that_cannot_is_an_error(spec, rows):
    assert compare(spec, Scripted("1", "large"), Scripted("2", "gone"), rows).verdict is Verdict.REJECT
    with pytest.raises(DataError):
        compare(spec, Scripted("1", "gone"), Scripted("2", "small"), rows)


def test_repeated_rows_of_one_entity_widen_the_interval(make_spec, rows):
    rows = pd.concat([rows.head(60).assign(patient=range(60))] * 8)
    rows["timestamp"] = pd.date_range("2026-01-01", periods=len(rows), freq="h", tz="UTC")
    alone, grouped = make_spec("regression"), make_spec("regression", "entity: patient")
    widths = []
    for spec in (alone, grouped):
        interval = compare(spec, Scripted("1", "large"), Scripted("2", "small"), rows).interval
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[1] > 1.5 * widths[0]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_are_compared_too(task, make_spec, make_rows):
    spec = make_spec(task)
    good = fit(spec, make_rows(task=task))
    swapped = make_rows(task=task).assign(amount=lambda rows: rows["age"])
    result = compare(spec, fit(spec, swapped), good, make_rows(task=task, seed=1))
    assert result.verdict is Verdict.ACCEPT
