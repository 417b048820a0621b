"""`ask` and `chat` in a terminal: streaming, history, the evidence behind an answer, feedback."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select

from agent.commands import chat as chat_command
from agent.commands.ask import answer_question, place_of
from agent.commands.chat import HELP, Chat, command
from agent.commands.speaking import Speaking
from agent.conversation.desk import Event
from agent.domain.errors import InvalidInput, NotFound
from agent.store.tables import Conversation, Feedback
from tests.agent.conversation.workplace import ADA, Workplace, models, workplace
from tests.fake_openai.server import Turn, fake_openai


@pytest.fixture
def place(tmp_path) -> Iterator[Workplace]:
    with workplace(tmp_path) as made:
        yield made


def typed(place: Workplace, capsys: pytest.CaptureFixture[str], *lines: str) -> list[str]:
    """What the terminal shows after each line."""
    talk = Chat(place.services, ADA, place_of(ADA))
    shown = []
    for line in lines:
        talk.take(line)
        shown.append(capsys.readouterr().out)
    return shown


def test_ask_answers_from_the_workspace_with_its_sources(place):
    told = answer_question(place.services, "what is wrong?", "ada")
    assert told["sources"] == [place.incident]
    assert (told["model"], told["labelled"]) == ("offline", "")
    assert told["data"]["models"] == ["bike-demand"]
    assert json.loads(json.dumps(told)) == told
    with pytest.raises(InvalidInput, match="question is empty"):
        answer_question(place.services, "  ")


def test_a_conversation_shows_its_evidence_and_keeps_its_history(place, capsys):
    shown = typed(
        place, capsys, "what is wrong?", "/show", "/show 1", "why?", "/history", "/down too short", "/up", "/help",
        "/conversations", "/new", "/history", "/show", "",
    )  # fmt: skip
    assert place.incident in shown[0]
    assert "models()" in shown[1]
    assert "incidents(" in shown[1]
    assert f"Cited: {place.incident}" in shown[1]
    assert json.loads(shown[2])["result"]["status"] == "ok"
    assert "For it:" in shown[3]  # a follow-up: of what was spoken about
    assert "you: what is wrong?" in shown[4]
    assert HELP in shown[7]
    assert "what is wrong?" in shown[8]
    assert shown[10:] == [
        "Nothing was said yet.\n",
        "There is no answer yet, or it needed no look at the records.\n",
        "",
    ]
    with place.services.store.read() as session:
        given = session.scalars(select(Feedback)).one()
        assert (given.thumb, given.reason, given.person) == ("up", "", "ada")


def test_words_come_as_they_are_written(place, capsys):
    said = f"There is one incident [{place.incident}]. It is open [{place.incident}]."
    with fake_openai([Turn(None, [("incidents", {})]), Turn(said)]) as server:
        services = replace(place.services, llm=models(server.url))
        told = answer_question(services, "what is wrong?", "ada", Speaking())
    assert " ".join(capsys.readouterr().out.split()) == " ".join(told["answer"].split())


def test_what_was_shown_is_corrected_where_the_answer_differs():
    out = io.StringIO()
    speaking = Speaking(out, io.StringIO())
    for event in (Event("token", "All is well. "), Event("done", "Nothing is known.")):
        speaking(event)
    assert out.getvalue() == "All is well. \n\nCorrected:\nNothing is known.\n"
    out.truncate(0)
    speaking(Event("token", "All "))
    speaking(Event("status", "", {"restart": True}))
    speaking(Event("token", "Not\n"))
    speaking(Event("done", "Not all."))
    assert out.getvalue().endswith("\nNot\n all.\n")


def test_an_earlier_conversation_is_gone_on_with_by_its_person_only(place, monkeypatch, capsys):
    typed(place, capsys, "what is wrong?")
    with place.services.store.read() as session:
        known = session.scalars(select(Conversation)).one().id
    lines = iter(["/history", "/quit"])
    monkeypatch.setattr(chat_command.Chat, "run", lambda self: [self.take(line) for line in lines if line != "/quit"])
    command(place.services, "ada", known)
    assert "you: what is wrong?" in capsys.readouterr().out
    with pytest.raises(NotFound):
        command(place.services, "ben", known)


def test_the_loop_ends_with_the_input_and_survives_a_refusal(place, capsys):
    lines = iter(["x" * 9_000, "/quit"])
    Chat(place.services, ADA, place_of(ADA), lambda prompt: next(lines)).run()
    assert "longer than 8000 characters" in capsys.readouterr().out

    def ended(prompt: str) -> str:
        raise EOFError

    Chat(place.services, ADA, place_of(ADA), ended).run()
    assert "/help says what there is" in capsys.readouterr().out
