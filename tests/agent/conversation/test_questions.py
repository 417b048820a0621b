from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from agent.conversation.asked import Topic, understand
from agent.conversation.questions import Answer, answer
from agent.store.migrate import upgrade
from agent.store.session import Store
from agent.store.tables import Control
from tests.agent.reports.story import Story, day

MODELS = ["bike-demand", "heart-disease", "rainfall"]


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    store = Store(database_url)
    upgrade(store)
    with store.write() as session:
        yield session
    store.close()


def ask(session: Session, text: str, number: float = 45) -> Answer:
    return answer(session, text, now=day(number))


@pytest.mark.parametrize(
    ("text", "topic", "models"),
    [
        ("what is wrong", Topic.WRONG, ()),
        ("What is wrong with bike-demand?", Topic.WRONG, ("bike-demand",)),
        ("waht is wrnog with hart disease", Topic.WRONG, ("heart-disease",)),
        ("anything broken?", Topic.WRONG, ()),
        ("why rainfall", Topic.WHY, ("rainfall",)),
        ("WHY IS BIKE DEMAND FAILING", Topic.WHY, ("bike-demand",)),
        ("what's waiting for me?", Topic.WAITING, ()),
        ("what needs approval", Topic.WAITING, ()),
        ("status", Topic.STATUS, ()),
        ("how is the demand model doing", Topic.STATUS, ("bike-demand",)),
        ("rainfall", Topic.STATUS, ("rainfall",)),
        ("what happened to heart disease", Topic.HAPPENED, ("heart-disease",)),
        ("what did you do", Topic.DONE, ()),
        ("help", Topic.HELP, ()),
        ("", Topic.UNKNOWN, ()),
        ("make me a sandwich", Topic.UNKNOWN, ()),
    ],
)
def test_what_is_asked(text: str, topic: Topic, models: tuple[str, ...]) -> None:
    found = understand(text, MODELS)
    assert (found.topic, found.models, found.unknown_model) == (topic, models, None)


def test_a_model_that_is_not_there_is_not_mistaken_for_another() -> None:
    assert understand("why fraud-score", MODELS).unknown_model == "fraud-score"


def test_a_word_that_two_models_share_is_asked_back(session: Session) -> None:
    for name in ("bike-demand", "taxi-demand"):
        Story(session, name=name).watched(values={})
    assert ask(session, "what is wrong with demand").text == "Which one do you mean: bike-demand and taxi-demand?"


def test_a_model_called_like_a_keyword() -> None:
    assert understand("what is wrong with status-page", ["status-page"]).topic is Topic.WRONG


def test_what_is_wrong_cites_evidence_and_incident(session: Session) -> None:
    story = Story(session).watched().opened()
    diagnosis = story.diagnosed()
    found = ask(session, "what is wrong")
    assert "gradual concept drift in temp, 93 % sure [E2, E3]" in found.text
    assert f"[{story.incident.id}]" in found.text
    assert found.sources == [story.incident.id, diagnosis.id, "E2", "E3"]


def test_no_data_is_no_all_clear(session: Session) -> None:
    Story(session, name="blind").watched(values={40: None})
    Story(session, name="asleep").watched(values={})
    Story(session, name="well").watched(values={40: 14.0})
    lines = ask(session, "is anything wrong?").text.splitlines()
    assert lines[0] == "asleep: never looked at, so nothing is known of it."
    assert lines[1].startswith("blind: no open incident, but no data to say how well it does (3 labelled rows")
    assert lines[2].startswith("well: no open incident; mae 14 (13 to 15.1) on 168 labelled rows, lower is better")


def test_why_says_what_speaks_for_and_against(session: Session) -> None:
    story = Story(session).whole()
    found = ask(session, "why bike demand")
    assert "For it: error 58.2 [E2]." in found.text
    assert "Against it: temp moved: 1.21 [E1]." in found.text
    assert "Not checked: rollback (there is no earlier version)" in found.text
    assert {"E1", "E2", "E3", story.incident.id} <= set(found.sources)


