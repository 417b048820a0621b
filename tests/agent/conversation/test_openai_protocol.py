"""The vendor's own client and LangChain's against our server on a loopback port: the real protocol on both sides."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.fake_openai.server import FakeOpenAI, Turn, fake_openai

WEATHER = {
    "type": "function",
    "function": {
        "name": "drift",
        "description": "drift of a model",
        "parameters": {"type": "object", "properties": {"model": {"type": "string"}}},
    },
}


class Verdict(BaseModel):
    cause: str
    sure: float


def client(server: FakeOpenAI) -> OpenAI:
    return OpenAI(base_url=server.url, api_key="k", max_retries=0, timeout=5)


def test_the_vendors_client_reads_text_tools_and_usage_whole_and_streamed():
    turn = Turn("two calls", [("drift", {"model": "bike"}), ("drift", {"model": "rain"})], 30, 9)
    with fake_openai([turn]) as server, client(server) as openai:
        asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [WEATHER]}
        whole = openai.chat.completions.create(**asked)
        with openai.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}) as stream:
            chunks = list(stream)
    calls = whole.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"model": "bike"}', '{"model": "rain"}']
    assert whole.usage.total_tokens == 39
    parts = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    streamed = ["".join(part.function.arguments for part in parts if part.index == index) for index in (0, 1)]
    assert streamed == ['{"model": "bike"}', '{"model": "rain"}']
    assert chunks[-1].usage.prompt_tokens == 30
    assert server.headers[0]["authorization"] == "Bearer k"


def test_structured_output_with_both_clients():
    turn = Turn('{"cause": "data_pipeline_fault", "sure": 0.8}')
    with fake_openai([turn]) as server, client(server) as openai:
        asked: Any = [{"role": "user", "content": "why?"}]
        parsed = openai.chat.completions.parse(model="m", messages=asked, response_format=Verdict)
        assert parsed.choices[0].message.parsed == Verdict(cause="data_pipeline_fault", sure=0.8)
        schema = server.requests[0]["response_format"]
        assert schema["type"] == "json_schema"
        assert set(schema["json_schema"]["schema"]["required"]) == {"cause", "sure"}

        async def ask() -> Verdict:
            async with AsyncOpenAI(base_url=server.url, api_key="k") as vendor:
                model = ChatOpenAI(
                    model="m", api_key="k", base_url=server.url, max_retries=0,
                    root_async_client=vendor, async_client=vendor.chat.completions,
                )  # fmt: skip
                return await model.with_structured_output(Verdict, method="json_schema").ainvoke("why?")

        assert asyncio.run(ask()) == Verdict(cause="data_pipeline_fault", sure=0.8)


def test_several_steps_with_parallel_tool_calls_through_langchain():
    def script(body):
        results = [message for message in body["messages"] if message["role"] == "tool"]
        if not results:
            return Turn(None, [("drift", {"model": "bike"}), ("drift", {"model": "rain"})])
        return Turn(" and ".join(message["content"] for message in results))

    async def ask(server: FakeOpenAI) -> tuple[list, str]:
        async with AsyncOpenAI(base_url=server.url, api_key="k") as vendor:
            model = ChatOpenAI(
                model="m", api_key="k", base_url=server.url, max_retries=0, stream_usage=True,
                root_async_client=vendor, async_client=vendor.chat.completions,
            ).bind_tools([WEATHER])  # fmt: skip
            messages = [HumanMessage("which drift?")]
            first: Any = None
            async for chunk in model.astream(messages):
                first = chunk if first is None else first + chunk
            done = [ToolMessage(f"{call['args']['model']} moved", tool_call_id=call["id"]) for call in first.tool_calls]
            last = await model.ainvoke([*messages, first, *done])
            return first.tool_calls, last.text

    with fake_openai(script) as server:
        calls, text = asyncio.run(ask(server))
    assert [call["args"]["model"] for call in calls] == ["bike", "rain"]
    assert text == "bike moved and rain moved"
    assert [message["role"] for message in server.requests[1]["messages"]] == ["user", "assistant", "tool", "tool"]


def test_a_client_that_cancels_is_seen_by_the_server():
    async def ask(server: FakeOpenAI) -> None:
        async with AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0) as vendor:
            stream = await vendor.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            async for _ in stream:
                await stream.close()
                return

    with fake_openai([Turn("one two three four five", pause=0.05)]) as server:
        asyncio.run(ask(server))
        deadline = time.monotonic() + 5
        while not server.went_away and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.went_away == 1


def test_a_model_is_opened_by_its_setting_without_retries_of_its_own():
    from agent.conversation.deadline import within
    from agent.conversation.llm import configured, opened
    from tests.fake_openai.faults import Fault

    with fake_openai([Fault.SERVER_ERROR]) as server:
        models = configured("openai:small", key="k", base_url=server.url)

        async def ask() -> None:
            async with opened(models, "openai:small") as model:
                await model.ainvoke("hi")

        with pytest.raises(Exception, match="500"):
            within(5, ask)
    assert [request["model"] for request in server.requests] == ["small"]
