"""What a model may change in a diagnosis: nothing upwards, nothing without evidence, no action that is not allowed."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.template import told
from agent.conversation.weighing import Verdict, read_verdict, weigh
from tests.agent.reports.story import document

ACTIONS = {"retrain": {}, "rollback": {"to_version": "2"}}
DRIFT, SEASON = "concept_drift_gradual", "seasonal"


def weighed(verdict: dict, of: dict | None = None):
    return weigh(of or document(), Verdict.model_validate(verdict), ACTIONS, "openai:m")


def test_confidence_is_lowered_and_causes_reordered_by_citing_evidence():
    after = weighed({"causes": [{"cause": DRIFT, "probability": 0.03, "cites": ["[E1]", "d-7k2m9xq4c1/E2"]}]})
    assert [cause["cause"] for cause in after.document["causes"]] == [SEASON, DRIFT]
    assert after.changes == [{"cause": DRIFT, "from": 0.934, "to": 0.03, "cites": ["E1", "E2"]}]
    assert after.refused == []
    assert after.document["evidence"] == document()["evidence"]


@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        ({"causes": [{"cause": SEASON, "probability": 0.9, "cites": ["E1"]}]}, "may only be lowered"),
        ({"causes": [{"cause": DRIFT, "probability": 0.1}]}, "without evidence"),
        ({"causes": [{"cause": DRIFT, "probability": 0.1, "cites": ["E99", "because"]}]}, "without evidence"),
        ({"causes": [{"cause": "sabotage", "probability": 0.0, "cites": ["E1"]}]}, "none of the ranked causes"),
        ({"action": "promote", "cites": ["E1"]}, "not among those that policy and evidence allow"),
        ({"action": "rollback", "cites": []}, "without evidence"),
    ],
)
def test_what_it_may_not_change_stays_and_is_named(verdict, why):
    after = weighed(verdict)
    assert after.document == document()
    assert after.changes == []
    assert why in after.refused[0]


def test_an_allowed_action_is_chosen_with_its_own_parameters_and_the_rule_is_named():
    after = weighed({"action": "rollback", "cites": ["E2"]})
    action = after.document["action"]
    assert (action["kind"], action["parameters"]) == ("rollback", {"to_version": "2"})
    assert action["why"].startswith("Chosen by openai:m on E2; the rule says retrain: retraining lowers")
    assert after.changes == [{"action": "rollback", "instead_of": "retrain", "cites": ["E2"]}]


def test_a_repair_keeps_the_columns_of_the_cause_that_it_was_made_for():
    broken = document(features=("temp", "hum"))
    broken["action"] = {"kind": "fix_data", "parameters": {}, "why": "broken", "escalate": False}
    after = weighed({"causes": [{"cause": DRIFT, "probability": 0.0, "cites": ["E1"]}]}, broken)
    assert after.document["action"]["parameters"]["features"] == ["temp", "hum"]


@pytest.mark.parametrize(
    "text",
    ["", "no json", "{", '{"causes": 7}', '{"causes": [{"cause": "x", "probability": NaN}]}', "[" * 5000, "{" * 5000],
)
def test_what_is_no_verdict_changes_nothing(text):
    assert read_verdict(text) is None


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "cause": st.sampled_from([DRIFT, SEASON, "healthy"]) | st.text(max_size=20),
                "probability": st.floats(0, 1),
                "cites": st.lists(st.sampled_from(["E1", "E2", "E9", "[E3]", "x"]), max_size=3),
            }
        ),
        max_size=5,
    ),
    st.none() | st.sampled_from(["retrain", "rollback", "promote", "no_action"]),
)
def test_whatever_it_says_no_probability_rises_and_no_fact_changes(causes, action):
    before = document()
    kept = deepcopy(before)
    after = weigh(before, Verdict.model_validate({"causes": causes, "action": action, "cites": ["E1"]}), ACTIONS, "m")
    assert before == kept
    known = {cause["cause"]: cause["probability"] for cause in before["causes"]}
    assert {cause["cause"] for cause in after.document["causes"]} == set(known)
    assert all(cause["probability"] <= known[cause["cause"]] for cause in after.document["causes"])
    assert after.document["evidence"] == before["evidence"]
    assert after.document["action"]["kind"] in {"retrain", *ACTIONS}
    json.dumps(after.document)


def test_the_template_tells_it_with_its_facts():
    lines = told(document()).splitlines()
    assert lines[0] == "Most likely gradual concept drift in temp (93 %), since 2026-01-31 00:00 UTC."
    assert "[E2]" in lines[1]
    assert lines[-1].startswith("Not checked: ")
    assert told({"causes": []}) == "No cause was found."
