from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.errors import DataError, SpecError
from ml.metrics import metric
from ml.models.recipes import fit, recalibrate

BUILT_IN = ("xgboost", "sklearn:LogisticRegression", "sklearn:ensemble.RandomForestClassifier")
TASKS = {
    "xgboost": ("binary", "multiclass", "regression"),
    "sklearn:LogisticRegression": ("binary", "multiclass"),
    "sklearn:ensemble.RandomForestClassifier": ("binary", "multiclass"),
    "sklearn:Ridge": ("regression",),
}


@pytest.fixture
def own_trainers(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield
    sys.modules.pop("own_trainers", None)


@pytest.mark.parametrize(("trainer", "task"), [(trainer, task) for trainer, tasks in TASKS.items() for task in tasks])
def test_every_trainer_learns_every_task_from_rows_of_every_type(trainer, task, make_spec, make_rows):
    spec = make_spec(task, f"trainer: {trainer}")
    model = fit(spec, make_rows(task=task))
    later = make_rows(task=task, seed=1)
    answer = model.predict(later)
    value = metric(spec, later[["label"]].join(answer))
    if task == "regression":
        assert value < 8  # the spread of the label is 15
        assert answer["score"].isna().all()
    else:
        assert value > (0.65 if task == "multiclass" else 0.75)
        assert answer["score"].between(0, 1).all()
    assert list(answer.index) == list(later.index)


@pytest.mark.parametrize("trainer", ["sklearn:LinearSVC", "sklearn:RidgeClassifier"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_an_estimator_without_probabilities_answers_classes(trainer, task, make_spec, make_rows):
    spec = make_spec(task, f"trainer: {trainer}", "metric: " + ("accuracy" if task == "binary" else "macro_f1"))
    later = make_rows(task=task, seed=1)
    answer = fit(spec, make_rows(task=task)).predict(later)
    assert metric(spec, later[["label"]].join(answer)) > (0.4 if task == "multiclass" else 0.7)  # chance: 0.33, 0.5
    assert answer["score"].isna().all()


@pytest.mark.parametrize("trainer", BUILT_IN)
def test_rows_never_seen_before_are_still_answered(trainer, make_spec, make_rows):
    model = fit(make_spec("binary", f"trainer: {trainer}"), make_rows())
    odd = make_rows(8).assign(
        plan="unheard of", amount="text", note=None, member="perhaps", joined="never", age=-np.inf
    )
    assert model.predict(odd)["score"].notna().all()


@pytest.mark.parametrize(
    ("labels", "positive"),
    [((0, 1), "1"), ((0.0, 1.0), "1"), ((False, True), "true"), (("no", "yes"), "'yes'"), (("1", "2"), "2")],
)
def test_labels_of_any_type_come_back_as_they_were_written(labels, positive, make_spec, make_rows):
    rows = make_rows()
    rows["label"] = pd.Series([labels[int(y)] for y in rows["label"]], dtype=object)
    spec = make_spec("binary", f"positive: {positive}")
    answer = fit(spec, rows).predict(rows)
    assert set(answer["prediction"]) == set(labels)
    assert metric(spec, rows[["label"]].join(answer), "recall") > 0.9


def test_the_score_is_of_the_positive_class_even_when_it_sorts_first(make_spec, make_rows):
    rows = make_rows()
    rows["label"] = np.where(rows["label"] == 1, "a-ill", "well")
    answer = fit(make_spec("binary", "positive: a-ill"), rows).predict(rows)
    ill = answer["prediction"] == "a-ill"
    assert answer.loc[ill, "score"].min() >= 0.5 > answer.loc[~ill, "score"].max()


def test_only_used_features_are_fed(make_spec, make_rows):
    spec = make_spec(features={"amount": "numeric", "plan": "categorical, used: false"})
    model = fit(spec, make_rows())
    assert model.feature_names == ("amount",)
    assert len(model.predict(make_rows()[["amount"]])) == 600


def test_the_same_seed_gives_the_same_model(make_spec, make_rows):
    rows = make_rows()
    one, two = (fit(make_spec(), rows, seed=3).predict(rows) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_weights_move_the_fit(make_spec, make_rows):
    rows = make_rows()
    heavy = np.where(rows["label"] == 1, 20.0, 1.0)
    spec = make_spec()
    assert (
        fit(spec, rows, sample_weight=heavy).predict(rows)["score"].mean()
        > fit(spec, rows).predict(rows)["score"].mean()
    )


def test_ten_thousand_categories_stay_a_narrow_matrix(make_spec):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"plan": [f"plan {i}" for i in range(10_000)], "amount": rng.normal(size=10_000)})
    rows["label"] = (rows["amount"] > 0).astype(int)
    model = fit(make_spec(features={"plan": "categorical", "amount": "numeric"}), rows)
    assert len(model.pipeline.named_steps["encode"].owners_) < 50


def test_a_feature_without_values_is_noted_and_the_rest_learns(make_spec, make_rows):
    for trainer in BUILT_IN:
        model = fit(make_spec("binary", f"trainer: {trainer}"), make_rows().assign(age=np.nan))
        assert model.notes == ("age: no value in 600 training rows; the model cannot use it",)


def test_no_rows_give_no_answers(make_spec, make_rows):
    model = fit(make_spec(), make_rows())
    assert list(model.predict(make_rows().iloc[0:0]).columns) == ["prediction", "score"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.drop(columns="label"), "no column 'label'"),
        (lambda rows: rows.drop(columns="age"), "lack the feature 'age'"),
        (lambda rows: rows.assign(label=None), "0 rows have a label"),
        (lambda rows: rows.head(5), "5 rows have a label and training needs 10"),
        (lambda rows: rows.assign(label=1), "all 600 labels are '1'"),
        (lambda rows: rows.assign(label=np.arange(600) % 3), "two classes, but the labels are '0', '1', '2'"),
    ],
)
def test_rows_that_cannot_teach_are_refused_by_name(change, says, make_spec, make_rows):
    with pytest.raises(DataError, match=says):
        fit(make_spec(), change(make_rows()))


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("training: {parameters: {max_dept: 3}}",), "no parameter 'max_dept'; did you mean 'max_depth'"),
        (("training: {parameters: {max_depth: -1}}",), "max_depth=-1"),
        (("trainer: sklearn:LogisticRegression", "training: {parameters: {C: -3}}"), "C=-3"),
        (("trainer: sklearn:LogisticRegression", "training: {parameters: {depth: 3}}"), "no parameter 'depth'"),
        (("trainer: sklearn:NoSuchThing",), "no estimator 'NoSuchThing'"),
        (("trainer: sklearn:Ridge",), "Ridge is no classifier"),
        (("trainer: sklearn:ensemble.StackingClassifier",), "wraps another estimator"),
        (("trainer: nowhere_to_be_found:train",), "'nowhere_to_be_found' cannot be imported"),
        (("trainer: own_trainers:missing",), "has no function 'missing'"),
        (("trainer: own_trainers:nothing",), "returned dict, which has no `predict`"),
        (("trainer: own_trainers:breaks",), "failed: RuntimeError: no disk"),
        (("positive: maybe",), "'maybe' is no class of the labels"),
    ],
)
def test_a_trainer_that_cannot_be_used_is_named(lines, says, make_spec, make_rows, own_trainers):
    with pytest.raises(SpecError, match=says):
        fit(make_spec("binary", *lines), make_rows())


