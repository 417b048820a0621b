"""A LangChain chat model that needs no network and no weights: requests in, tool calls, then answers with sources."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

from agent.conversation.offline import answer
from agent.conversation.offline.dialogue import OF_FEATURES, Turn, understand
from agent.conversation.offline.entities import Known
from agent.conversation.offline.plan import next_calls
from agent.conversation.offline.situation import Call, Done, Situation, Unclear
from agent.domain.wording import names

NAME = "offline"
MOST_CALLS = 24
"""Calls for one request; a plan ends long before."""
_MARK = re.compile(r"⟦/?data [0-9a-f]{4,32}⟧")
_WORDS = re.compile(r"\S+\s*")


class OfflineChat(BaseChatModel):
    """Reads the last request (and earlier ones, for follow-ups), calls tools that are bound, tells what they gave.

    features: what is known of the workspace (each model's features), so that it need not be asked for. clock: the time
    that `yesterday` is counted from.
    """

    features: dict[str, tuple[str, ...]] | None = None
    clock: Callable[[], datetime] = Field(default=lambda: datetime.now(UTC), exclude=True)

    @property
    def _llm_type(self) -> str:
        return NAME

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": NAME}

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        bound = frozenset(str(tool["function"]["name"]) for tool in kwargs.get("tools") or [])
        reply = self.reply(messages, bound)
        return ChatResult(generations=[ChatGeneration(message=reply)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        whole = self._generate(messages, stop, run_manager, **kwargs).generations[0].message
        assert isinstance(whole, AIMessage), "an answer is the model's"
        for chunk in _chunks(whole):
            if run_manager is not None and chunk.text:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def reply(self, messages: Sequence[BaseMessage], bound: frozenset[str]) -> AIMessage:
        """The next message: calls, while there are any to be made, then the answer."""
        turns, done = _read(messages)
        if not turns:
            return _message("Ask me something; “help” says what I can answer.")
        now = self.clock()
        known = self._known(done)
        situation = Situation(understand(turns, known, now), known, now, done)
        if self.features is None and (first := _to_know(situation)):
            return _calling(first, bound, len(done))
        said = answer.objection(situation)
        if said is not None:
            return _message(said)
        try:
            calls = next_calls(situation)
        except Unclear as question:
            return _message(_asked_back(str(question), situation))
        if calls and len(done) < MOST_CALLS:
            return _calling(calls, bound, len(done))
        return _message(answer.tell(situation))

    def _known(self, done: Sequence[Done]) -> Known:
        found: dict[str, tuple[str, ...]] = dict(self.features or {})
        for one in done:
            if one.call.name != "models":
                continue
            for model in one.data.get("models") or []:
                named = [f.get("name") if isinstance(f, Mapping) else f for f in model.get("features") or []]
                if named or str(model.get("name")) not in found:
                    found[str(model.get("name"))] = tuple(str(f) for f in named)
        return Known(found)


def _to_know(situation: Situation) -> list[Call]:
    """What must be read before the request can be understood: the models' names, then features that may be meant."""
    if situation.asked.intent in ("greeting", "thanks", "who_are_you", "freeze") and not situation.asked.strange:
        return []
    listed = [d for d in situation.of("models") if not d.call.arguments.get("model")]
    if not listed:
        return [Call("models")]
    if listed[-1].document.get("next") and len(listed) < 5:
        return [Call("models", {"cursor": listed[-1].document["next"]})]
    asked = situation.asked
    of_features = asked.intent in OF_FEATURES
    if asked.features or not (of_features or asked.strange):
        return []
    read = {d.call.arguments.get("model") for d in situation.of("models")}
    return [Call("models", {"model": m}) for m in (asked.models or situation.models)[:8] if m not in read]


def _asked_back(question: str, situation: Situation) -> str:
    if question.endswith((".", "?")):
        return question
    models = list(situation.models)
    return f"{question}: {names(models, 12)}?" if models else "There is no model under watch yet."


def _read(messages: Sequence[BaseMessage]) -> tuple[list[Turn], list[Done]]:
    """The conversation as turns, and what the tools gave since the last request."""
    turns: list[Turn] = []
    done: list[Done] = []
    waiting: dict[str, Call] = {}
    for message in messages:
        if isinstance(message, HumanMessage):
            turns.append(Turn(message.text))
            done, waiting = [], {}
        elif isinstance(message, AIMessage):
            waiting |= {str(c["id"]): Call(str(c["name"]), dict(c["args"])) for c in message.tool_calls}
            if turns and message.text.strip():
                turns[-1] = replace(turns[-1], answer=f"{turns[-1].answer}\n{message.text}".strip())
        elif isinstance(message, ToolMessage) and message.tool_call_id in waiting:
            done.append(Done(waiting[message.tool_call_id], _document(message)))
    return turns, done


def _document(message: ToolMessage) -> Mapping[str, Any]:
    """The result in a tool message: as it was handed along, else read from its text, without the marks of a fence."""
    handed = getattr(message.artifact, "document", None)
    if callable(handed):
        found = handed()
        return found if isinstance(found, Mapping) else {}
    if isinstance(message.artifact, Mapping) and "status" in message.artifact:
        return message.artifact
    text = _MARK.sub("", message.text)
    try:
        read = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        return {"status": "error", "message": text.strip()[:600] or "the tool gave nothing"}
    return read if isinstance(read, Mapping) and "status" in read else {"status": "ok", "data": read}


def _calling(calls: Sequence[Call], bound: frozenset[str], before: int) -> AIMessage:
    missing = [call.name for call in calls if call.name not in bound]
    if missing:
        if missing[0].startswith("propose_"):
            return _message("I may only read here, and propose nothing; `watchkeeper ask` in a terminal may propose.")
        return _message(f"I may not read what that needs (`{missing[0]}`) here; `watchkeeper ask` in a terminal may.")
    made: list[Any] = [
        {
            "name": c.name,
            "args": dict(c.arguments),
            "id": f"call_{before + n}_{uuid.uuid4().hex[:8]}",
            "type": "tool_call",
        }
        for n, c in enumerate(calls)
    ]
    return _message("", tool_calls=made)


def _message(text: str, **more: Any) -> AIMessage:
    nothing: Any = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    return AIMessage(content=text, response_metadata={"model_name": NAME}, usage_metadata=nothing, **more)


def _chunks(whole: AIMessage) -> Iterator[ChatGenerationChunk]:
    calls: list[Any] = [
        {"name": c["name"], "args": json.dumps(c["args"]), "id": c["id"], "index": n, "type": "tool_call_chunk"}
        for n, c in enumerate(whole.tool_calls)
    ]
    texts = _WORDS.findall(whole.text) or [""]
    for text in texts[:-1]:
        yield ChatGenerationChunk(message=AIMessageChunk(content=text))
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content=texts[-1],
            tool_call_chunks=calls,
            response_metadata=whole.response_metadata,
            usage_metadata=whole.usage_metadata,
            chunk_position="last",
        )
    )
