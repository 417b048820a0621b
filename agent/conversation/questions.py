"""Questions in plain language, answered by rules from the records. Every sentence cites what it rests on.

Reading only: it takes a session, and imports nothing that changes anything. What the records do not say is said to be
unknown; `no data` is never an all-clear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from agent.conversation import asked, telling
from agent.conversation.asked import Asked, Topic
from agent.domain.wording import names, visible
from agent.store import queries

LONGEST_QUESTION = 2000
EXAMPLES = (
    "what is wrong",
    "why MODEL (or an incident or proposal id)",
    "what is waiting",
    "status",
    "what happened to MODEL",
    "what did you do",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `sources` are the ids of the records it rests on (`E3` is a fact of the diagnosis that is cited)."""

    text: str
    sources: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


def answer(session: Session, text: str, *, now: datetime) -> Answer:
    """Answer one question from the records as they are at `now`. Never raises for what a person may type."""
    known = list(queries.specs(session))
    question = asked.understand(text[:LONGEST_QUESTION], known)
    told = _told(session, question, known, now)
    lines = [line for line in told if line.text]
    cited = list(dict.fromkeys(source for line in lines for source in line.sources))
    data = {"topic": str(question.topic), "models": list(question.models), "at": now.isoformat()}
    facts = [line.data for line in lines if line.data]
    return Answer("\n".join(line.text for line in lines), cited, {**data, "facts": facts})


def _told(session: Session, question: Asked, known: Sequence[str], now: datetime) -> list[telling.Line]:
    if question.topic is Topic.HELP:
        return [telling.Line(_help(known))]
    if question.record is not None:
        return telling.of_record(session, question.record, now)
    if question.unknown_model is not None:
        return [telling.Line(_no_such_model(question.unknown_model, known))]
    if len(question.models) > 1 and question.ambiguous:
        return [telling.Line(f"Which one do you mean: {names(question.models)}?")]
    models = question.models or tuple(known)
    if not known and question.topic is not Topic.UNKNOWN:
        return [telling.Line("There is no model under watch yet; add one with `watchkeeper model add SPEC.yaml`.")]
    tell: Callable[..., list[telling.Line]] | None = {
        Topic.WRONG: telling.what_is_wrong,
        Topic.WHY: telling.why,
        Topic.WAITING: telling.what_waits,
        Topic.STATUS: telling.status,
        Topic.HAPPENED: telling.what_happened,
        Topic.DONE: telling.what_was_done,
    }.get(question.topic)
    if tell is None:
        return [telling.Line(f"I did not understand that. {_help(known)}")]
    return tell(session, models, now)


def _help(known: Sequence[str]) -> str:
    can = "; ".join(EXAMPLES)
    models = f" Models: {names(list(known), 12)}." if known else " There is no model under watch yet."
    decide = "I change nothing; to decide, use `watchkeeper approve` or `reject`."
    return f"I answer these from the records: {can}. {decide}{models}"


def _no_such_model(name: str, known: Sequence[str]) -> str:
    there_are = f"the models are {names(list(known), 12)}" if known else "there is no model yet"
    return f"I know no model “{visible(name, 60)}”; {there_are}."
