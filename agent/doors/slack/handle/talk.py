"""A mention, a direct message, the agent view: one thread is one conversation, by the same code as every other door."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from agent.conversation.chat import Reply, reply
from agent.conversation.deadline import Stopped
from agent.domain.errors import InvalidInput, NotFound, Unavailable
from agent.domain.incident import IncidentState
from agent.domain.notifying import SLACK
from agent.doors.slack.handle import running
from agent.doors.slack.handle.asked import Asked, Refusal, call, privately
from agent.doors.slack.handle.spoken import question_of, source_links
from agent.doors.slack.handle.who import Who, who_is
from agent.doors.slack.handle.writer import Writer
from agent.pipeline import inbox
from agent.pipeline.desk import desk_of
from agent.pipeline.services import Services
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack import posts
from agent.pipeline.slack.pictures import of_model
from agent.pipeline.slack.text import said
from agent.store.tables import Incident, Proposal

log = logging.getLogger(__name__)
STOP_WORDS = ("stop", "stop!", "cancel")
WORKING = "is looking at the records …"
PICTURED = {"drift": "drift", "performance": "metric"}
SPAN = timedelta(days=30)
MOST_PROMPTS = 4


def talk(services: Services, asked: Asked, payload: dict[str, Any]) -> None:
    """Answer what somebody wrote. Raises: Unavailable, and it is tried again."""
    who = who_is(services, asked)
    thread = asked.thread or asked.message
    question = question_of(str(payload.get("text") or ""))
    if who.refused:
        privately(services, asked, who.refused)
    elif question.lower() in STOP_WORDS:
        stopped(services, replace(asked, thread=thread), {})
    else:
        direct = asked.channel.startswith("D")
        _answer(services, who, thread, question or "What is wrong?", asked.key, shared=not direct)


def talk_about(services: Services, who: Who, question: str) -> None:
    """A question that was offered as a button: put into the inbox as if it had been typed, as its answer may take long.

    The key is the click's, so that it is asked once.
    """
    if who.refused:
        privately(services, who.asked, who.refused)
        return
    asked = who.asked
    thread = asked.thread or asked.message
    event = {
        "kind": "message",
        "key": f"suggested/{asked.key}",
        "team": asked.team,
        "user": asked.user,
        "channel": asked.channel,
        "ts": asked.message,
        "thread_ts": thread,
        "payload": {"text": question},
    }
    with services.store.write() as session:
        lane = f"{asked.channel}/{thread}"
        inbox.keep(session, source=SLACK, key=f"suggested/{asked.key}", body=event, at=services.wall(), lane=lane)


def stopped(services: Services, asked: Asked, payload: dict[str, Any]) -> None:
    """Somebody pressed Stop, or said so: what is being answered in this thread ends."""
    if not running.stop(services, thread=_key(asked, asked.thread or asked.message)):
        privately(services, asked, "Nothing is being answered here.")


def stop_here(services: Services, who: Who, once: str) -> None:
    """The button under an answer."""
    if who.refused or not running.stop(services, once=once):
        privately(services, who.asked, who.refused or "It has ended already.")


def _key(asked: Asked, thread: str) -> str:
    return f"slack:{asked.team}/{asked.channel}/{thread}"


def _answer(services: Services, who: Who, thread: str, question: str, once: str, *, shared: bool) -> None:
    key = _key(who.asked, thread)
    row = running.begin(services, once, key, who.asked.user)
    if row.state != "working":
        return
    writer = Writer(
        services, who.asked, thread, reference=row.reference,
        began=lambda reference: running.note(services, once, reference), stop_key=once,
    )  # fmt: skip
    writer.status(WORKING)
    message = None
    try:
        with running.stoppable(services, once) as stop:
            asked = _with_context(services, who, thread, question)
            answer = reply(desk_of(services), key, asked, who.caller(), writer, stop, shared=shared, once=once)
        writer.finish(answer.text, _under(answer, services.public_url))
        message = answer.message
        _show(services, who, thread, answer)
    except Stopped:
        writer.finish("Stopped.", [])
    except (InvalidInput, NotFound) as error:
        writer.finish(said(error, 600), [])
    except Unavailable:
        writer.status("")
        raise
    running.end(services, once, message)


def _with_context(services: Services, who: Who, thread: str, question: str) -> str:
    """In the thread of a card, a question is about its subject unless it names another."""
    with services.store.read() as session:
        card = posts.at(session, f"{who.asked.channel}/{thread}")
        if card is None or card.subject in question:
            return question
        table: Any = Incident if card.kind == "incident" else Proposal
        row = session.get(table, card.subject)
        about = f" of {row.model}" if row is not None and row.model and row.model not in question else ""
        word = "incident" if card.kind == "incident" else "proposal"
        return f"{question} (about {word} {card.subject}{about})"


def _under(answer: Reply, public_url: str) -> list[kit.Block]:
    """Sources, who wrote it, and thumbs."""
    parts: list[kit.Block] = []
    if answer.sources:
        parts.append(kit.context(f"Sources: {source_links(answer.sources, public_url)}"))
    parts.append(kit.context(f"Answered by {said(answer.model, 80)}"))
    return [*parts, kit.feedback(answer.message)]


def _show(services: Services, who: Who, thread: str, answer: Reply) -> None:
    """The picture that answers better, where the answer rests on drift or performance. An extra: it may fail."""
    wanted = {
        (str(made["arguments"].get("model")), PICTURED[made["tool"]])
        for made in answer.tool_calls
        if made["tool"] in PICTURED and made["status"] == "ok" and made["arguments"].get("model")
    }
    with services.store.read() as session:
        until = services.now(session)
        files = [
            file
            for model, name in sorted(wanted)[:2]
            for file in of_model(session, model, until - SPAN, until, (name,))
        ]
    if not files:
        return
    uploads = [
        {"content": one.content, "filename": one.name, "title": one.name, "alt_txt": one.alt[:1000]} for one in files
    ]
    try:
        call(services, "files_upload_v2", file_uploads=uploads, channel=who.asked.channel, thread_ts=thread)
    except (Refusal, Unavailable) as error:
        log.warning("a picture could not be shown: %s", error)


def suggest(services: Services, asked: Asked, payload: dict[str, Any]) -> None:
    """Somebody opened the agent view, or looks at another channel: questions that make sense now."""
    who = who_is(services, asked)
    if who.refused or not asked.thread:
        return
    context = (payload.get("assistant_thread") or {}).get("context") or {}
    prompts = prompts_for(services, who, str(context.get("channel_id") or ""))
    try:
        call(
            services,
            "assistant_threads_setSuggestedPrompts",
            channel_id=asked.channel,
            thread_ts=asked.thread,
            prompts=prompts,
        )
    except Refusal as error:
        log.info("no suggested questions in %s: %s", asked.channel, error)


def prompts_for(services: Services, who: Who, channel: str = "") -> list[dict[str, str]]:
    """At most four: of the incident that is open, first of the channel that they look at."""
    with services.store.read() as session:
        open_ones = session.scalars(
            select(Incident)
            .where(Incident.state != IncidentState.RESOLVED)
            .order_by(Incident.opened_at.desc())
            .limit(50)
        ).all()
        seen = [row for row in open_ones if row.model and who.sees(row.model)]
        here = {card.subject for card in posts.cards_of(session, [row.id for row in seen]) if _stands_in(card, channel)}
    seen.sort(key=lambda row: row.id not in here)
    questions = [
        question for row in seen[:1] for question in (f"Why is {row.model} in trouble?", f"Is {row.model} drifting?")
    ]
    questions += ["What is wrong?", "What waits for a decision?", "How are all models doing?"]
    return [{"title": one[:75], "message": one} for one in questions[:MOST_PROMPTS]]


def _stands_in(card: Any, channel: str) -> bool:
    return bool(channel) and card.reference.startswith(f"{channel}/")


def invite(services: Services, who: Who, subject: str) -> None:
    """Begin the conversation about a card: in its thread, with questions to click. Raises: Unavailable."""
    thread = who.asked.thread or who.asked.message
    questions = ["Why?", "What was ruled out?", "What happens if we do nothing?"]
    about = [f"{one} ({subject})" for one in questions]
    buttons = [
        kit.button(one, f"suggest:{number}", value)
        for number, (one, value) in enumerate(zip(questions, about, strict=True))
    ]
    text = f"Ask me about {said(subject, 40)}: mention me in this thread, or take one of these."
    body = {"text": text, "blocks": [kit.section(text), kit.actions(buttons)]}
    if not thread:  # from App Home
        privately(services, who.asked, text, body["blocks"])  # type: ignore[arg-type]
        return
    try:
        quiet = {"unfurl_links": False, "unfurl_media": False}
        call(services, "chat_postMessage", channel=who.asked.channel, thread_ts=thread, **quiet, **body)
    except Refusal as error:
        log.warning("no conversation in %s: %s", who.asked.channel, error)
        privately(services, who.asked, "I cannot write here; invite me with /invite @Watchkeeper, or ask me directly.")
