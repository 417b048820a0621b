"""The closed set of actions: parsed strictly, digested by their exact bytes, the set that a diagnosis speaks in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from ml.diagnosis.causes import Act
from tools.actions import CHARACTER, ActionKind, Retrain, Rollback, canonical_json, digest, parse_action

ROLLBACK = Rollback(model="churn", expected_version="2", to_version="1")


def test_a_diagnosis_and_the_tools_speak_of_the_same_actions():
    assert [act.value for act in Act if act.value not in set(ActionKind)] == []
    by_people = {ActionKind.SILENCE}
    assert {act.value for act in Act} == {kind.value for kind in ActionKind if kind not in by_people}
    assert set(CHARACTER) == set(ActionKind)


def test_an_action_survives_the_way_through_json():
    action = Retrain(
        model="churn",
        expected_version="1",
        data_version="p1.l1",
        window_start=datetime(2026, 1, 1, tzinfo=UTC),
        window_end=datetime(2026, 2, 1, tzinfo=UTC),
    )
    again = parse_action(action.model_dump(mode="json"))
    assert again == action
    assert digest(again) == digest(action)


@pytest.mark.parametrize(
    "change", [{"to_version": "3"}, {"expected_version": "1"}, {"model": "other"}, {"kind": "promote"}]
)
def test_one_field_more_or_less_is_another_action(change):
    assert digest(parse_action({**ROLLBACK.model_dump(mode="json"), **change})) != digest(ROLLBACK)


@pytest.mark.parametrize("change", [{"kind": "delete"}, {"force": True}, {"to_version": None}, {"kind": None}])
def test_what_is_outside_the_set_is_refused(change):
    with pytest.raises(ValidationError):
        parse_action({**ROLLBACK.model_dump(mode="json"), **change})


def test_there_is_one_form_of_the_bytes():
    assert canonical_json({"b": 1, "a": ["ü", None]}) == '{"a":["ü",null],"b":1}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})
