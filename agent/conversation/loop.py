"""The one loop: LangChain's `create_agent` with our catalogue as tools, over whatever model is asked.

Imports LangChain: only what answers imports this. Which model answers is `Asks`; tools run through `Toolbox` and give
fenced text. A model that goes in circles is given up.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langsmith import tracing_context

from agent.conversation.desk import Caller, Done, Event, Listener, Toolbox
from agent.conversation.guard.fence import fenced_text
from tools.catalogue import CATALOGUE
from tools.results import Status, error

SAME_CALL = 3
"""A call that is made this often in one answer is a circle."""
MOST_STEPS = 80
LONGEST_RESULT = 24_000


class Asks(Protocol):
    """Who is asked: `Attempts`, or the offline model alone."""

    async def ask(self, do: Callable[[BaseChatModel], Any], *, size: int, tools: bool) -> AIMessage: ...

    def give_up(self, reason: str) -> None: ...


@dataclass
class Loop:
    """One answer. `done` grows while it is made, so that what was found is there whatever happens to the model.

    nonce: of the marks around untrusted text. effects: which tools there are.
    """

    asks: Asks
    toolbox: Toolbox
    caller: Caller
    nonce: str
    on_event: Listener
    effects: frozenset[str] = frozenset({"read"})
    on_text: Callable[[str], None] = lambda text: None
    on_new_text: Callable[[], None] = lambda: None
    done: list[Done] = field(default_factory=list)
    said: list[BaseMessage] = field(default_factory=list)

    async def run(self, system: str, messages: Sequence[BaseMessage]) -> str:
        """The text that the model ends with; `said` has the messages that led to it. Raises: what `asks` raises."""
        agent: Any = create_agent(
            FakeListChatModel(responses=[]),  # every call goes to whom `asks` chooses
            tools=[_described(name) for name, tool in CATALOGUE.items() if tool.effect in self.effects],
            system_prompt=system,
            middleware=[_Policy(self)],
        )
        last = ""
        with tracing_context(enabled=False):  # nothing leaves the house but to the model that is configured
            stream = agent.astream(
                {"messages": list(messages)}, {"recursion_limit": MOST_STEPS}, stream_mode=["messages", "updates"]
            )
            async for mode, piece in stream:
                if mode == "messages":
                    self._heard(piece[0])
                else:
                    for message in _messages(piece):
                        self.said.append(message)
                        if isinstance(message, AIMessage) and not message.tool_calls:
                            last = message.text
        return last

    def _heard(self, message: Any) -> None:
        if isinstance(message, AIMessageChunk) and message.text:
            self.on_text(message.text)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Done:
        """One tool call; the same call again gets the same result, and is not made again."""
        known = next((one for one in self.done if (one.name, one.arguments) == (name, arguments)), None)
        if known is not None and CATALOGUE.get(name) is not None:
            return known
        self.on_event(Event("status", f"Looking at {name.replace('_', ' ')} …"))
        tool = CATALOGUE.get(name)
        if tool is not None and tool.effect not in self.effects:
            result = error(f"{name} is not at hand here.")
        else:
            result = await asyncio.to_thread(self.toolbox.call, name, arguments, self.caller)
        made = Done(name, arguments, result)
        self.done.append(made)
        told = {"tool": name, "arguments": dict(arguments), "status": str(result.status), "source": result.source}
        self.on_event(Event("tool", name, told))
        return made


class _Policy(AgentMiddleware[Any, Any]):
    """Where the loop asks a model or calls a tool, we say how."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop
        self._calls: Counter[str] = Counter()

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        size = len(str(request.system_message)) + sum(len(str(message.content)) for message in request.messages)
        answered: Any = None

        async def do(model: BaseChatModel) -> AIMessage:
            nonlocal answered
            self._loop.on_new_text()
            answered = await handler(request.override(model=model))
            message = answered.result[0]
            assert isinstance(message, AIMessage)
            return message

        while True:
            message = await self._loop.asks.ask(do, size=size, tools=bool(request.tools))
            if not (circle := self._circle(message)):
                return answered
            self._loop.asks.give_up(circle)

    def _circle(self, message: AIMessage) -> str:
        for call in message.tool_calls:
            key = f"{call['name']} {json.dumps(call['args'], sort_keys=True, default=str)}"
            self._calls[key] += 1
            if self._calls[key] >= SAME_CALL:
                return "it asks for the same thing again and again"
        return ""

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> ToolMessage:
        call = request.tool_call
        made = await self._loop.call(str(call["name"]), dict(call["args"]))
        text = fenced_text(made.result.document(), self._loop.nonce)[:LONGEST_RESULT]
        status: Any = "error" if made.result.status is Status.ERROR else "success"
        return ToolMessage(text, tool_call_id=call["id"], name=call["name"], status=status, artifact=made.result)


def _described(name: str) -> StructuredTool:
    """A tool as a model sees it; it is run by the middleware, never by itself."""

    async def run(**arguments: Any) -> str:
        raise NotImplementedError(name)

    tool = CATALOGUE[name]
    return StructuredTool(name=name, description=tool.description, args_schema=tool.schema(), coroutine=run)


def _messages(update: Mapping[str, Any]) -> list[BaseMessage]:
    return [message for state in update.values() for message in (state or {}).get("messages", ())]
