"""Before labels: an estimate may worry and never reassures; a deployment that answers otherwise is named, unsurely."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.diagnosis import Act, Cause, Diagnosis, Verdict, diagnose
from ml.diagnosis.evidence import Kind
from ml.models import recipes
from ml.models.recipes import FittedModel
from tests.ml.diagnosis.loan_book import SPEC, START, champion, history, reference, rows, served

N = 600
SLOW = SPEC.model_copy(update={"label_delay": timedelta(days=30)})


def ask(current: pd.DataFrame, **more: Any) -> Diagnosis:
    given = {"history": history(), "model": champion(), "previous_model": None, **more}
    return diagnose(SLOW, reference(), current.assign(label=None), **given)


def fresh(n: int = N, seed: int = 31) -> pd.DataFrame:
    return rows(n, seed).assign(timestamp=pd.date_range(START, periods=n, freq="10min"))


def estimates(found: Diagnosis) -> list[Any]:
    return [fact for fact in found.evidence if fact.kind is Kind.ESTIMATE]


def test_an_estimate_within_its_band_says_wait_and_not_healthy():
    found = ask(served(fresh()))

    (fact,) = estimates(found)
    assert fact.interval is not None
    assert fact.interval.low < fact.value < fact.interval.high
    assert (fact.n, fact.unit, fact.source) == (N, "loss", "estimation.estimate")
    assert (found.cause.cause, found.action.kind, found.action.escalate) == (
        Cause.INSUFFICIENT_DATA, Act.WAIT_FOR_LABELS, False,
    )  # fmt: skip
    assert fact.id in found.cause.supports
    assert "calls no model healthy" in found.action.why


def test_rows_that_moved_to_where_the_model_is_unsure_worry_a_person():
    pool = rows(20_000, 32)
    unsure = np.abs(champion().predict(pool)["score"] - 0.5)
    harder = pool.loc[unsure.sort_values().index[:12_000]].sample(N, random_state=0).reset_index(drop=True)
    harder["timestamp"] = pd.date_range(START, periods=N, freq="10min")

    found = ask(served(harder))

    assert estimates(found)[0].interval.low > 0
    assert found.verdict is Verdict.INCIDENT
    assert (found.action.kind, found.action.escalate) == (Act.WAIT_FOR_LABELS, True)


def test_without_overlap_nothing_is_estimated_and_that_is_said():
    found = ask(served(fresh().assign(age=lambda f: f["age"] + 200)))

    assert estimates(found) == []
    assert any(item.what == "the loss before labels" for item in found.not_checked)


def test_labels_that_settle_the_matter_need_no_estimate():
    frame = fresh(3000)
    found = diagnose(SPEC.model_copy(update={"tolerance": 0.05}), reference(), served(frame), model=champion())

    assert found.cause.cause in (Cause.HEALTHY, Cause.HARMLESS_SHIFT)
    assert estimates(found) == []


def worse() -> FittedModel:
    jumbled = rows(2000, 1)
    jumbled["income"] = -jumbled["income"]
    return recipes.fit(SPEC, jumbled).with_version("2")


def deployed(model: FittedModel) -> pd.DataFrame:
    frame = fresh()
    return pd.concat([served(frame.iloc[:300]), served(frame.iloc[300:], model)])


@pytest.mark.parametrize("previous", [champion(), None], ids=["replayed", "learnt from its rows"])
def test_a_deployment_that_answers_otherwise_is_rolled_back_with_little_confidence(previous: FittedModel | None):
    found = ask(deployed(worse()), model=worse(), previous_model=previous)

    assert (found.cause.cause, found.action.kind) == (Cause.BAD_DEPLOYMENT, Act.ROLLBACK)
    assert found.action.parameters == {"to_version": "1", "expected_version": "2", "basis": "no labels"}
    assert "no labels" in found.action.why
    assert found.confidence <= 0.5
    assert found.cause.onset == START + pd.Timedelta(minutes=3000)
    assert any(fact.source == "emergency.look" and fact.id in found.cause.supports for fact in found.evidence)


@pytest.mark.parametrize("previous", [champion(), None], ids=["replayed", "learnt from its rows"])
def test_an_ordinary_new_version_is_left_alone(previous: FittedModel | None):
    other = recipes.fit(SPEC, rows(2000, 5)).with_version("2")

    found = ask(deployed(other), model=other, previous_model=previous)

    assert found.action.kind is Act.WAIT_FOR_LABELS


def test_inputs_that_move_at_a_deployment_are_not_its_doing():
    frame = fresh()
    frame.loc[frame.index >= 300, "income"] *= 1.5
    other = recipes.fit(SPEC, rows(2000, 5)).with_version("2")

    found = ask(
        pd.concat([served(frame.iloc[:300]), served(frame.iloc[300:], other)]), model=other, previous_model=champion()
    )

    assert found.action.kind is not Act.ROLLBACK


def test_too_few_rows_since_the_deployment_are_named():
    frame = fresh()
    current = pd.concat([served(frame.iloc[:580]), served(frame.iloc[580:], worse())])

    found = ask(current, model=worse(), previous_model=champion())

    assert found.action.kind is not Act.ROLLBACK
    assert any("version 2 answers otherwise" in item.what for item in found.not_checked)