def test_an_id_is_explained_by_its_beginning(session: Session) -> None:
    story = Story(session).watched().opened()
    row = story.proposed(diagnosis=story.diagnosed())
    assert ask(session, f"why {story.incident.id[:8]}").sources[0] == story.incident.id
    found = ask(session, f"tell me about {row.id}", 39)
    assert found.sources[0] == row.id
    assert "Why: retraining lowers the loss by 21.3" in found.text
    assert "There is no proposal 'p-zzzzzzzzzz'" in ask(session, "why p-zzzzzzzzzz").text


def test_what_is_waiting(session: Session) -> None:
    assert "no model under watch" in ask(session, "what is waiting").text
    story = Story(session).watched().opened()
    row = story.proposed(diagnosis=story.diagnosed())
    found = ask(session, "what is waiting?", 39)
    assert "(1 d left)" in found.text
    assert f"Decide: watchkeeper approve {row.id}." in found.text
    assert "its time ended on 2026-02-10 00:00 UTC" in ask(session, "what is waiting?", 41).text
    story.rejected(row, "not now")
    assert ask(session, "what is waiting?", 41).text == "Nothing waits for a decision."


def test_what_was_done(session: Session) -> None:
    Story(session).watched(values={})
    assert ask(session, "what did you do").text.startswith("I have carried out no action")
    Story(session, name="other").whole()
    text = ask(session, "what did you do").text
    assert text.startswith("other: retraining, approved by ana, carried out in 4.1 s; succeeded: It helped: mae 27.1")


def test_status_tells_of_the_kill_switch(session: Session) -> None:
    Story(session).watched(values={40: 14.0})
    control = session.get_one(Control, 1)
    control.frozen, control.frozen_by, control.frozen_reason = True, "omar", "audit week"
    session.flush()
    assert "The kill switch is on by omar: audit week." in ask(session, "status").text


def test_what_happened_lists_the_newest_first(session: Session) -> None:
    story = Story(session).whole()
    story.title = "again"
    story.opened(44)
    lines = ask(session, "what happened to bike-demand").text.splitlines()
    assert lines[0].startswith("bike-demand: again; opened 2026-02-14")
    assert "closed 2026-02-12 00:00 UTC: It helped" in lines[1]


def tokens(text: str) -> set[float]:
    return {float(token) for token in re.findall(r"\d+(?:\.\d+)?", text)}


@pytest.mark.parametrize(
    "text", ["what is wrong", "why bike-demand", "status", "what happened to bike-demand", "what did you do"]
)
def test_every_number_is_from_the_records(session: Session, text: str) -> None:
    story = Story(session).whole()
    story.opened(44)
    Story(session, name="well").watched(values={40: 14.0})
    found = ask(session, text)
    dateless = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", found.text)
    known = tokens(json.dumps(found.data)) | tokens(" ".join(found.sources))
    assert tokens(dateless) <= known, tokens(dateless) - known


def test_a_question_changes_nothing_and_is_not_shown_back(session: Session) -> None:
    Story(session).watched(values={40: 14.0})
    for text in (
        "approve p-7k2m9xq4c1 now",
        "'; DROP TABLE model; --",
        "<script>alert(1)</script>",
        "why <b>\u202ex</b>",
    ):
        told = ask(session, text).text
        assert "<" not in told.replace("<U+", "")
        assert "\u202e" not in told
    assert not session.new
    assert not session.dirty


@pytest.fixture(scope="module")
def told_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('ask') / 'w.db'}")
    upgrade(store)
    with store.write() as session:
        Story(session).whole()
    yield store
    store.close()


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(
        st.text(max_size=200),
        st.lists(st.sampled_from(["why", "what", "p-", "i-2", "bike", "-", "?", "\0"])).map(" ".join),
    )
)
def test_any_text_gets_an_answer(told_store: Store, text: str) -> None:
    with told_store.read() as session:
        assert answer(session, text, now=day(45)).text