@pytest.mark.parametrize("function", ["pipeline", "own_class"])
def test_an_own_function_is_a_trainer(function, make_spec, make_rows, own_trainers):
    spec = make_spec("binary", f"trainer: own_trainers:{function}")
    model = fit(spec, make_rows())
    text = make_rows().assign(amount=lambda rows: rows["amount"].astype(str))
    assert metric(spec, text[["label"]].join(model.predict(text))) > 0.6


def test_a_missing_column_is_named(make_spec, make_rows):
    with pytest.raises(DataError, match="'plan' is missing"):
        fit(make_spec(), make_rows()).predict(make_rows().drop(columns="plan"))


def test_recalibration_brings_the_mean_score_to_the_rate_of_recent_labels(make_spec, make_rows):
    spec = make_spec()
    model = fit(spec, make_rows())
    rows = make_rows(seed=2)
    rare = pd.concat([rows[rows["label"] == 0], rows[rows["label"] == 1].head(40)])
    once = recalibrate(spec, model, rare)
    twice = recalibrate(spec, once, rare)
    for fixed in (once, twice):
        assert fixed.predict(rare)["score"].mean() == pytest.approx(rare["label"].mean(), abs=0.02)
    assert model.predict(rare)["score"].mean() > rare["label"].mean() + 0.005
    assert once.predict(rare)["score"].rank().corr(model.predict(rare)["score"].rank()) > 0.99
