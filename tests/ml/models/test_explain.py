from __future__ import annotations

import numpy as np
import pytest

from ml.models.explain import contributions, importance
from ml.models.recipes import fit, recalibrate


@pytest.mark.parametrize("trainer", ["xgboost", "sklearn:RandomForestClassifier"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_the_features_that_make_the_label_lead(trainer, task, make_spec, make_rows):
    spec, rows = make_spec(task, f"trainer: {trainer}"), make_rows(task=task)
    shares = importance(spec, fit(spec, rows), rows)
    assert next(iter(shares)) == "amount"
    assert set(list(shares)[:2]) <= {"amount", "plan", "joined"}
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) == set(spec.features)


def test_tree_contributions_add_up_to_the_log_odds_of_the_positive_class(make_spec, make_rows):
    rows = make_rows()
    rows["label"] = np.where(rows["label"] == 1, "a-ill", "well")  # the positive class is the first of the two
    spec = make_spec("binary", "positive: a-ill")
    model = fit(spec, rows)
    score = model.predict(rows)["score"]
    total = contributions(spec, model, rows).sum(axis=1)
    rest = np.log(score / (1 - score)) - total
    assert rest.std() < 1e-3
    assert total.corr(score) > 0.9


def test_a_recalibrated_model_is_explained_as_the_trees_inside(make_spec, make_rows):
    spec, rows = make_spec(), make_rows()
    model = fit(spec, rows)
    assert importance(spec, recalibrate(spec, model, rows), rows) == importance(spec, model, rows)


@pytest.mark.parametrize("trainer", ["xgboost", "sklearn:Ridge"])
def test_a_row_far_above_is_pushed_up_by_its_amount(trainer, make_spec, make_rows):
    spec, rows = make_spec("regression", f"trainer: {trainer}"), make_rows(task="regression")
    pushed = contributions(spec, fit(spec, rows), rows)
    high = rows["amount"].between(120, 1000)
    low = rows["amount"] < 80
    assert pushed.loc[high, "amount"].mean() > 5 > -5 > pushed.loc[low, "amount"].mean()
    assert list(pushed.index) == list(rows.index)


def test_without_rows_there_is_nothing_to_explain(make_spec, make_rows):
    spec, rows = make_spec(), make_rows()
    model = fit(spec, rows)
    assert set(importance(spec, model, rows.iloc[0:0]).values()) == {0.0}
    assert contributions(spec, model, rows.iloc[0:0]).empty
