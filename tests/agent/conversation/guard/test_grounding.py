"""Invented, misquoted and contradicting answers are caught; true ones, however they are written, are left alone."""
# ruff: noqa: E501 (tables of words and of cases read better unbroken)

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.conversation.guard.grounding import NOT_CONFIRMED, NOTHING_LEFT, check
from tests.agent.conversation.guard.answers import SHAPES, Case, cases
from tests.agent.conversation.guard.worlds import NOW, make_world
from tools.results import ToolResult, no_data, ok

WORLDS = 16  # with 19 shapes: 304 answers of each kind


def generated(*, true: bool) -> list[tuple[int, Case]]:
    found = []
    for seed in range(500, 500 + WORLDS):
        rng = random.Random(seed * 2 + true)
        found += [(seed, case) for case in cases(make_world(seed), rng, true=true)]
    return found


def test_every_false_answer_is_caught() -> None:
    false = generated(true=False)
    assert len(false) >= 300
    assert {case.lie for _, case in false} == {"invent", "misquote", "contradict"}
    missed = [
        (seed, case.shape, case.lie, case.text)
        for seed, case in false
        if check(case.text, make_world(seed).results, now=NOW).ok
    ]
    assert missed == []


def test_true_answers_are_left_alone() -> None:
    true = generated(true=True)
    assert len(true) >= 300
    wrongly = [
        (seed, case.shape, case.text, checked.complaint)
        for seed, case in true
        if not (checked := check(case.text, make_world(seed).results, now=NOW)).ok
    ]
    assert len(wrongly) <= 0.01 * len(true), wrongly


def test_the_generator_varies() -> None:
    """A generator that says the same over and over would show nothing."""
    texts = [case.text for _, case in generated(true=True)]
    assert len(set(texts)) > 0.9 * len(texts)
    assert {case.shape for _, case in generated(true=False)} == set(SHAPES)


def at(text: str) -> str:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).isoformat()


