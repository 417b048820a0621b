"""What a conversation works with; `agent.pipeline.toolbox` puts it together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from agent.conversation.deadline import Stop
from agent.conversation.llm import LanguageModels
from agent.store.session import Store
from tools.context import Caller
from tools.results import ToolResult


class Toolbox(Protocol):
    """Calls one tool of the catalogue in a transaction of its own, so that calls may run side by side."""

    def call(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> ToolResult: ...


@dataclass(frozen=True)
class Desk:
    """`now` is the watch's time, `wall` the real one (budgets); links may lead to `public_url` alone."""

    models: LanguageModels
    store: Store
    toolbox: Toolbox
    now: Callable[[], datetime]
    wall: Callable[[], datetime]
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """One tool call that was made, and what came back."""

    name: str
    arguments: Mapping[str, Any]
    result: ToolResult

    def document(self) -> dict[str, Any]:
        return {"tool": self.name, "arguments": dict(self.arguments), "result": self.result.document()}


@dataclass(frozen=True, slots=True)
class Event:
    """What happens while an answer is made.

    status: a sentence. token: the next piece of the answer, checked and filtered (`data["restart"]`: what was sent
    before counts no more). tool: a call and how it ended. source: an id that the answer rests on. done: the whole
    answer. error: there is none, and why.
    """

    kind: Literal["status", "token", "tool", "source", "done", "error"]
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


def nobody(event: Event) -> None:
    """A listener that does not listen."""


__all__ = ["Caller", "Desk", "Done", "Event", "Listener", "Stop", "Toolbox", "nobody"]
