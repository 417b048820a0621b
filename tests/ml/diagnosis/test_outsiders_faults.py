"""Faults that the benchmark's own generator does not make, on a model that is not at hand where it matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.data import datasets
from ml.diagnosis import Act, Cause, Diagnosis, diagnose
from ml.diagnosis.breaks import find_breaks
from ml.models import recipes
from ml.spec import ModelSpec
from tests.ml.diagnosis.loan_book import SPEC, START, champion, rows, served

N = 900
LATE = np.arange(N) >= 300


def ask(current: pd.DataFrame, model: Any = None) -> Diagnosis:
    past = served(_shaped(rows(1000, 2)), start=START - pd.Timedelta(days=60))
    later = served(_shaped(rows(1500, 3)), start=START - pd.Timedelta(days=30))
    return diagnose(SPEC, past, current, history=later, model=model)


def _shaped(frame: pd.DataFrame) -> pd.DataFrame:
    """As such tables are: whole euros and years, debts to a tenth."""
    return frame.assign(income=frame["income"].round(0), age=frame["age"].round(0), debt=frame["debt"].round(1))


def fresh(seed: int = 11) -> pd.DataFrame:
    frame = _shaped(rows(N, seed))
    return frame.assign(timestamp=pd.date_range(START, periods=N, freq="10min"))


def change(name: str, values: Any) -> pd.DataFrame:
    frame = fresh()
    return frame.assign(**{name: np.where(LATE, values(frame[name]), frame[name])})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("debt", lambda v: v / 1.609),
        ("income", lambda v: (v - v.mean()) / v.std()),
        ("income", lambda v: v.clip(upper=25_000)),
        ("income", lambda v: np.log(v)),
        ("debt", lambda v: v.where(np.arange(N) % 10 > 0, 9999.0)),
    ],
    ids=["miles", "standardised", "cut off", "logarithm", "one in ten"],
)
@pytest.mark.parametrize("given", [True, False], ids=["model", "no model"])
def test_a_column_on_another_scale_is_a_fault_of_the_data(name: str, values: Any, given: bool) -> None:
    found = ask(served(change(name, values)), champion() if given else None)

    assert (found.cause.cause, found.action.kind) == (Cause.DATA_PIPELINE_FAULT, Act.FIX_DATA)
    assert found.cause.features == (name,)
    assert abs(found.cause.onset - START - pd.Timedelta(minutes=3000)) <= pd.Timedelta(hours=8)


def test_a_bad_version_is_known_by_what_the_one_before_it_answered() -> None:
    frame = fresh()
    jumbled = rows(2000, 1)
    jumbled["income"] = np.random.default_rng(0).permutation(jumbled["income"])
    bad = recipes.fit(SPEC, jumbled).with_version("2")

    found = ask(pd.concat([served(frame[~LATE]), served(frame[LATE], bad)]))

    assert (found.cause.cause, found.action.kind) == (Cause.BAD_DEPLOYMENT, Act.ROLLBACK)
    assert found.action.parameters["to_version"] == "1"
    assert any("not given" in item.why for item in found.not_checked)


def test_answers_to_other_inputs_than_are_logged_are_skew_without_the_model_too() -> None:
    frame = fresh()
    fed = frame.assign(income=np.where(LATE, frame["income"].median() / 4, frame["income"]))

    found = ask(served(fed).assign(income=frame["income"]))

    assert (found.cause.cause, found.action.kind) == (Cause.TRAINING_SERVING_SKEW, Act.FIX_DATA)


@pytest.mark.parametrize("given", [True, False], ids=["model", "no model"])
def test_labels_joined_to_other_rows_are_not_learnt(given: bool) -> None:
    frame = served(fresh())
    mixed = np.random.default_rng(0).permutation(frame["label"][LATE].to_numpy())
    frame.loc[LATE, "label"] = mixed

    found = ask(frame, champion() if given else None)

    assert (found.cause.cause, found.action.kind) == (Cause.LABEL_FAULT, Act.FIX_DATA)


def test_a_column_that_is_late_is_found_by_answering_again() -> None:
    frame = fresh()
    late = frame.assign(income=np.where(LATE, frame["income"].shift(3).fillna(30_000), frame["income"]))

    found = ask(served(late), champion())

    assert found.action.kind is Act.FIX_DATA
    assert found.action.parameters["lag"] == 3


def test_labels_of_which_many_are_wrong_are_for_a_person_and_not_to_learn_from() -> None:
    frame = fresh()
    wrong = np.random.default_rng(4).random(N) < 0.35

    found = ask(served(frame.assign(label=np.where(wrong, 1 - frame["label"], frame["label"]))), champion())

    assert (found.cause.cause, found.action.kind) == (Cause.LABEL_FAULT, Act.NO_ACTION)
    assert found.action.escalate
    assert found.confidence <= 0.5, "a world with more chance in it would look the same"


@pytest.mark.parametrize(("start", "size"), [(5400, 300), (6000, 300)])
def test_real_weather_bends_its_relations_and_nothing_is_swapped(start: int, size: int) -> None:
    frame = pd.read_csv(Path(datasets.__file__).with_name("samples") / "rainfall_noaa.csv")
    frame = frame.rename(columns={"rain": "label"}).iloc[:9000]
    frame["timestamp"] = pd.date_range("2020-01-01", periods=len(frame), freq="h", tz="UTC")
    names = [name for name in frame if name not in ("label", "timestamp")]
    spec = ModelSpec.model_validate(
        {"name": "rain", "task": "binary", "features": {name: {"type": "numeric"} for name in names}}
    )
    found = find_breaks(spec, frame.iloc[3000:5400], frame.iloc[start : start + size], {}, ())

    assert [item.statement for item in found if item.certain and len(item.features) > 1] == []
