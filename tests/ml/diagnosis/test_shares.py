"""Which inputs a harder mix comes from: they add up, and the ones that moved have them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.diagnosis import diagnose
from ml.diagnosis.evidence import Kind
from ml.diagnosis.shares import shares
from ml.spec import ModelSpec
from tests.ml.diagnosis.loan_book import SPEC, START, champion, history, reference, rows, served

NAMES = ("a", "twin", "b", "c")
WIDE = ModelSpec.model_validate(
    {"name": "w", "task": "regression", "features": {name: {"type": "numeric"} for name in NAMES}}
)


def frame(n: int, seed: int, *, a: float = 0.0, b: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    first = rng.normal(a, 1, n)
    return pd.DataFrame(
        {"a": first, "twin": first + rng.normal(0, 0.2, n), "b": rng.normal(b, 1, n), "c": rng.normal(0, 1, n)}
    )


def loss_of(rows: pd.DataFrame) -> np.ndarray:
    return 1 + 0.6 * np.maximum(rows["a"], 0).to_numpy() + 0.2 * np.maximum(rows["b"], 0).to_numpy()


def test_features_that_say_the_same_share_one_group_and_the_shares_add_up():
    before, now = frame(3000, 1), frame(3000, 2, a=0.8, b=0.8)

    found = shares(WIDE, before, loss_of(before), now, 0)

    assert [set(s.features) for s in found[:2]] == [{"a", "twin"}, {"b"}]
    rise = loss_of(now).mean() - loss_of(before).mean()
    assert sum(s.value for s in found) == pytest.approx(rise, abs=0.2 * rise)
    assert found[0].value > 2 * found[1].value > 0
    (idle,) = (s for s in found if s.features == ("c",))
    assert idle.low - 0.01 <= 0 <= idle.high + 0.01


def test_inputs_that_did_not_move_explain_nothing():
    before, now = frame(2000, 1), frame(2000, 2)

    assert all(abs(s.value) < 0.03 for s in shares(WIDE, before, loss_of(before), now, 0))


def test_thirty_columns_make_eight_groups_at_most():
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(30)]
    spec = ModelSpec.model_validate(
        {"name": "w", "task": "regression", "features": {n: {"type": "numeric"} for n in names}}
    )
    before, now = (pd.DataFrame(rng.normal(size=(400, 30)), columns=names) for _ in range(2))

    found = shares(spec, before, rng.random(400), now, 0)

    assert len(found) <= 8
    assert sorted(f for s in found for f in s.features) == sorted(names)


def test_few_rows_have_no_shares():
    before = frame(90, 1)

    assert shares(WIDE, before, loss_of(before), frame(500, 2), 0) == ()


def test_a_diagnosis_of_a_harder_mix_names_the_inputs():
    pool = rows(30_000, 41)
    unsure = np.abs(champion().predict(pool)["score"] - 0.5).to_numpy()
    weight = np.where(unsure < 0.3, 6.0, 1.0) * np.where(pool["branch"] == "south", 3.0, 1.0)
    harder = pool.sample(1500, weights=weight, random_state=0).reset_index(drop=True)
    harder["timestamp"] = pd.date_range(START, periods=1500, freq="10min")

    found = diagnose(SPEC, reference(), served(harder), history=history(), model=champion())

    (fact,) = (f for f in found.evidence if f.kind is Kind.ATTRIBUTION and f.source == "shares.shares")
    assert fact.facts["shares"] == [s.to_json() for s in found.shares] == found.to_json()["shares"]
    assert fact.interval.low <= fact.value <= fact.interval.high
