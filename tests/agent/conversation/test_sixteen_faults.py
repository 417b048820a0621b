"""Sixteen faults of a model's server x chat, investigation, report: a labelled, deterministic answer in time, with its
evidence, and nothing lost. The real client against a real server on a loopback port."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agent.conversation.chat import reply
from agent.conversation.investigate import Question, look_further
from agent.conversation.llm import LanguageModels
from agent.conversation.narrate import narrate
from agent.reports.period import period_facts
from agent.store.tables import Diagnosis, Message, Usage
from tests.agent.conversation.workplace import ADA, NOW, Heard, Workplace, models, workplace
from tests.agent.reports.story import day
from tests.fake_openai.faults import Fault
from tests.fake_openai.server import fake_openai

DEADLINE, LATER = 1.2, 2.0
Outcome = tuple[float, Any, int]
"""Seconds, what came of it, and how often the server was asked: not at all, where a busy machine used up the time."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    folder: Path = tmp_path_factory.mktemp("faults")
    with workplace(folder) as made:
        reply(made.desk(), "terminal:warm", "what is wrong?", ADA)  # what is imported and learnt once
        with fake_openai([Fault.SERVER_ERROR]) as server:
            narrate(made.desk(models(server.url)), {"summary": ""})
        yield made


def each(work: Callable[[Fault, LanguageModels], Any]) -> dict[Fault, Outcome]:
    """The work under each fault, four at a time."""

    def one(fault: Fault) -> tuple[Fault, Outcome]:
        with fake_openai([fault]) as server:
            chosen = models(server.url, deadline=str(DEADLINE))
            began = time.monotonic()
            result = work(fault, chosen)
            return fault, (time.monotonic() - began, result, len(server.requests))

    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(one, Fault))


def rows(place: Workplace, table: Any) -> list[Any]:
    with place.services.store.read() as session:
        return list(session.scalars(select(table)))


def test_chat(place):
    heard = {fault: Heard() for fault in Fault}
    before = {row.id for row in rows(place, Usage)}
    plain = reply(place.desk(), "terminal:plain", "what is wrong?", ADA).text
    found = each(
        lambda fault, chosen: reply(place.desk(chosen), f"terminal:{fault.name}", "what is wrong?", ADA, heard[fault])
    )
    kept = {row.id: row for row in rows(place, Message)}
    for fault, (seconds, answer, _) in found.items():
        assert seconds < DEADLINE + LATER, fault
        assert answer.model == "offline", fault
        assert answer.labelled.startswith("Answered without a language model: "), fault
        assert answer.text == f"{plain}\n({answer.labelled})", fault  # the same words, whatever had gone wrong
        assert answer.sources == [place.incident], fault
        assert any(one["result"]["data"].get("incidents") for one in answer.evidence), fault
        assert kept[answer.message].text == answer.text, fault
        assert [event.kind for event in heard[fault]][-1] == "done", fault
        assert heard[fault].text() == "", fault  # nothing that the broken model said is left standing
    questions = [row for row in kept.values() if row.role == "person" and row.text == "what is wrong?"]
    assert len(questions) >= len(Fault)
    spent = [row for row in rows(place, Usage) if row.id not in before and row.purpose == "chat"]
    asked = {kept[answer.message].conversation_id for _, answer, times in found.values() if times}
    assert len(asked) >= len(Fault) - 2
    assert {row.conversation_id for row in spent} >= asked
    assert not {row.outcome for row in spent} & {""}


def test_investigation(place):
    with place.services.store.read() as session:
        document = session.get_one(Diagnosis, place.diagnosis).document
    question = Question(place.incident, "bike-demand", document, {"retrain": {}})
    plain = look_further(place.desk(), question)["narrative"]
    assert (plain["by"], plain["label"]) == ("template", "")
    found = each(lambda fault, chosen: look_further(place.desk(chosen), question))
    for fault, (seconds, after, _) in found.items():
        assert seconds < DEADLINE + LATER, fault
        narrative = after.pop("narrative")
        assert after == document, fault  # evidence, causes, action: all as they were
        assert narrative["by"] == "template", fault
        assert narrative["text"] == plain["text"], fault
        assert narrative["label"].startswith("Told without a language model: openai:") or "budget" in narrative["label"]
    spent = [row for row in rows(place, Usage) if row.purpose == "investigation"]
    assert sum(row.calls for row in spent) >= sum(times > 0 for _, _, times in found.values()) >= len(Fault) - 2


def test_report(place):
    with place.services.store.read() as session:
        facts = period_facts(session, model=None, start=day(30), end=NOW).to_json()
    assert (narrate(place.desk(), facts).text, narrate(place.desk(), facts).by) == (facts["summary"], "template")
    found = each(lambda fault, chosen: narrate(place.desk(chosen), facts))
    for fault, (seconds, told, _) in found.items():
        assert seconds < DEADLINE + LATER, fault
        assert (told.text, told.by) == (facts["summary"], "template"), fault
        assert told.label.startswith("Written without a language model: openai:"), fault
        assert told.labelled.endswith(f"({told.label})"), fault
