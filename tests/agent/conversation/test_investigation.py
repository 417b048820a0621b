"""A model looks further into an incident and tells it; a report's summary in its words. Both checked, both labelled."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from agent.conversation.investigate import Question, look_further
from agent.conversation.narrate import narrate
from agent.pipeline.further import allowed_actions
from agent.pipeline.report import tell_reports
from agent.reports.facts import incident_facts
from agent.reports.period import period_facts
from agent.reports.render import render
from agent.reports.talk import talk_facts
from agent.store.tables import Diagnosis, Incident, Proposal, Report, Usage
from tests.agent.conversation.workplace import ADA, NOW, Workplace, models, workplace
from tests.agent.reports.story import day, document
from tests.fake_openai.server import Turn, fake_openai


@pytest.fixture
def place(tmp_path) -> Iterator[Workplace]:
    with workplace(tmp_path) as made:
        yield made


@pytest.fixture
def question(place: Workplace) -> Question:
    with place.services.store.read() as session:
        found = session.get_one(Diagnosis, place.diagnosis).document
    return Question(place.incident, "bike-demand", found, {"retrain": {}, "rollback": {"to_version": "2"}})


TOLD = "The error is 58.2 [E2]. Retraining gains 21.3 [E3]."


def test_it_looks_with_read_tools_tells_and_weighs(place, question):
    verdict = {"causes": [{"cause": "concept_drift_gradual", "probability": 0.6, "cites": ["E1"]}], "action": "retrain"}
    script = [
        Turn(
            None, [("deployments", {"model": "bike-demand"}), ("propose_retrain", {"model": "bike-demand", "why": "x"})]
        ),
        Turn(TOLD),
        Turn(json.dumps(verdict)),
    ]
    with fake_openai(script) as server:
        after = look_further(place.desk(models(server.url)), question)
    narrative = after["narrative"]
    assert (narrative["text"], narrative["by"]) == (TOLD, "openai:gpt-4.1-mini")
    assert narrative["label"] == "Told by openai:gpt-4.1-mini from the evidence, and checked against it."
    assert narrative["changes"] == [{"cause": "concept_drift_gradual", "from": 0.934, "to": 0.6, "cites": ["E1"]}]
    assert after["causes"][0]["probability"] == 0.6
    assert after["evidence"] == question.document["evidence"]
    offered = [tool["function"]["name"] for tool in server.requests[0]["tools"]]
    assert not [name for name in offered if name.startswith("propose_")]
    assert {call["tool"]: call["result"]["status"] for call in narrative["calls"]}["propose_retrain"] == "error"
    assert server.requests[2]["response_format"]["type"] == "json_schema"
    with place.services.store.read() as session:
        assert session.scalars(select(Proposal)).all() == []
        assert {row.purpose for row in session.scalars(select(Usage))} == {"investigation"}


def test_an_invented_narrative_is_not_told(place, question):
    with fake_openai([Turn("The error is 4711 [E2].")]) as server:
        after = look_further(place.desk(models(server.url)), question)
    assert after["narrative"]["by"] == "template"
    assert "4711" not in after["narrative"]["text"]
    assert after["narrative"]["label"].startswith("Told without a language model: ")
    assert {key: value for key, value in after.items() if key != "narrative"} == question.document


def test_it_sees_one_model_only(place, question):
    with fake_openai([Turn(None, [("incidents", {"model": "other"})]), Turn(TOLD), Turn("{}")]) as server:
        after = look_further(place.desk(models(server.url)), question)
    assert after["narrative"]["calls"][0]["result"]["status"] != "ok"


def test_the_actions_that_policy_and_evidence_allow(place):
    services = place.services
    found = document()
    clear = {"kind": "rollback", "interval": [1.0, 2.0], "parameters": {"to_version": "2"}}
    vague = {"kind": "recalibrate", "interval": [-1.0, 2.0], "parameters": {}}
    found["trials"] = [clear, vague]
    assert allowed_actions(services, "bike-demand", found) == {"retrain": {}, "rollback": {"to_version": "2"}}
    asked = {**found, "action": {**found["action"], "escalate": True}}
    assert allowed_actions(services, "bike-demand", asked) == {"retrain": {}}
    broken = {**found, "action": {**found["action"], "kind": "fix_data"}}
    assert allowed_actions(services, "bike-demand", broken) == {"fix_data": {}}


def test_a_summary_in_a_models_words_is_checked_and_signed(place):
    with place.services.store.read() as session:
        facts = period_facts(session, start=day(30), end=NOW).to_json()
    said = f"One incident is open on bike-demand [{place.incident}]."
    with fake_openai([Turn(said)]) as server:
        told = narrate(place.desk(models(server.url)), facts)
    assert (told.text, told.by) == (said, "openai:gpt-4.1-mini")
    assert told.label == "Written by openai:gpt-4.1-mini from the facts of this report, and checked against them."
    with fake_openai([Turn("There were 4711 incidents.")]) as server:
        told = narrate(place.desk(models(server.url)), facts)
        assert len(server.requests) == 2  # repaired once
    assert (told.text, told.by) == (facts["summary"], "template")


def test_a_report_that_was_written_is_told_once_and_kept(place):
    with place.services.store.write() as session:
        facts = incident_facts(session, session.get_one(Incident, place.incident), at=NOW).to_json()
        row = Report(kind="incident", model="bike-demand", incident_id=place.incident, created_at=NOW, facts=facts)
        session.add(row)
        session.flush()
        known = row.id
    with fake_openai([Turn(f"It is open [{place.incident}].")]) as server:
        services = place.desk(models(server.url)).toolbox.services
        for _ in range(2):
            tell_reports(services, "bike-demand", NOW)
        assert len(server.requests) == 1
    with place.services.store.read() as session:
        kept = session.get_one(Report, known).facts
    assert kept["summary"].startswith(f"It is open [{place.incident}].\n(Written by openai:")
    assert kept["summary_by"] == "openai:gpt-4.1-mini"


def test_what_people_thought_is_reported(place):
    from agent.conversation import turns
    from agent.conversation.chat import reply

    with place.services.store.read() as session:
        assert talk_facts(session, day(0), day(60)) is None
    answer = reply(place.desk(), "terminal:1", "what is wrong?", ADA)
    with place.services.store.write() as session:
        turns.judged(session, answer.message, ADA, "down", "too short", NOW)
        facts = period_facts(session, start=day(30), end=NOW)
    assert (facts.talk.questions, facts.talk.answers, facts.talk.down) == (1, {"offline": 1}, 1)
    assert "Asked in conversation: 1 times (answered: 1 by offline). Thumbs: 0 up, 1 down" in render(
        facts.to_json(), "md"
    )
    assert "too short" in render(facts.to_json(), "md")
