"""The short version of `make bench-estimation`: near the truth where inputs move, silent where they do not meet."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.estimation.run import WINDOW, score
from benchmarks.estimation.streams import STREAMS
from ml.data.datasets import load, sample_spec
from ml.monitors.estimation import estimate
from ml.monitors.overlap import Inputs, overlap
from ml.results import Status
from ml.spec import ModelSpec


@pytest.mark.parametrize(
    ("name", "shifts"),
    [("rainfall", ("up", "far up", "harder")), ("bike", ("up", "harder")), ("wine", ("two", "harder"))],
)
def test_the_loss_is_within_a_hundredth_while_only_inputs_move(name: str, shifts: tuple[str, ...]):
    found = [score(STREAMS[name](), shift, 3000, 2000, range(2)) for shift in shifts]

    assert all(s is not None and s.abstained == 0 for s in found)
    assert np.mean([s.error for s in found]) < 0.01
    assert max(s.moved for s in found) > 0.02  # there was something to see


@pytest.mark.parametrize("name", ["rainfall", "plants", "grades"])
@pytest.mark.parametrize("shift", ["no overlap", "new corner"])
def test_it_abstains_where_inputs_do_not_meet(name: str, shift: str):
    found = score(STREAMS[name](), shift, 2000, 1000, range(1))

    assert found is not None
    assert (found.abstained, found.error) == (1, None)


def test_a_changed_relation_is_invisible():
    found = score(STREAMS["rainfall"](), "concept", 2000, 1000, range(1))

    assert found is not None
    assert found.error is not None
    assert found.error > 0.05


def test_a_category_never_seen_lies_outside():
    spec = sample_spec("heart-disease")
    rows = load("heart-disease").assign(prediction=0, score=0.5)
    current = rows.sample(300, random_state=0).assign(cp=lambda f: f["cp"].str.upper())

    found = estimate(spec, rows, current, window=WINDOW)[0]

    assert found.status is Status.NO_DATA
    assert "outside the reference" in found.detail


def test_of_a_thousand_columns_those_that_moved_are_compared():
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(300)]
    spec = ModelSpec.model_validate(
        {"name": "wide", "task": "binary", "features": {n: {"type": "numeric"} for n in names}}
    )
    reference = pd.DataFrame(rng.normal(size=(500, 300)), columns=names)
    current = pd.DataFrame(rng.normal(size=(500, 300)), columns=names).assign(x7=lambda f: f["x7"] + 1.5)

    inputs = Inputs(spec, reference, current)
    found = overlap(inputs, reference, current, 0)

    assert inputs.matrix(current).shape == (500, 60)
    assert np.average(reference["x7"], weights=found.weight) > 0.7


def test_text_and_times_are_inputs_too():
    rng = np.random.default_rng(0)
    spec = ModelSpec.model_validate(
        {"name": "t", "task": "binary", "features": {"note": {"type": "text"}, "since": {"type": "datetime"}}}
    )

    def rows(words: int) -> pd.DataFrame:
        times = pd.date_range("2026-01-01", periods=300, freq="h", tz="UTC")
        return pd.DataFrame(
            {"timestamp": times, "since": times - pd.to_timedelta(rng.integers(1, 90, 300), unit="D"),
             "note": ["word " * (words + int(k)) for k in rng.integers(0, 9, 300)]}
        )  # fmt: skip

    reference = rows(3)
    far, near = rows(60), rows(3)

    assert overlap(Inputs(spec, reference, far), reference, far, 0).outside > 0.9
    assert overlap(Inputs(spec, reference, near), reference, near, 0).outside < 0.1
