"""The catalogue as LangChain tools: run by a real agent loop, told of each call, fenced, whatever the arguments are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage

from tools.catalogue import CATALOGUE
from tools.context import ToolContext
from tools.langchain import as_langchain
from tools.results import Status, ToolResult

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Scripted(GenericFakeChatModel):
    """Says what it was told to say; takes tools as a real model does."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self


def calling(*calls: tuple[str, dict[str, Any]]) -> AIMessage:
    made = [{"name": name, "args": args, "id": f"c{n}", "type": "tool_call"} for n, (name, args) in enumerate(calls)]
    return AIMessage(content="", tool_calls=made)


def test_an_agent_reads_several_at_once_and_proposes(context: ToolContext):
    seen: list[tuple[str, dict[str, Any], ToolResult]] = []
    tools = as_langchain(
        context,
        lambda name, given, result: seen.append((name, given, result)),
        lambda name, result: f"<{name}>{result.status}</{name}>",
    )
    assert [(tool.name, tool.description) for tool in tools] == [(t.name, t.description) for t in CATALOGUE.values()]
    script = [
        calling(("models", {}), ("drift", {"model": "bike-demand"}), ("runbooks", {"name": "drift"})),
        calling(("propose_silence", {"model": "idle", "until": "24h", "why": "planned"})),
        AIMessage(content="done"),
    ]
    agent = create_agent(Scripted(messages=iter(script)), tools)
    out = agent.invoke({"messages": [{"role": "user", "content": "look, then silence idle"}]})["messages"]
    told = [message.content for message in out if isinstance(message, ToolMessage)]
    assert told == [f"<{n}>ok</{n}>" for n in ("models", "drift", "runbooks", "propose_silence")]
    assert sorted(name for name, _, _ in seen) == ["drift", "models", "propose_silence", "runbooks"]
    assert all(result.status is Status.OK for _, _, result in seen)


@pytest.mark.parametrize(
    "given",
    [
        {"self": 1}, {"config": {"x": 1}}, {"run_manager": 2}, {"args": [1]}, {"kwargs": {}}, {"context": 1},
        {"model": {"a": "b"}}, {"callbacks": []}, {"tool_input": "x"}, {"name": "x"}, {},
    ],
)  # fmt: skip
def test_whatever_arguments_are_named_the_answer_is_in_words(given: dict[str, Any], context: ToolContext):
    (tool,) = [tool for tool in as_langchain(context) if tool.name == "measurements"]
    message = tool.invoke({"name": "measurements", "args": given, "id": "c1", "type": "tool_call"})
    assert message.artifact.status is Status.ERROR
    assert "Its arguments: model" in message.content
