"""Conversations as our own rows: a thread in the terminal, on the web or in Slack, its messages, and feedback.

A person reads their own conversations and the shared ones, and of these only what speaks of models that they may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.domain.errors import InvalidInput, NotFound
from agent.store.tables import Conversation, Feedback, Message
from tools.clean import clean_text
from tools.context import Caller

LONGEST_QUESTION = 8_000
LONGEST_REASON = 2_000
MOST_TURNS = 24
"""Messages that are given to a model as they are; of more, the older ones are summed up."""
KEPT_TURNS = 8


@dataclass(frozen=True, slots=True)
class Past:
    """What was said before: a summary of the older part, and the messages after it as (role, text)."""

    summary: str
    turns: tuple[tuple[str, str], ...]
    to_sum_up: tuple[tuple[str, str], ...] = ()
    summed_up_to: int = 0


def opened(session: Session, key: str, caller: Caller, at: datetime, *, shared: bool = False) -> Conversation:
    """The conversation of a place, begun if there is none. `key`: `terminal:…`, `web:…`, `slack:TEAM/CHANNEL/THREAD`.

    Raises: NotFound when it is another person's.
    """
    row = session.scalar(select(Conversation).where(Conversation.key == key))
    if row is None:
        row = Conversation(key=key, person=caller.name, shared=shared, created_at=at, updated_at=at)
        session.add(row)
        session.flush()
    return _readable(row, caller, key)


def by_id(session: Session, wanted: str, caller: Caller) -> Conversation:
    """A conversation by its id. Raises: NotFound, also when it is another person's."""
    row = session.get(Conversation, wanted)
    if row is None:
        raise _unknown(wanted)
    return _readable(row, caller, wanted)


def listed(session: Session, caller: Caller, most: int = 20) -> Sequence[Conversation]:
    """A person's own conversations, the latest first."""
    query = select(Conversation).where(Conversation.person == caller.name, Conversation.shared.is_(False))
    return session.scalars(query.order_by(Conversation.updated_at.desc(), Conversation.id).limit(most)).all()


def messages(session: Session, conversation: Conversation, caller: Caller) -> list[Message]:
    """The messages in order, without those that speak of models which the caller may not see."""
    query = select(Message).where(Message.conversation_id == conversation.id).order_by(Message.position)
    return [row for row in session.scalars(query) if all(caller.sees(str(model)) for model in row.models)]


def asked(
    session: Session, conversation: Conversation, text: str, caller: Caller, at: datetime, *, once: str = ""
) -> Message:
    """Keep what a person said. `once`: a key that marks it. Raises: InvalidInput for nothing, or for too much."""
    text = clean_text(text).strip()
    if not text:
        raise InvalidInput('The question is empty; try `watchkeeper ask "what is wrong"`.')
    if len(text) > LONGEST_QUESTION:
        raise InvalidInput(f"The question is longer than {LONGEST_QUESTION} characters; ask the first part of it.")
    conversation.title = conversation.title or text[:80]
    document = {"once": once} if once else {}
    row = Message(role="person", person=caller.name, text=text, at=at, document=document)
    return _append(session, conversation, row)


def answered_before(session: Session, conversation: Conversation, once: str) -> Message | None:
    """The answer to what was asked under the key `once`, where there is one."""
    query = select(Message).where(Message.conversation_id == conversation.id).order_by(Message.position)
    rows = session.scalars(query).all()
    for at, row in enumerate(rows):
        if row.role == "person" and row.document.get("once") == once:
            return next((later for later in rows[at + 1 :] if later.role == "watchkeeper"), None)
    return None


def answered(
    session: Session,
    conversation: Conversation,
    text: str,
    *,
    at: datetime,
    written_by: str,
    label: str,
    models: Sequence[str],
    document: dict[str, Any],
) -> Message:
    """Keep an answer, with what it rests on."""
    row = Message(
        role="watchkeeper", person="watchkeeper", text=text, at=at, written_by=written_by, label=label,
        models=list(models), document=document,
    )  # fmt: skip
    return _append(session, conversation, row)


def past(session: Session, conversation: Conversation, caller: Caller) -> Past:
    """What a model is told of what was said before the message that it answers now."""
    rows = messages(session, conversation, caller)[:-1]
    fresh = [row for row in rows if row.position > conversation.summarised_to]
    old = fresh[:-KEPT_TURNS] if len(fresh) > MOST_TURNS else []
    kept = fresh[len(old) :]
    # A summary may speak of anything that was said: it is for those who may read all of it.
    summary = conversation.summary if caller.models is None or caller.name == conversation.person else ""
    return Past(summary, _said(kept), _said(old), old[-1].position if old else 0)


def summed_up(conversation: Conversation, summary: str, by: str, to: int) -> None:
    """Keep a summary in place of the messages up to `to`; the messages stay."""
    conversation.summary, conversation.summary_by, conversation.summarised_to = summary, by, to


def by_rule(earlier: str, turns: Sequence[tuple[str, str]]) -> str:
    """A summary without a model: each question with the first sentence of its answer, the latest twenty.

    >>> print(by_rule("", [("person", "what is wrong?"), ("watchkeeper", "bike: a fault [i-1]. More.")]))
    Asked: what is wrong? Answered: bike: a fault [i-1].
    """
    lines, question = earlier.splitlines(), ""
    for role, text in turns:
        if role == "person":
            question = " ".join(text.split())[:120]
        else:
            first = text.split("\n")[0].partition(". ")[0].rstrip(".")
            lines.append(f"Asked: {question} Answered: {first[:240]}.")
    return "\n".join(lines[-20:])


def judged(
    session: Session, message_id: str, caller: Caller, thumb: str, reason: str, at: datetime
) -> tuple[Feedback, Message]:
    """Keep what a person thought of an answer; said again, the last word counts. Raises: NotFound, InvalidInput."""
    if thumb not in ("up", "down"):
        raise InvalidInput(f"A thumb is up or down, not {thumb[:40]!r}.")
    row = session.get(Message, message_id)
    if row is None or row.role != "watchkeeper":
        raise NotFound(f"There is no answer {message_id[:40]!r}; an answer's id begins with m-.")
    by_id(session, row.conversation_id, caller)
    given = session.scalar(select(Feedback).where(Feedback.message_id == row.id, Feedback.person == caller.name))
    if given is None:
        given = Feedback(message_id=row.id, person=caller.name, thumb=thumb, at=at)
        session.add(given)
    given.thumb, given.reason, given.at = thumb, clean_text(reason)[:LONGEST_REASON], at
    session.flush()
    return given, row


def _append(session: Session, conversation: Conversation, row: Message) -> Message:
    # The row of the conversation is locked until the end: two who write at once get one number each.
    session.execute(select(Conversation.id).where(Conversation.id == conversation.id).with_for_update())
    last = session.scalar(select(func.max(Message.position)).where(Message.conversation_id == conversation.id)) or 0
    row.conversation_id, row.position = conversation.id, last + 1
    conversation.updated_at = row.at
    session.add(row)
    session.flush()
    return row


def _said(rows: Sequence[Message]) -> tuple[tuple[str, str], ...]:
    return tuple((row.role, row.text) for row in rows)


def _readable(row: Conversation, caller: Caller, wanted: str) -> Conversation:
    if not row.shared and row.person != caller.name:
        raise _unknown(wanted)
    return row


def _unknown(wanted: str) -> NotFound:
    return NotFound(f"There is no conversation {wanted[:60]!r} of yours; leave it away to begin one.")
