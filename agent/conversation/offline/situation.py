"""What a plan and an answer are made from: the request, what is known of the workspace, and what the tools gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.conversation.offline.dialogue import Asked
from agent.conversation.offline.entities import Known

MOST_MODELS = 6
"""Models that a request which names none is answered for; above it, which one is asked back."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """A call and the document that it gave (`ToolResult.document()`)."""

    call: Call
    document: Mapping[str, Any]

    @property
    def data(self) -> Mapping[str, Any]:
        found = self.document.get("data")
        return found if isinstance(found, Mapping) else {}

    @property
    def ok(self) -> bool:
        return self.document.get("status") == "ok"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a plan and an answer are made from."""

    asked: Asked
    known: Known
    now: datetime
    done: Sequence[Done] = ()

    def of(self, name: str) -> list[Done]:
        return [done for done in self.done if done.call.name == name]

    @property
    def models(self) -> tuple[str, ...]:
        return self.asked.models or tuple(self.known.models)


class Unclear(Exception):
    """What has to be asked back; the text is the question."""


Plan = Callable[[Situation], list[Call]]


def given(**arguments: Any) -> dict[str, Any]:
    return {
        key: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for key, value in arguments.items()
        if value not in (None, "", (), [])
    }


def few(situation: Situation) -> tuple[str, ...]:
    if len(situation.models) > MOST_MODELS:
        raise Unclear(f"Which model do you mean? There are {len(situation.models)}: name one.")
    return situation.models


def one_model(situation: Situation) -> str:
    if len(situation.models) == 1:
        return situation.models[0]
    raise Unclear("Which model do you mean")


def having(situation: Situation) -> tuple[str, ...]:
    holders = situation.known.having(situation.asked.features[0]) if situation.asked.features else ()
    named = tuple(m for m in situation.asked.models if m in holders) or situation.asked.models
    return named or holders or few(situation)
