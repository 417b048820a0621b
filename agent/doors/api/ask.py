"""`/ask`: a question in plain language, answered from the records; every sentence cites what it rests on."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from agent.conversation.questions import answer
from agent.doors.api.inputs import IdempotencyKey, ServicesDep, Text

router = APIRouter(tags=["ask"])


class Question(BaseModel):
    question: Text = Field(min_length=1, examples=["what is wrong?"])


class AnswerOut(BaseModel):
    """`sources` are ids of the records, or evidence numbers of the diagnosis, that the answer rests on."""

    answer: str
    sources: list[str] = Field(examples=[["i-7k2m9xq4c1", "E3"]])
    data: dict[str, Any]


@router.post("/ask", summary="One question: what is wrong, why, what is waiting")
def ask(services: ServicesDep, body: Question, idempotency_key: IdempotencyKey = None) -> AnswerOut:
    now = services.now()
    with services.store.read() as session:
        found = answer(session, body.question, now=now)
    return AnswerOut(answer=found.text, sources=found.sources, data=found.data)
