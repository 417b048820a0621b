"""`POST /api/v1/chat`: server-sent events, conversations, feedback; a client that goes away stops the answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from agent.doors.api import chat
from agent.doors.api.app import create_app
from agent.store.tables import Message
from tests.agent.conversation.workplace import ADA, Workplace, models, workplace
from tests.fake_openai.faults import Fault
from tests.fake_openai.server import Turn, fake_openai

CHAT = "/api/v1/chat"


@pytest.fixture
def place(tmp_path) -> Iterator[Workplace]:
    with workplace(tmp_path) as made:
        yield made


def browser(place: Workplace, **services: Any) -> TestClient:
    return TestClient(create_app(replace(place.services, **services)), base_url="http://127.0.0.1")


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n", 1) for block in text.strip().split("\n\n") if not block.startswith(":")]
    return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in blocks]


def test_an_answer_comes_as_events_and_ends_with_the_whole(place):
    said = f"There is one incident [{place.incident}]. It is open [{place.incident}]."
    with fake_openai([Turn(None, [("incidents", {})]), Turn(said)]) as server:
        answer = browser(place, llm=models(server.url)).post(CHAT, json={"text": "what is wrong?"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    heard = events(answer.text)
    assert [kind for kind, _ in heard if kind != "token"] == ["status", "tool", "source", "done"]
    done = heard[-1][1]
    assert (done["text"], done["sources"], done["model"]) == (said, [place.incident], "openai:gpt-4.1-mini")
    assert "".join(data["text"] for kind, data in heard if kind == "token").strip() in said


def test_a_conversation_goes_on_is_read_and_judged(place):
    client = browser(place)
    plain = {"accept": "application/json"}
    first = client.post(CHAT, json={"text": "what is wrong?", "person": "ada"}, headers=plain).json()
    again = {"text": "why?", "person": "ada", "conversation": first["conversation"]}
    assert client.post(CHAT, json=again, headers=plain).json()["conversation"] == first["conversation"]
    shown = client.get(f"{CHAT}/{first['conversation']}", params={"person": "ada"}).json()
    assert [one["role"] for one in shown["messages"]] == ["person", "watchkeeper"] * 2
    assert {one["tool"] for one in shown["messages"][1]["evidence"]} == {"models", "incidents"}
    assert shown["messages"][1]["sources"] == first["sources"] == [place.incident]
    listed = client.get(CHAT, params={"person": "ada"}).json()["items"]
    assert [one["title"] for one in listed] == ["what is wrong?"]
    judged = client.post(
        f"{CHAT}/messages/{first['message']}/feedback", json={"person": "ada", "thumb": "down", "reason": "too short"}
    )
    assert (judged.status_code, judged.json()["reason"]) == (200, "too short")
    assert client.get(f"{CHAT}/{first['conversation']}", params={"person": "ben"}).status_code == 404
    stranger = client.post(CHAT, json={**again, "person": "ben"}, headers=plain)
    assert (stranger.status_code, stranger.headers["content-type"]) == (404, "application/problem+json")


def test_the_same_key_does_nothing_again(place):
    client = browser(place)
    sent = {"json": {"text": "what is wrong?"}, "headers": {"idempotency-key": "k1"}}
    first, second = (events(client.post(CHAT, **sent).text)[-1] for _ in range(2))
    assert first == second
    asked = {"json": {"question": "what is wrong?"}, "headers": {"idempotency-key": "k2"}}
    assert client.post("/api/v1/ask", **asked).json() == client.post("/api/v1/ask", **asked).json()
    with place.services.store.read() as session:
        assert len(session.scalars(select(Message)).all()) == 4


def test_a_database_that_is_away_is_said_at_once(place):
    place.services.store.close()
    (place.services.home / "watchkeeper.db").unlink()
    answer = browser(place).post(CHAT, json={"text": "what is wrong?"})
    assert (answer.status_code, answer.json()["status"]) == (503, 503), "nobody can say who may ask"


def test_a_client_that_goes_away_stops_the_call(place):
    async def leave(services: Any) -> None:
        stream = chat._events(services, "web:gone", "what is wrong?", ADA, "")
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(1.0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await stream.aclose()

    with fake_openai([Fault.HANG]) as server:
        services = replace(place.services, llm=models(server.url, deadline="30"))
        from agent.conversation.ready import make_ready

        make_ready(services.llm)
        asyncio.run(leave(services))
        deadline = time.monotonic() + 10
        while not server.went_away and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.went_away == 1
