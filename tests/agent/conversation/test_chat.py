"""A conversation: tools and their sources, repair and marking, summaries, who may read what, budgets, stopping."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select

from agent.conversation import turns
from agent.conversation.budget import Limits
from agent.conversation.chat import reply
from agent.conversation.deadline import Stop, Stopped
from agent.domain.errors import InvalidInput, NotFound
from agent.store.tables import Conversation, Message, Proposal, Usage
from tests.agent.conversation.workplace import ADA, NOW, Heard, Workplace, models, workplace
from tests.fake_openai.faults import Fault
from tests.fake_openai.server import Turn, fake_openai

BEN = replace(ADA, name="ben")


@pytest.fixture
def place(tmp_path, database_url) -> Iterator[Workplace]:
    with workplace(tmp_path, database_url) as made:
        yield made


@pytest.fixture
def small(tmp_path) -> Iterator[Workplace]:
    with workplace(tmp_path) as made:
        yield made


def test_a_model_looks_then_answers_with_its_sources_sentence_by_sentence(place):
    said = f"There is one open incident on bike-demand [{place.incident}]. It is 93 % sure [{place.incident}]."
    script = [Turn(None, [("incidents", {"model": "bike-demand"}), ("models", {})]), Turn(said)]
    heard = Heard()
    with fake_openai(script) as server:
        answer = reply(place.desk(models(server.url)), "terminal:1", "what is wrong?", ADA, heard)
    assert (answer.text, answer.model, answer.labelled) == (said, "openai:gpt-4.1-mini", "")
    assert answer.sources == [place.incident]
    assert sorted(one["tool"] for one in answer.tool_calls) == ["incidents", "models"]  # side by side
    assert heard.text().split() == said.split()[: len(heard.text().split())]
    assert {event.kind for event in heard} >= {"status", "tool", "token", "source", "done"}
    told = [message for message in server.requests[1]["messages"] if message["role"] == "tool"]
    assert len(told) == 2
    assert any("⟦data " in message["content"] for message in told)  # what people wrote is fenced
    assert answer.usage["tokens"] == 104
    with place.services.store.read() as session:
        kept = session.get_one(Message, answer.message)
        results = {call["tool"]: call["result"]["data"] for call in kept.document["calls"]}
        assert results["incidents"]["incidents"][0]["id"] == place.incident
        assert kept.models == ["bike-demand"]
        spent = session.scalars(select(Usage)).one()
        assert (spent.calls, spent.tokens_in + spent.tokens_out, spent.person) == (2, 104, "ada")


def test_an_invented_number_is_repaired_once_and_never_shown(small):
    good = f"It is 93 % sure [{small.incident}]."
    script = [Turn(None, [("incidents", {})]), Turn(f"The loss rose by 4711 [{small.incident}]."), Turn(good)]
    heard = Heard()
    with fake_openai(script) as server:
        answer = reply(small.desk(models(server.url)), "terminal:1", "what is wrong?", ADA, heard)
    assert answer.text == good
    assert "4711" not in heard.text()
    assert "4711" in server.requests[2]["messages"][-1]["content"]  # the complaint names it


def test_what_cannot_be_repaired_is_not_told(small):
    bad = Turn(f"The loss rose by 4711 [{small.incident}].")
    with fake_openai([Turn(None, [("incidents", {})]), bad, bad]) as server:
        answer = reply(small.desk(models(server.url)), "terminal:1", "what is wrong?", ADA)
    assert "4711" not in answer.text
    assert answer.labelled == "Answered without a language model: nothing of its answer could be shown to be true."
    assert answer.sources == [small.incident]
    assert len(server.requests) == 3


def test_what_checks_is_kept_of_an_answer_that_does_not(small):
    half = Turn(f"It is 93 % sure [{small.incident}]. The loss rose by 4711 [{small.incident}].")
    with fake_openai([Turn(None, [("incidents", {})]), half, half]) as server:
        answer = reply(small.desk(models(server.url)), "terminal:1", "what is wrong?", ADA)
    assert answer.model == "openai:gpt-4.1-mini"
    assert "It is 93 % sure" in answer.text
    assert "4711 [" not in answer.text


def test_a_second_model_takes_over_and_the_answer_says_so(small):
    def script(body):
        return Fault.SERVER_ERROR if body["model"] == "a" else Turn("I can look at the records for you.")

    with fake_openai(script) as server:
        answer = reply(small.desk(models(server.url, "openai:a,openai:b")), "terminal:1", "hello", ADA)
    assert answer.model == "openai:b"
    assert answer.labelled == "Answered by openai:b; openai:a: its server failed (500)."
    assert answer.labelled in answer.text


def test_a_spent_budget_answers_offline_and_says_so(small):
    with fake_openai([Turn("paid")]) as server:
        chosen = models(server.url)
        chosen = replace(chosen, budgets=replace(chosen.budgets, day=Limits(calls=0)))
        answer = reply(small.desk(chosen), "terminal:1", "what is wrong?", ADA)
        assert server.requests == []
    assert answer.model == "offline"
    assert "the budget of the day is spent (0 of 0 calls)" in answer.text
    assert small.incident in answer.sources


def test_the_hour_is_each_persons_own_and_the_day_is_everybodys(small):
    with fake_openai([Turn("I can look at the records.")]) as server:
        chosen = models(server.url, hourly_budget="calls=1", daily_budget="calls=2")
        by = [reply(small.desk(chosen), f"terminal:{who.name}", "hello", who).model for who in (ADA, ADA, BEN, BEN)]
        third = reply(small.desk(chosen), "terminal:cy", "hello", replace(ADA, name="cy"))
    assert [one.partition(":")[0] for one in by] == ["openai", "offline", "openai", "offline"]
    assert "of the day is spent (2 of 2 calls)" in third.labelled


def test_stopping_ends_the_call_and_keeps_the_question(small):
    stop = Stop()
    with fake_openai([Fault.HANG]) as server:
        threading.Timer(0.5, stop.set).start()
        with pytest.raises(Stopped):
            reply(small.desk(models(server.url, deadline="20")), "terminal:1", "what is wrong?", ADA, stop=stop)
        deadline = time.monotonic() + 5
        while not server.went_away and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.went_away == 1
    with small.services.store.read() as session:
        assert [row.text for row in session.scalars(select(Message))] == ["what is wrong?"]


def test_a_proposal_that_was_filed_is_not_filed_again_by_who_takes_over(small):
    def script(body):
        if any(message["role"] == "tool" for message in body["messages"]):
            return Fault.SERVER_ERROR
        return Turn(
            None, [("propose_silence", {"model": "bike-demand", "until": "2026-02-20T00:00:00Z", "why": "known"})]
        )

    with fake_openai(script) as server:
        asked = "silence bike-demand until 2026-02-20"
        answer = reply(small.desk(models(server.url, deadline="60")), "terminal:1", asked, ADA)
    assert answer.model == "offline"
    with small.services.store.read() as session:
        filed = session.scalars(select(Proposal)).all()
    made = [one for one in answer.tool_calls if one["tool"].startswith("propose_") and one["status"] == "ok"]
    assert len(filed) == len(made) == 1


def test_the_same_key_is_answered_once(small):
    first = reply(small.desk(), "web:k", "what is wrong?", ADA, once="k")
    assert reply(small.desk(), "web:k", "what is wrong?", ADA, once="k") == first
    with small.services.store.read() as session:
        assert len(session.scalars(select(Message)).all()) == 2


def test_a_conversation_is_its_persons_and_a_shared_one_shows_each_what_they_may_see(place):
    desk = place.desk()
    mine = reply(desk, "terminal:ada:1", "what is wrong?", ADA)
    with pytest.raises(NotFound, match="of yours"):
        reply(desk, mine.conversation, "and now?", BEN)
    thread = reply(desk, "slack:T/C/1", "what is wrong?", ADA, shared=True)
    narrow = replace(BEN, models=frozenset({"other-*"}))
    with place.services.store.read() as session:
        row = session.get_one(Conversation, thread.conversation)
        assert [message.role for message in turns.messages(session, row, BEN)] == ["person", "watchkeeper"]
        assert [message.role for message in turns.messages(session, row, narrow)] == ["person"]
        assert [found.id for found in turns.listed(session, ADA)] == [mine.conversation]
    assert place.incident not in reply(desk, "slack:T/C/1", "what is wrong?", narrow, shared=True).text


def test_long_ones_are_summed_up_by_the_model_and_without_one_by_rule(small):
    with small.services.store.write() as session:
        row = turns.opened(session, "terminal:long", ADA, NOW)
        for number in range(20):
            turns.asked(session, row, f"question {number}?", ADA, NOW)
            turns.answered(
                session, row, f"Answer {number}. More.", at=NOW, written_by="offline", label="", models=[], document={}
            )
    with fake_openai([Turn("They asked twenty things."), Turn("I can look at the records.")]) as server:
        reply(small.desk(models(server.url)), "terminal:long", "hello", ADA)
    assert "Sum up" in server.requests[0]["messages"][0]["content"]
    told = server.requests[1]["messages"]
    assert "They asked twenty things." in told[0]["content"]
    assert [message["content"] for message in told[1:3]] == ["question 16?", "Answer 16. More."]
    with small.services.store.read() as session:
        row = session.scalars(select(Conversation)).one()
        assert (row.summary, row.summary_by, row.summarised_to) == (
            "They asked twenty things.", "openai:gpt-4.1-mini", 32,
        )  # fmt: skip
        assert len(turns.messages(session, row, ADA)) == 42  # the messages stay
    said = [(role, f"{role} {number}.") for number in range(2) for role in ("person", "watchkeeper")]
    assert turns.by_rule("Asked: a Answered: b.", said).splitlines() == [
        "Asked: a Answered: b.",
        "Asked: person 0. Answered: watchkeeper 0.",
        "Asked: person 1. Answered: watchkeeper 1.",
    ]


def test_a_thumb_and_its_reason_are_kept_and_the_last_word_counts(place):
    answer = reply(place.desk(), "terminal:1", "what is wrong?", ADA)
    with place.services.store.write() as session:
        turns.judged(session, answer.message, ADA, "up", "", NOW)
        given, _ = turns.judged(session, answer.message, ADA, "down", "too\x00 short", NOW)
        assert (given.thumb, given.reason) == ("down", "too short")
        with pytest.raises(NotFound):
            turns.judged(session, answer.message, BEN, "up", "", NOW)
        with pytest.raises(InvalidInput):
            turns.judged(session, answer.message, ADA, "sideways", "", NOW)


@pytest.mark.parametrize("text", ["", "  \x00 ", "x" * 8_001])
def test_what_is_no_question_is_refused(small, text):
    with pytest.raises(InvalidInput):
        reply(small.desk(), "terminal:1", text, ADA)


def test_a_key_is_never_shown_whoever_says_it(small):
    with fake_openai([Turn("I was given sk-test-0123456789 and see https://evil.example/x.")]) as server:
        answer = reply(small.desk(models(server.url)), "terminal:1", "your key?", ADA)
    assert "sk-test-0123456789" not in answer.text
    assert "evil.example" not in answer.text


def test_offline_answers_without_the_vendors_client(tmp_path):
    import subprocess
    import sys

    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from tests.agent.conversation.workplace import *\n"
        "from agent.conversation.chat import reply\n"
        f"with workplace(Path({str(tmp_path)!r})) as place:\n"
        "    print(reply(place.desk(), 'terminal:1', 'what is wrong?', ADA).model, 'openai' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["offline", "False"]
