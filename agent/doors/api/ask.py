"""`/ask`: one question in plain language, answered whole; `/chat` is the same as a conversation."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from agent.conversation.chat import reply
from agent.conversation.resting import spoken_of
from agent.doors.access import PrincipalDep, needs
from agent.doors.api.chat import caller_of
from agent.doors.api.inputs import IdempotencyKey, ServicesDep, Text
from agent.pipeline.desk import desk_of

router = APIRouter(tags=["chat"])


class Question(BaseModel):
    question: Text = Field(min_length=1, examples=["what is wrong?"])


class QuestionAnswered(BaseModel):
    """`sources`: ids of records, or facts of a diagnosis, that the answer cites; `data`: what the tools gave."""

    answer: str
    sources: list[str] = Field(examples=[["i-7k2m9xq4c1", "d-7k2m9xq4c1/E3"]])
    model: str = Field(examples=["offline"])
    labelled: str
    data: dict[str, Any]


@router.post("/ask", dependencies=[needs("viewer")], summary="One question: what is wrong, why, what is waiting")
def ask(
    services: ServicesDep, principal: PrincipalDep, body: Question, idempotency_key: IdempotencyKey = None
) -> QuestionAnswered:
    key = idempotency_key or secrets.token_hex(8)
    caller = caller_of(principal, "web")
    answer = reply(desk_of(services), f"web:ask:{caller.name}:{key}", body.question, caller, once=key)
    facts = [one["result"] for one in answer.evidence]
    data = {"models": spoken_of(answer.evidence), "facts": facts}
    return QuestionAnswered(
        answer=answer.text, sources=answer.sources, model=answer.model, labelled=answer.labelled, data=data
    )
