from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.conversation.offline import times
from agent.conversation.offline.dialogue import Asked, Turn, understand
from agent.conversation.offline.entities import Known
from tests.agent.conversation.offline.talk import Talk
from tests.agent.conversation.offline.workspace import NOW, Workspace

KNOWN = Known(
    {
        "bike-demand": ("temp", "humidity"),
        "churn": ("tenure", "monthly_charges", "contract", "region"),
        "heart-disease": ("age", "chol"),
        "rainfall": ("dew_point",),
    }
)


def hear(*said: str, answers: tuple[str, ...] = ()) -> Asked:
    """What the last of these is taken to ask; `answers` were given to the ones before it."""
    turns = [Turn(text, answers[n] if n < len(answers) else "…") for n, text in enumerate(said)]
    return understand(turns, KNOWN, NOW)


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("waht is wrnog with hart disease", ("heart-disease",)),
        ("WHY IS BIKE DEMAND FAILING", ("bike-demand",)),
        ("how is the demand model doing", ("bike-demand",)),
        ("is chrun's tenure drifting", ("churn",)),
        ("rainfall", ("rainfall",)),
        ("compare bike-demand and churn", ("bike-demand", "churn")),
        ("is anything wrong?", ()),
    ],
)
def test_models_are_found_as_people_write_them(text: str, models: tuple[str, ...]) -> None:
    assert hear(text).models == models


def test_a_name_that_two_models_share_is_ambiguous() -> None:
    known = Known({"bike-demand": (), "taxi-demand": ()})
    asked = understand([Turn("what is wrong with demand")], known, NOW)
    assert asked.ambiguous
    assert asked.models == ("bike-demand", "taxi-demand")


def test_a_model_that_is_not_there_is_not_taken_for_another() -> None:
    assert hear("why fraud-score").stranger == "fraud-score"
    assert hear("status of fraud-score").models == ()


@pytest.mark.parametrize("name", ["status-page", "drift", "risk", "may", "psi", "p-47", "first"])
def test_a_model_called_like_an_ordinary_word(name: str) -> None:
    found = understand([Turn(f"what is wrong with {name}")], Known({name: ("x",), "churn": ("tenure",)}), NOW)
    assert (found.intent, found.models) == ("wrong", (name,))


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("what happened last week", "2026-02-08", None),
        ("and in the past 3 days?", "2026-02-12", None),
        ("since Tuesday", "2026-02-10", None),
        ("between 3 and 5 May", "2025-05-03", "2025-05-06"),
        ("from 2026-02-01 to 2026-02-03", "2026-02-01", "2026-02-04"),
        ("24h", "2026-02-14", None),
        ("yesterday", "2026-02-14", "2026-02-15"),
        ("on 5 January", "2026-01-05", "2026-01-06"),
        ("in January", "2026-01-01", "2026-02-01"),
        ("two weeks ago", "2026-02-01", None),
        ("until friday", None, "2026-02-20"),
        ("this month", "2026-02-01", None),
        ("who may approve it", None, None),
        ("on 31 February", None, None),
        ("version 3 against 2", None, None),
    ],
)
def test_times(text: str, since: str | None, until: str | None) -> None:
    span = times.find(text, NOW)
    found = (span.since, span.until) if span else (None, None)
    assert tuple(t and f"{t:%Y-%m-%d}" for t in found) == (since, until)


@pytest.mark.parametrize(
    "text", ["since 99999999d", "9999 years ago", "last 9999 months", "in 0000-00-00", "1 may 0000"]
)
def test_a_time_that_cannot_be_is_no_crash(text: str) -> None:
    times.find(text, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("before", "follow_up", "expected"),
    [
        ("performance of churn", "and last week?", {"intent": "performance", "models": ("churn",)}),
        ("how is bike-demand doing", "why?", {"intent": "why", "models": ("bike-demand",)}),
        ("why bike-demand", "and churn?", {"intent": "why", "models": ("churn",)}),
        ("drift of churn", "what about tenure?", {"intent": "drift_feature", "features": ("tenure",)}),
        ("versions of churn", "which one is live?", {"intent": "champion", "models": ("churn",)}),
        ("what happened to churn", "show me more", {"intent": "incidents_past", "models": ("churn",), "page": 1}),
        ("why churn", "how sure are you?", {"intent": "confidence", "models": ("churn",)}),
        ("why churn", "since when?", {"intent": "onset", "models": ("churn",)}),
        ("status", "why did churn have an incident?", {"intent": "why", "models": ("churn",)}),
        ("why churn", "what is wrong with bike-demand?", {"intent": "wrong", "models": ("bike-demand",)}),
        ("how is churn doing", "what is waiting for me?", {"intent": "queue", "models": ()}),
        ("tell me about p-4x9d2qk7wm", "who may approve it?", {"intent": "who_may", "proposal": "p-4x9d2qk7wm"}),
        ("tell me about p-4x9d2qk7wm", "how risky is it", {"intent": "risk", "proposal": "p-4x9d2qk7wm"}),
    ],
)
def test_follow_ups_lean_on_what_was_said(before: str, follow_up: str, expected: dict[str, object]) -> None:
    asked = hear(before, follow_up)
    assert {name: getattr(asked, name) for name in expected} == expected


def test_and_last_week_changes_only_the_time() -> None:
    asked = hear("how many incidents did churn have since january", "and last week?")
    assert asked.models == ("churn",)
    assert asked.since == datetime(2026, 2, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "proposal"),
    [
        ("the second one", "p-bbbbbbbbbb"),
        ("and the first?", "p-aaaaaaaaaa"),
        ("tell me about number 2", "p-bbbbbbbbbb"),
    ],
)
def test_a_place_in_the_last_answer(said: str, proposal: str) -> None:
    asked = hear("what is waiting", said, answers=("One [p-aaaaaaaaaa].\nTwo [p-bbbbbbbbbb].",))
    assert (asked.intent, asked.proposal) == ("proposal", proposal)


def test_a_place_that_is_none_is_said(place: Workspace) -> None:
    talk = Talk(place)
    talk.ask("what is waiting for me")
    assert talk.ask("the fifth one").text == "There is no such entry in my last answer."


@pytest.mark.parametrize(
    "text",
    [
        "asdkjh qwe zxc",
        "what's the best pizza in town",
        "lorem ipsum dolor sit amet",
        "banana",
        "I feel sad today",
        "hmm",
    ],
)
def test_what_is_not_understood_is_said_with_examples_that_fit(place: Workspace, text: str) -> None:
    found = Talk(place).ask(text)
    assert "did not understand" in found.text or "not something I can answer" in found.text
    assert "why bike-demand" in found.text
    assert not [name for name, _ in found.calls if name != "models"]


@pytest.mark.parametrize(
    "text",
    [
        *("outcome of the churn retraining?", "no", "was churn retrained", "why retrain churn?", "retraining"),
        *("is a rollback of churn safe", "do you think churn needs silence"),
    ],
)
def test_a_question_proposes_nothing(place: Workspace, text: str) -> None:
    assert not [name for name, _ in Talk(place).ask(text).calls if name.startswith("propose_")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(), max_size=60) | st.sampled_from(["why?", "more", "p-", "#99", "⟦data 00⟧"]), max_size=3
    )
)
def test_nothing_that_is_typed_makes_it_fail(said: list[str]) -> None:
    asked = hear(*said, "churn")
    assert asked.models == ("churn",)