HOUSE: list[ToolResult] = [
    ok({
        "models": [
            {"name": "bike-demand", "task": "regression", "owner": "#bikes", "state": "incident", "champion": "3", "metric": "mae",
             "value": 58.2491, "low": 55.02, "high": 61.07, "threshold": 18.0, "n": 3011, "window_start": at("2026-02-21 12:00"),
             "window_end": at("2026-02-28 12:00"), "last_look": at("2026-02-28 12:03"), "open_incident": "i-7k2m9xq4c1",
             "waiting_proposal": "p-4h8s2wd9rt", "frozen": False, "better": "lower"},
            {"name": "heart-disease", "task": "binary", "owner": "#cardio", "state": "healthy", "champion": "1", "metric": "roc_auc",
             "value": 0.84682, "low": 0.8122, "high": 0.8801, "threshold": 0.75, "n": 920, "window_start": at("2026-02-01 00:00"),
             "window_end": at("2026-03-01 00:00"), "last_look": at("2026-03-01 00:05"), "open_incident": None,
             "waiting_proposal": None, "frozen": False, "better": "higher"},
            {"name": "rainfall", "task": "binary", "owner": "#rain", "state": "no_data", "champion": "2", "metric": "accuracy",
             "value": None, "low": None, "high": None, "threshold": 0.7, "n": 0, "window_start": None, "window_end": None,
             "last_look": at("2026-02-27 06:00"), "open_incident": None, "waiting_proposal": None, "frozen": False, "better": "higher"},
        ]}, source="watchkeeper model list"),
    ok({
        "features": [
            {"feature": "temp", "monitor": "drift.psi", "value": 1.2149, "threshold": 0.2, "status": "breach", "n": 168420, "detail": "",
             "first_breach": at("2026-02-10 00:00")},
            {"feature": "hum", "monitor": "drift.psi", "value": 0.3172, "threshold": 0.2, "status": "breach", "n": 168420, "detail": "",
             "first_breach": at("2026-02-17 00:00")},
            {"feature": "windspeed", "monitor": "drift.psi", "value": 0.0412, "threshold": 0.2, "status": "ok", "n": 168420, "detail": "",
             "first_breach": None},
        ], "breaches": 2, "checked": 3}, source="GET /api/v1/models/bike-demand/drift"),
    ok({"metric": "mae", "better": "lower", "change": {"before": 14.02, "after": 58.2491, "difference": 44.2291, "low": 40.1, "high": 48.4},
        "points": [
            {"window_end": at("2026-02-14 12:00"), "value": 14.02, "low": 13.0, "high": 15.1, "n": 2950, "status": "ok"},
            {"window_end": at("2026-02-21 12:00"), "value": 31.4, "low": 29.0, "high": 33.6, "n": 2990, "status": "breach"},
            {"window_end": at("2026-02-28 12:00"), "value": 58.2491, "low": 55.02, "high": 61.07, "n": 3011, "status": "breach"},
        ]}, source="GET /api/v1/models/bike-demand/performance"),
    ok({"incidents": [
        {"id": "i-7k2m9xq4c1", "model": "bike-demand", "state": "waiting", "severity": "critical", "title": "mae 58.2 on 3011 labelled rows",
         "opened_at": at("2026-02-24 09:30"), "resolved_at": None, "resolution": "", "cause": "concept_drift_gradual", "probability": 0.934,
         "action": "retrain", "proposal": "p-4h8s2wd9rt"}]}, source="watchkeeper incidents", evidence=("i-7k2m9xq4c1",)),
    ok({"id": "d-9a8b7c6d5e", "incident": "i-7k2m9xq4c1", "model": "bike-demand", "verdict": "incident", "causes": [
        {"cause": "concept_drift_gradual", "probability": 0.934, "onset": at("2026-02-16 00:00"), "features": ["temp"], "segment": None},
        {"cause": "seasonal", "probability": 0.05, "onset": None, "features": [], "segment": None}],
        "ruled_out": [{"what": "bad_deployment", "why": "no version went live near the onset"}]},
       source="watchkeeper why i-7k2m9xq4c1", evidence=("d-9a8b7c6d5e", "d-9a8b7c6d5e/E2")),
    ok({"proposals": [
        {"id": "p-4h8s2wd9rt", "model": "bike-demand", "action": {"kind": "retrain"}, "kind": "retrain", "risk": "high", "state": "pending",
         "why": "retraining lowers the loss", "created_at": at("2026-02-24 10:00"), "approve_by": at("2026-03-02 10:00"),
         "requested_by": "watchkeeper", "decisions": [{"person": "ana", "decision": "approve", "reason": "the trial is convincing",
         "at": at("2026-02-25 08:00")}], "still_needed": 1, "may_decide": ["ben"]}]}, source="watchkeeper queue", evidence=("p-4h8s2wd9rt",)),
    ok({"metric": "mae", "better": "lower", "before": 58.2491, "after": 34.81, "difference": -23.44, "low": -26.1, "high": -20.7, "n": 3011,
        "note": ""}, source="what_if bike-demand retrain"),
    ok({"metric": "mae", "better": "lower", "before": 58.2491, "after": 57.4, "difference": -0.85, "low": -2.3, "high": 0.6, "n": 3011,
        "note": ""}, source="what_if bike-demand recalibrate", unit=""),
    no_data("No labelled rows in this window.", source="GET /api/v1/models/rainfall/performance"),
]  # fmt: skip

