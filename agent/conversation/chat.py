"""One answer in a conversation, whoever asks and wherever: terminal, web and Slack call `reply`.

A language model answers where one is configured, within its time and its budget. Where none can, the offline model
does, and the answer says why. What was asked and what was answered is kept, with what it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.conversation import resting, turns
from agent.conversation.budget import Allowance, allowance, record, told
from agent.conversation.deadline import Stop
from agent.conversation.desk import Caller, Desk, Event, Listener, nobody
from agent.conversation.drafting import NOTHING, Draft, drafted
from agent.conversation.llm import OFFLINE

if TYPE_CHECKING:
    from agent.conversation.guard.grounding import Checked
    from agent.store.tables import Message


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. labelled: why it is not by the model that was configured first; "" when it is.

    sources: ids that it cites. evidence: the tool calls with their results. usage: calls, tokens, seconds, USD.
    """

    text: str
    sources: list[str]
    tool_calls: list[dict[str, Any]]
    model: str
    labelled: str
    usage: dict[str, Any]
    evidence: list[dict[str, Any]]
    conversation: str
    message: str


def reply(
    desk: Desk,
    conversation: str,
    text: str,
    caller: Caller,
    on_event: Listener = nobody,
    stop: Stop | None = None,
    *,
    shared: bool = False,
    once: str = "",
) -> Reply:
    """Answer `text`. `conversation` is an id (`c-…`) or the key of a place (`terminal:ada`, `slack:T1/C2/1719.5`).
    once: a key; what was answered under it is given again, not answered anew (a client, or Slack, that sends twice).

    Raises: InvalidInput (nothing was asked), NotFound (no such conversation of this person), Stopped, Unavailable.
    """
    with desk.store.write() as session:
        row = (
            turns.by_id(session, conversation, caller)
            if conversation.startswith("c-")
            else turns.opened(session, conversation, caller, desk.now(), shared=shared)
        )
        if once and (known := turns.answered_before(session, row, once)) is not None:
            return _again(known)
        question = turns.asked(session, row, text, caller, desk.now(), once=once).text
        past = turns.past(session, row, caller)
        left = allowance(session, desk.models.budgets, caller.name, desk.wall())
        found = row.id
    draft = Draft(question, past)
    try:
        drafted(desk, draft, left, caller, on_event, stop)
    finally:
        with desk.store.write() as session:
            record(session, left, at=desk.wall(), person=caller.name, purpose="chat", conversation=found)
    made = _finished(desk, draft)
    usage = {**_usage(left), "failed": draft.label} if draft.label else _usage(left)
    document = {
        "calls": resting.kept(draft.done),
        "sources": made["sources"],
        "usage": usage,
        "grounding": _grounding(draft.checked),
    }
    with desk.store.write() as session:
        row = turns.by_id(session, found, caller)
        kept = turns.answered(
            session, row, made["text"], at=desk.now(), written_by=draft.by, label=draft.label,
            models=resting.models_of(draft.done), document=resting.storable(document),
        )  # fmt: skip
        if draft.summary is not None and past.summed_up_to > row.summarised_to:
            turns.summed_up(row, *draft.summary, past.summed_up_to)
        message = kept.id
    for source in made["sources"]:
        on_event(Event("source", source))
    calls = [
        {"tool": one.name, "arguments": dict(one.arguments), "status": str(one.result.status)} for one in draft.done
    ]
    answer = Reply(
        made["text"], made["sources"], calls, draft.by, draft.label, usage, document["calls"], found, message
    )
    on_event(Event("done", answer.text, {"model": answer.model, "labelled": answer.labelled, "message": message}))
    return answer


def _again(row: Message) -> Reply:
    """An answer as it was kept."""
    document = row.document
    calls = [
        {"tool": one["tool"], "arguments": one["arguments"], "status": one["result"]["status"]}
        for one in document["calls"]
    ]
    return Reply(
        row.text, document["sources"], calls, row.written_by, row.label, document["usage"], document["calls"],
        row.conversation_id, row.id,
    )  # fmt: skip


def _finished(desk: Desk, draft: Draft) -> dict[str, Any]:
    """The text as it is kept and shown: filtered, with what was not available and who wrote it."""
    from agent.conversation.guard.output import clean

    text = clean(draft.text, desk.public_url, secrets=desk.models.secrets) or NOTHING
    lines = [text]
    if draft.by != OFFLINE:
        lines += resting.not_available(text, draft.done)
    if draft.label:
        lines.append(f"({draft.label.rstrip('.')}.)")
    return {"text": "\n".join(lines), "sources": resting.sources(text, draft.done)}


def _usage(left: Allowance) -> dict[str, Any]:
    spent = left.spent
    price = None if spent.unpriced else round(spent.usd, 6)
    seconds = round(spent.seconds, 2)
    return {"calls": spent.calls, "tokens": spent.tokens, "seconds": seconds, "usd": price, "told": told(spent)}


def _grounding(checked: Checked | None) -> Mapping[str, Any]:
    if checked is None:
        return {}
    return {
        "ok": checked.ok,
        "removed": [str(one) for one in checked.removed],
        "marked": [str(one) for one in checked.marked],
    }
