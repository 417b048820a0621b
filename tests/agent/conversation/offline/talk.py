"""A conversation with the offline model, by the protocol of any chat model: calls in, tool messages back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from agent.conversation.offline.model import OfflineChat
from tests.agent.conversation.offline.workspace import NOW, Workspace
from tools.catalogue import CATALOGUE
from tools.results import ToolResult

TOOLS = [
    {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema()}}
    for tool in CATALOGUE.values()
]


@dataclass
class Answered:
    text: str
    calls: list[tuple[str, Mapping[str, Any]]]
    results: list[ToolResult]

    def called(self, tool: str, **arguments: Any) -> bool:
        """Whether a tool was called with these arguments among others."""
        return any(name == tool and arguments.items() <= dict(given).items() for name, given in self.calls)


@dataclass
class Talk:
    """`features`: what the model is told of the workspace beforehand; None: it has to ask."""

    place: Workspace
    features: dict[str, tuple[str, ...]] | None = None
    messages: list[BaseMessage] = field(default_factory=list)

    def ask(self, text: str) -> Answered:
        model = OfflineChat(clock=lambda: NOW, features=self.features).bind_tools(TOOLS)
        self.messages.append(HumanMessage(self.place.named(text)))
        calls: list[tuple[str, Mapping[str, Any]]] = []
        results: list[ToolResult] = []
        for _ in range(8):
            reply = model.invoke(self.messages)
            assert isinstance(reply, AIMessage)
            self.messages.append(reply)
            if not reply.tool_calls:
                return Answered(reply.text, calls, results)
            for call in reply.tool_calls:
                found = self.place.call(call["name"], call["args"])
                calls.append((call["name"], call["args"]))
                results.append(found)
                self.messages.append(ToolMessage(json.dumps(found.document()), tool_call_id=call["id"]))
        raise AssertionError(f"no end to the calls for {text!r}: {calls}")