TRUE = (
    "bike-demand has an open incident since 24 February 2026 [i-7k2m9xq4c1].",
    "The MAE of bike-demand is 58.2 (55.0 to 61.1) on 3,011 labelled rows, against a threshold of 18.",
    "Heart-disease is healthy: AUC 84.7 %, between 81.2 and 88.0 percent, on 920 rows.",
    "For rainfall there is no data, so I cannot say how well it does.",
    "bike-demand's error more than quadrupled in two weeks, from 14.0 on 14 Feb to 58.2 on 28 Feb.",
    "It rose by 44.2.",
    "MAE rose from about 14 to about 58.",
    "Of the three features checked, two drifted: temp (PSI 1.21) and hum (0.317). Windspeed stayed at 0.04, within its threshold.",
    "temp moved more than hum.",
    "- `temp`: 1.215 against a limit of 0.2, first beyond it on 2026-02-10\n- `hum`: 0.32, since 17 Feb",
    "The PSI of temp rests on 168k rows.",
    "I am 93 % sure that it is gradual concept drift [d-9a8b7c6d5e].",
    "Seasonality is less likely: the seasonal reading has 5 %.",
    "A bad deployment was ruled out [d-9a8b7c6d5e].",
    "One proposal is waiting: p-4h8s2wd9rt, to retrain bike-demand; it is high risk and must be decided by 2 March, 10:00 UTC.",
    "Ana approved it with “the trial is convincing”; one more approval is needed, and only ben may give it [p-4h8s2wd9rt].",
    "Retraining would lower the MAE from 58.2 to 34.8, a significant gain of 23.4.",
    "Recalibrating would change little: 57.4 instead of 58.2, which is not significant.",
    "The trial puts the difference between -26.1 and -20.7.",
    "Version 3 answers for bike-demand.",
    "No decision has been made by ben yet.",
    "The look of 21 February gave an MAE of 31.4 on 2990 rows.",
    "| feature | PSI | threshold |\n|---|---|---|\n| temp | 1.21 | 0.20 |\n| hum | 0.32 | 0.20 |",
    "The incident is 5 days old.",
    "The incident was opened half an hour before the proposal was made.",
    "temp's PSI is about six times its threshold.",
    "I can only read and propose; deciding is up to you.",
    "Nothing has been executed so far.",
    "Do you want me to look at the last 7 days?",
    "bike-demand is failing; heart-disease is fine.",
    "The latest error of bike-demand, 58.25, is far beyond the threshold of 18.",
    "If you approve [p-4h8s2wd9rt], the model is retrained.",
    "The worst look had an MAE of 58.2, the best 14.0.",
    "A retrained model would be better on the recent rows.",
    "Watch out: 3011 rows is not the whole log.",
    "heart-disease reaches a ROC AUC of 0.85.",
)  # fmt: skip

FALSE = (
    "bike-demand has an open incident since 21 February 2026 [i-7k2m9xq4c1].",
    "The MAE of bike-demand is 61.1 on 3,011 labelled rows.",
    "The MAE of bike-demand is 58.2 (53.0 to 61.1).",
    "The MAE of bike-demand is 58.2 on 920 labelled rows.",
    "Heart-disease has an AUC of 84.1 %.",
    "Heart-disease has an accuracy of 0.847.",
    "heart-disease stands at 0.75.",
    "rainfall is healthy.",
    "rainfall has an accuracy of 0.7.",
    "bike-demand's MAE fell from 14.0 to 58.2.",
    "bike-demand's MAE went from 58.2 to 14.0.",
    "The error of bike-demand doubled, from 14.0 to 58.2.",
    "bike-demand improved over the last weeks.",
    "The MAE rose by 23.4 since 14 Feb.",
    "temp has a PSI of 0.317 and hum 1.21.",
    "hum moved more than temp.",
    "hum drifted the most.",
    "windspeed drifted beyond its threshold.",
    "temp is within its threshold.",
    "Three of the 3 features drifted.",
    "The threshold of temp is 0.25.",
    "temp crossed its threshold on 17 February.",
    "I am 97 % sure that it is gradual concept drift [d-9a8b7c6d5e].",
    "The most likely cause is seasonal [d-9a8b7c6d5e].",
    "It was caused by a bad deployment.",
    "The cause is a label fault.",
    "The proposal p-4h8s2wd9rt is low risk.",
    "The proposal p-4h8s2wd9rt was rejected.",
    "It was approved by ben [p-4h8s2wd9rt].",
    "Two more approvals are needed [p-4h8s2wd9rt].",
    "It must be decided by 4 March [p-4h8s2wd9rt].",
    "Ana approved it with “I have not looked at it” [p-4h8s2wd9rt].",
    "I propose a rollback of bike-demand [p-4h8s2wd9rt].",
    "Retraining would lower the MAE from 58.2 to 27.1.",
    "Recalibrating gives a significant improvement, from 58.2 to 57.4.",
    "Version 2 is the champion of bike-demand.",
    "There are 2 open incidents.",
    "See [i-0000000000].",
    "The incident of bike-demand is resolved [i-7k2m9xq4c1].",
    "The MAE was 31.4 on 14 February.",
    "The latest MAE of bike-demand is 31.4.",
    "The drift in pressure explains it.",
    "The model fraud-score is fine.",
    "The incident is 12 days old.",
    "All models are healthy.",
    "bike-demand has been retrained to version 4.",
    "The incident is only a warning-level incident [i-7k2m9xq4c1].",
    "| feature | PSI | threshold |\n|---|---|---|\n| temp | 0.32 | 0.20 |",
    "PSI: 1.21 for hum.",
    "heart-disease, at 58.2, is the one to look at.",
    "Ana has approved everything.",
)  # fmt: skip


