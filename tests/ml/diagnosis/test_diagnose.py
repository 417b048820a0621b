"""What the engine says about incidents whose cause is known, and about frames that are a mess."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.diagnosis import Act, Cause, Diagnosis, Verdict, diagnose
from ml.models import recipes
from tests.ml.diagnosis.loan_book import SPEC, START, champion, history, reference, rows, served

CONTRACT = {"model", "verdict", "causes", "action", "evidence", "not_checked"}
N = 800


def ask(current: pd.DataFrame, **more: Any) -> Diagnosis:
    return diagnose(SPEC, reference(), current, **({"history": history(), "model": champion()} | more))


def fresh(seed: int = 11, n: int = N) -> pd.DataFrame:
    frame = rows(n, seed)
    return frame.assign(timestamp=pd.date_range(START, periods=n, freq="10min"))


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_stream_needs_nothing(seed: int) -> None:
    found = ask(served(fresh(seed + 20)))

    assert found.verdict in (Verdict.OK, Verdict.DRIFT_HARMLESS)
    assert found.action.kind in (Act.NO_ACTION, Act.WAIT_FOR_LABELS)


def test_a_shift_in_an_unused_feature_is_harmless() -> None:
    found = ask(served(fresh().assign(batch=lambda f: f["batch"] + 40)))

    assert (found.verdict, found.cause.cause, found.action.kind) == (
        Verdict.DRIFT_HARMLESS, Cause.HARMLESS_SHIFT, Act.NO_ACTION
    )  # fmt: skip
    assert found.cause.features == ("batch",)


def test_a_wrong_unit_in_one_segment_is_named_with_factor_onset_and_segment() -> None:
    frame = fresh()
    hit = (np.arange(N) >= 300) & (frame["branch"] == "south")
    frame.loc[hit, "income"] /= 1000

    found = ask(served(frame))

    assert found.cause.cause is Cause.DATA_PIPELINE_FAULT
    assert found.cause.features == ("income",)
    assert found.cause.segment == "branch=south"
    assert found.cause.onset == frame.loc[hit, "timestamp"].iloc[0]
    assert found.action.kind is Act.FIX_DATA
    assert found.action.parameters["factor"] == 1000
    assert found.action.parameters["notify"] == "#loans-data"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("income", lambda f, r: f.assign(income=f["income"].where(~r))),
        ("income", lambda f, r: f.assign(income=f["income"].where(~r, -1.0))),
        ("branch", lambda f, r: f.assign(branch=f["branch"].where(~r, f["branch"].str.upper()))),
        ("income", lambda f, r: f.assign(income=f["debt"].where(r, f["income"]), debt=f["income"].where(r, f["debt"]))),
        ("income", lambda f, r: f.assign(income=f["income"].iloc[(f.index // 40) * 40].to_numpy())),
        ("income", lambda f, r: f.drop(columns="income")),
    ],
    ids=["nulls", "sentinel", "case", "swapped", "stale", "vanished"],
)
def test_a_broken_column_is_for_its_owner_to_fix(name: str, change: Any) -> None:
    healthy = fresh()
    broken = change(healthy, pd.Series(np.arange(N) >= 300))
    fed = broken if name in broken else broken.assign(income=np.nan)
    current = served(fed).drop(columns=[] if name in broken else [name])

    found = ask(current)

    assert found.cause.cause is Cause.DATA_PIPELINE_FAULT
    assert name in found.cause.features
    assert found.action.kind is Act.FIX_DATA


def bad_version() -> Any:
    jumbled = rows(2000, 1)
    jumbled["income"] = np.random.default_rng(0).permutation(jumbled["income"])
    return recipes.fit(SPEC, jumbled).with_version("2")


def test_a_bad_deployment_is_dated_and_rolled_back() -> None:
    frame, bad = fresh(), bad_version()
    current = pd.concat([served(frame.iloc[:300]), served(frame.iloc[300:], bad)])
    ledger = pd.DataFrame({"timestamp": [frame["timestamp"][300]], "version": ["2"], "kind": ["promote"], "note": [""]})

    found = ask(current, deployments=ledger, model=bad, previous_model=champion())

    assert found.cause.cause is Cause.BAD_DEPLOYMENT
    assert found.cause.onset == frame["timestamp"][300]
    assert (found.action.kind, found.action.parameters["to_version"]) == (Act.ROLLBACK, "1")
    assert next(t for t in found.trials if t.kind is Act.ROLLBACK).low > 0


def test_a_deployment_without_harm_is_left_alone() -> None:
    frame = fresh()
    other = recipes.fit(SPEC, rows(2000, 5)).with_version("2")
    current = pd.concat([served(frame.iloc[:300]), served(frame.iloc[300:], other)])

    assert ask(current, model=other, previous_model=champion()).action.kind in (Act.NO_ACTION, Act.WAIT_FOR_LABELS)


def test_a_changed_relation_calls_for_retraining() -> None:
    frame = fresh(n=1500)
    turned = (frame["debt"] > 6) & (frame.index >= 400)
    frame["label"] = np.where(turned, 1 - frame["label"], frame["label"])
    tree = SPEC.model_copy(update={"trainer": "xgboost"})
    model = recipes.fit(tree, rows(2000, 1)).with_version("1")

    found = diagnose(
        tree, served(rows(1000, 2), model, START - pd.Timedelta(days=60)), served(frame, model), model=model
    )

    assert found.action.kind is Act.RETRAIN
    assert found.cause.cause in (Cause.CONCEPT_DRIFT_SUDDEN, Cause.CONCEPT_DRIFT_GRADUAL)


def test_answers_that_are_not_the_models_are_skew() -> None:
    frame = fresh()
    fed = frame.assign(income=frame["income"].where(frame.index < 300, 0.0))
    current = served(fed).assign(income=frame["income"])

    found = ask(current)

    assert (found.cause.cause, found.action.kind) == (Cause.TRAINING_SERVING_SKEW, Act.FIX_DATA)
    assert found.cause.onset == frame["timestamp"][300]


def test_labels_turned_round_are_a_fault_of_the_labels() -> None:
    frame = served(fresh())
    frame["label"] = np.where(frame.index >= 300, 1 - frame["label"], frame["label"])

    found = ask(frame)

    assert (found.cause.cause, found.action.kind) == (Cause.LABEL_FAULT, Act.FIX_DATA)
    assert found.action.parameters["features"] == ["label"]


def test_labels_that_stop_coming_are_waited_for() -> None:
    frame = served(fresh())
    frame["label"] = frame["label"].astype(object).where(frame.index < 300, None)

    found = ask(frame)

    assert (found.cause.cause, found.action.kind) == (Cause.LABEL_DELAY, Act.WAIT_FOR_LABELS)


def test_the_document_is_the_contracts() -> None:
    frame = fresh()
    frame.loc[frame.index >= 300, "income"] *= 100
    document = json.loads(json.dumps(ask(served(frame)).to_json(), allow_nan=False))

    assert document.keys() >= CONTRACT
    assert document["verdict"] in ("ok", "drift_harmless", "incident")
    numbers = [fact["id"] for fact in document["evidence"]]
    assert numbers == [f"E{i}" for i in range(1, len(numbers) + 1)]
    for cause in document["causes"]:
        assert cause.keys() == {"cause", "probability", "supports", "contradicts", "onset", "features", "segment"}
        assert set(cause["supports"]) | set(cause["contradicts"]) <= set(numbers)
    assert sum(cause["probability"] for cause in document["causes"]) <= 1 + 1e-6
    for fact in document["evidence"]:
        assert fact.keys() >= {"id", "kind", "statement", "value", "interval", "n", "unit", "source"}
    assert document["action"].keys() >= {"kind", "parameters", "why"}


def test_the_same_rows_give_the_same_answer() -> None:
    current = served(fresh())

    assert ask(current, seed=3).to_json() == ask(current, seed=3).to_json()


def test_without_a_model_a_surrogate_answers_and_says_so() -> None:
    found = diagnose(SPEC, reference(), served(fresh()))

    assert any("surrogate" in item.why for item in found.not_checked)


def test_a_table_of_features_and_labels_is_enough() -> None:
    bare = ["income", "age", "debt", "branch", "batch", "label", "timestamp"]
    found = diagnose(SPEC, reference()[bare], served(fresh())[bare])

    assert found.action.kind in (Act.NO_ACTION, Act.WAIT_FOR_LABELS)


def messes() -> dict[str, Any]:
    good = served(fresh(n=200))
    return {
        "empty": good.iloc[:0],
        "one row": good.iloc[:1],
        "all missing": good.assign(income=np.nan, age=np.nan, debt=np.nan, branch=None),
        "constant": good.assign(income=1.0, age=1.0),
        "infinite": good.assign(income=np.where(good.index % 3 == 0, np.inf, good["income"])),
        "ten thousand categories": good.assign(branch=[f"b{i}" for i in range(len(good))]),
        "mixed types": good.assign(income=good["income"].astype(object).where(good.index % 2 == 0, "n/a")),
        "one class": good.assign(label=1),
        "no labels": good.assign(label=None),
        "no label column": good.drop(columns="label"),
        "no predictions": good.assign(prediction=None, score=np.nan),
        "ids repeated": good.assign(prediction_id="same"),
        "out of order": good.sample(frac=1, random_state=0),
        "the future": good.assign(timestamp=good["timestamp"] + pd.Timedelta(days=4000)),
        "zones mixed": good.assign(
            timestamp=[t.isoformat(" " if i % 2 else "T") for i, t in enumerate(good["timestamp"])]
        ),
        "no timestamps": good.drop(columns="timestamp"),
        "features vanished": good.drop(columns=["income", "branch"]),
        "scores missing": good.assign(score=np.nan),
        "infinite score": good.assign(score=np.inf),
    }


@pytest.mark.parametrize("name", list(messes()))
@pytest.mark.parametrize("with_model", [True, False])
def test_a_mess_is_answered_and_named(name: str, with_model: bool) -> None:
    found = diagnose(
        SPEC,
        reference(400),
        messes()[name],
        model=champion() if with_model else None,
        as_of=START + pd.Timedelta(days=30),
    )

    json.dumps(found.to_json(), allow_nan=False)
    assert not found.action.kind.changes_model


def test_an_empty_reference_is_said_to_be_one() -> None:
    found = diagnose(SPEC, reference().iloc[:0], served(fresh(n=100)), model=champion())

    assert found.cause.cause is Cause.INSUFFICIENT_DATA
    assert found.not_checked
