"""`ask`: one question, answered from the records."""

from __future__ import annotations

from typing import Any

from agent.commands.output import console
from agent.conversation.questions import answer
from agent.domain.errors import InvalidInput
from agent.pipeline.services import Services


def answer_question(services: Services, question: str) -> dict[str, Any]:
    """The answer, the ids of what it rests on, and its figures. Raises: InvalidInput for an empty question."""
    if not question.strip():
        raise InvalidInput('The question is empty; try `watchkeeper ask "what is wrong"`.')
    now = services.now()
    with services.store.read() as session:
        found = answer(session, question, now=now)
    return {"answer": found.text, "sources": found.sources, "data": found.data}


def render_answer(told: dict[str, Any]) -> None:
    """For a person."""
    console.print(told["answer"], markup=False)