@pytest.mark.parametrize("text", TRUE)
def test_true_by_hand(text: str) -> None:
    checked = check(text, HOUSE, now=NOW)
    assert checked.complaint == ""
    assert checked.text == text


@pytest.mark.parametrize("text", FALSE)
def test_false_by_hand(text: str) -> None:
    checked = check(text, HOUSE, now=NOW)
    assert not checked.ok
    assert checked.complaint
    assert text not in checked.text or NOT_CONFIRMED in checked.text


def test_only_what_is_wrong_is_taken_out() -> None:
    text = "The MAE of bike-demand is 58.2. It was 99.9 last year. Two features drifted, temp and hum."
    checked = check(text, HOUSE, now=NOW)
    assert checked.text == "The MAE of bike-demand is 58.2. Two features drifted, temp and hum."
    assert checked.removed == ["It was 99.9 last year."]
    assert "99.9" in checked.complaint


def test_an_unknown_name_is_marked_and_stays() -> None:
    checked = check("temp drifted. The drift in pressure is harmless.", HOUSE)
    assert checked.text == f"temp drifted. The drift in pressure is harmless {NOT_CONFIRMED}."
    assert checked.marked == ["The drift in pressure is harmless."]


def test_what_has_nothing_left_says_so() -> None:
    assert check("The accuracy is 0.999.", HOUSE).text == NOTHING_LEFT


def test_claims_say_what_bears_them_out() -> None:
    checked = check("I am 93 % sure [d-9a8b7c6d5e]. The incident was opened on 24 Feb [i-7k2m9xq4c1].", HOUSE)
    assert checked.sources == ["d-9a8b7c6d5e", "i-7k2m9xq4c1"]


def test_what_was_asked_for_may_be_named_to_say_that_it_is_not_there() -> None:
    question = "how is version 99 of fraud-score?"
    assert check("I know no model fraud-score, and no version 99.", HOUSE, question=question).ok
    assert not check("fraud-score has version 98.", HOUSE, question=question).ok


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "…", "|", "| a |\n|---|", "[" * 500, "9" * 5000, "1e999999 rows", "“" * 50, "\ud800 12"]
)
def test_whatever_is_written_is_read(text: str) -> None:
    check(text, HOUSE, now=NOW)


@pytest.mark.parametrize("data", [{}, {"a": None}, {"points": []}, {"x": float("nan")}, {"models": "no"}, {"features": [1, "a", None, {}]},
                                  {"interval": [1, 2]}, {"metrics": {"mae": "?"}}, {"id": 3, "model": ["a"]}])  # fmt: skip
def test_whatever_was_returned_is_read(data: dict[str, Any]) -> None:
    checked = check("The MAE is 58.2 since 2 March, 3 times that of version 2.", [ok(data)], now=NOW)
    assert not checked.ok
