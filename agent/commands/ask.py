"""`ask`: one question in plain language, answered with its sources."""

from __future__ import annotations

import secrets
from typing import Any

from agent.commands.output import console
from agent.commands.speaking import Speaking
from agent.commands.workspace import me
from agent.conversation.chat import Reply, reply
from agent.conversation.desk import Caller, Listener, nobody
from agent.conversation.resting import spoken_of
from agent.pipeline.desk import desk_of
from agent.pipeline.services import Services


def caller_of(person: str | None) -> Caller:
    """Who asks at this terminal: whoever can read the workspace's files may read its records."""
    return Caller(person or me(), "person", None, may_propose=True)


def place_of(caller: Caller) -> str:
    """The key of a new conversation in a terminal."""
    return f"terminal:{caller.name}:{secrets.token_hex(6)}"


def answer_question(
    services: Services, question: str, person: str | None = None, on_event: Listener = nobody
) -> dict[str, Any]:
    """The answer with everything it rests on. Raises: InvalidInput for an empty question."""
    caller = caller_of(person)
    return document_of(reply(desk_of(services), place_of(caller), question, caller, on_event))


def document_of(answer: Reply) -> dict[str, Any]:
    """A reply as one JSON document; `data` has the figures that the tools gave."""
    return {
        "answer": answer.text,
        "sources": answer.sources,
        "model": answer.model,
        "labelled": answer.labelled,
        "conversation": answer.conversation,
        "message": answer.message,
        "tool_calls": answer.tool_calls,
        "usage": answer.usage,
        "data": {"models": spoken_of(answer.evidence), "facts": [one["result"] for one in answer.evidence]},
    }


def command(services: Services, question: str, person: str | None, *, as_json: bool) -> None:
    """Answer; for a person the words come as they are written."""
    if as_json:
        from agent.commands.output import print_json

        print_json(answer_question(services, question, person))
        return
    told = answer_question(services, question, person, Speaking())
    if told["usage"]["calls"]:
        console.print(f"{told['model']}: {told['usage']['told']}", style="dim", markup=False)
