"""`/chat`: a conversation. An answer comes as server-sent events while it is written, or whole as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from agent.conversation import turns
from agent.conversation.chat import Reply, reply
from agent.conversation.deadline import Stop, Stopped
from agent.conversation.desk import Caller, Event
from agent.domain.errors import WatchkeeperError
from agent.doors.access import Principal, PrincipalDep, acting, needs
from agent.doors.api import problems
from agent.doors.api.inputs import IdempotencyKey, Person, RecordId, ServicesDep, Text
from agent.pipeline.desk import desk_of
from agent.pipeline.services import Services
from agent.store.tables import Conversation

router = APIRouter(tags=["chat"])
log = logging.getLogger(__name__)
ANYBODY = "web"
"""Who talks where nobody signs in and nobody says."""
BEAT = 10.0
"""Seconds after which a stream that has nothing to say shows that it lives."""
EVENTS = """`status` (what is being done), `token` (the next piece of the answer), `tool` (a call and how it ended),
`source` (an id that it rests on), then one `done` (the whole answer) or `error` (a problem document). A `status` with
`"restart": true` takes back what was sent as tokens. Ask for `application/json` to get the answer in one piece."""


class Said(BaseModel):
    """What a person says. `conversation`: the id of an earlier one, to go on with it."""

    text: Text = Field(min_length=1, examples=["what is wrong?"])
    conversation: Annotated[str | None, Field(max_length=60, examples=["c-7k2m9xq4c1"])] = None
    person: Person = ANYBODY


class AnswerOut(BaseModel):
    """An answer. `labelled` says why it is not by the model that was configured first; it stands in the text too."""

    text: str
    sources: list[str] = Field(examples=[["i-7k2m9xq4c1", "d-7k2m9xq4c1/E3"]])
    model: str = Field(examples=["offline"])
    labelled: str
    conversation: str
    message: str
    tool_calls: list[dict[str, Any]]
    usage: dict[str, Any]


class MessageOut(BaseModel):
    id: str
    role: str
    person: str
    text: str
    at: datetime
    written_by: str
    label: str
    evidence: list[dict[str, Any]] = Field(description="the tool calls behind an answer, with their results")
    sources: list[str]


class ConversationOut(BaseModel):
    id: str = Field(examples=["c-7k2m9xq4c1"])
    title: str = Field(examples=["what is wrong?"])
    created_at: datetime
    updated_at: datetime


class ConversationDetail(ConversationOut):
    messages: list[MessageOut]


class ConversationList(BaseModel):
    items: list[ConversationOut]


class Judgement(BaseModel):
    person: Person = ANYBODY
    thumb: Literal["up", "down"] = Field(examples=["up"])
    reason: Text = Field("", examples=["it named the deployment"])


class JudgementOut(BaseModel):
    id: str
    message: str
    thumb: str = Field(examples=["up"])
    reason: str
    at: datetime


def caller_of(principal: Principal, said: str) -> Caller:
    """Who talks: who is signed in; where nobody signs in, who they say they are, and they read everything."""
    if principal.kind == "local":
        return Caller(said, "person", None, may_propose=True)
    acting(principal, "" if said == ANYBODY else said)
    return principal.caller


@router.post(
    "/chat",
    dependencies=[needs("viewer")],
    summary="Say something; the answer comes as server-sent events",
    description=EVENTS,
    response_model=None,
    responses={200: {"model": AnswerOut, "content": {"text/event-stream": {}}, "description": "The answer"}},
)
def chat(
    services: ServicesDep,
    principal: PrincipalDep,
    body: Said,
    accept: Annotated[str, Header()] = "text/event-stream",
    idempotency_key: IdempotencyKey = None,
) -> StreamingResponse | AnswerOut:
    caller = caller_of(principal, body.person)
    once = idempotency_key or ""
    place = body.conversation or f"web:{caller.name}:{once or secrets.token_hex(8)}"
    if body.conversation is not None:  # who may not read it hears so at once, as any problem
        with services.store.read() as session:
            turns.by_id(session, body.conversation, caller)
    if "application/json" in accept and "text/event-stream" not in accept:
        return _out(reply(desk_of(services), place, body.text, caller, once=once))
    return StreamingResponse(_events(services, place, body.text, caller, once), media_type="text/event-stream")


@router.get("/chat", dependencies=[needs("viewer")], summary="A person's latest conversations")
def list_conversations(
    services: ServicesDep, principal: PrincipalDep, person: Annotated[Person, Query()] = ANYBODY
) -> ConversationList:
    with services.store.read() as session:
        rows = turns.listed(session, caller_of(principal, person))
        return ConversationList(items=[ConversationOut.model_validate(row, from_attributes=True) for row in rows])


@router.get(
    "/chat/{id}", dependencies=[needs("viewer")], summary="One conversation, with the evidence behind each answer"
)
def show_conversation(
    services: ServicesDep, principal: PrincipalDep, id: RecordId, person: Annotated[Person, Query()] = ANYBODY
) -> ConversationDetail:
    with services.store.read() as session:
        row, caller = turns.by_id(session, id, caller_of(principal, person)), caller_of(principal, person)
        return ConversationDetail(
            **ConversationOut.model_validate(row, from_attributes=True).model_dump(),
            messages=_messages(session, row, caller),
        )


@router.post(
    "/chat/messages/{id}/feedback", dependencies=[needs("viewer")], summary="Say whether an answer was good, and why"
)
def judge(
    services: ServicesDep,
    principal: PrincipalDep,
    id: RecordId,
    body: Judgement,
    idempotency_key: IdempotencyKey = None,
) -> JudgementOut:
    with services.store.write() as session:
        at = services.now(session)
        given, row = turns.judged(session, id, caller_of(principal, body.person), body.thumb, body.reason, at)
        return JudgementOut(id=given.id, message=row.id, thumb=given.thumb, reason=given.reason, at=given.at)


def _messages(session: Any, row: Conversation, caller: Caller) -> list[MessageOut]:
    return [
        MessageOut(
            id=message.id,
            role=message.role,
            person=message.person,
            text=message.text,
            at=message.at,
            written_by=message.written_by,
            label=message.label,
            evidence=message.document.get("calls", []),
            sources=message.document.get("sources", []),
        )
        for message in turns.messages(session, row, caller)
    ]


def _out(answer: Reply) -> AnswerOut:
    return AnswerOut(
        text=answer.text,
        sources=answer.sources,
        model=answer.model,
        labelled=answer.labelled,
        conversation=answer.conversation,
        message=answer.message,
        tool_calls=answer.tool_calls,
        usage=answer.usage,
    )


async def _events(services: Services, place: str, text: str, caller: Caller, once: str) -> AsyncIterator[bytes]:
    """The events of one answer, made in a thread of its own; a client that goes away stops it."""
    loop, stop = asyncio.get_running_loop(), Stop()
    queue: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()

    def put(item: tuple[str, dict[str, Any]] | None) -> None:
        try:
            loop.call_soon_threadsafe(queue.put_nowait, item)
        except RuntimeError:  # the server has shut down: nobody listens any more
            stop.set()

    def heard(event: Event) -> None:
        if event.kind != "done":
            put((event.kind, {"text": event.text, **event.data}))

    def work() -> None:
        try:
            answer = reply(desk_of(services), place, text, caller, heard, stop, once=once)
            put(("done", _out(answer).model_dump(mode="json")))
        except Stopped:
            log.info("the client went away; the answer was stopped")
        except WatchkeeperError as error:
            put(("error", problems.explain(error).model_dump(mode="json")))
        except Exception as error:  # the edge of a request: what is not ours is not described to the caller
            log.exception("an answer broke off")
            put(("error", problems.explain(error).model_dump(mode="json")))
        finally:
            put(None)

    threading.Thread(target=work, name="chat", daemon=True).start()
    try:
        while True:
            try:
                item = await asyncio.wait_for(queue.get(), BEAT)
            except TimeoutError:
                yield b": still at it\n\n"
                continue
            if item is None:
                return
            kind, data = item
            yield f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
    finally:
        stop.set()
