"""Chat: a person's conversations; answers are streamed by `static/chat.js` from the API, and shown here once they are
whole: with the evidence behind each source, and a picture where numbers over time are better seen than read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup, escape
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.conversation import turns
from agent.domain.errors import NotFound
from agent.domain.wording import visible
from agent.doors.access import Principal, PrincipalDep, needs
from agent.doors.api.inputs import RecordId, ServicesDep
from agent.doors.console import page
from agent.doors.console.charts import Mark, Point, Span, sparkline
from agent.store import queries
from agent.store.tables import Conversation, Feedback, Message
from tools.context import Caller

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
PAGES = {"i": "/incidents/", "p": "/approvals/", "t": "/reports/"}
CITED = re.compile(r"\[([a-z]-[0-9a-z]{6,}(?:/E\d+)?(?:, ?[a-z]-[0-9a-z]{6,}(?:/E\d+)?)*)\]")
FEWEST_POINTS, MOST_FEATURES, LONGEST = 3, 12, 4000


@dataclass(frozen=True, slots=True)
class Evidence:
    """One tool call behind an answer: what was asked, how it ended, and what it gave."""

    anchor: str
    tool: str
    asked: str
    status: str
    source: str
    ids: list[str]
    data: Any
    too_long: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """One feature's drift, as a bar against its bound."""

    feature: str
    value: float
    threshold: float | None
    beyond: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as it is shown."""

    message: Message
    html: Markup
    evidence: list[Evidence] = field(default_factory=list)
    sources: list[tuple[str, str]] = field(default_factory=list)
    course: Markup | None = None
    course_says: str = ""
    drift: list[Drift] = field(default_factory=list)
    thumb: str = ""


def caller_of(principal: Principal) -> Caller:
    """Whoever asks, as the API names them; where nobody signs in, everybody's talk is of `web`."""
    if principal.kind == "local":
        return Caller("web", "person", None, may_propose=True)
    return principal.caller


def read_turn(session: Session, message: Message, person: str) -> Turn:
    if message.role == "person":
        return Turn(message, _paragraphs(message.text, {}))
    calls = [one for one in message.document.get("calls", []) if isinstance(one, Mapping)]
    evidence = [_evidence(message, number, call) for number, call in enumerate(calls, 1)]
    anchors = {wanted: one.anchor for one in reversed(evidence) for wanted in one.ids}
    sources = [
        (str(wanted), "#" + anchors.get(str(wanted), anchors.get(str(wanted).partition("/")[0], "")))
        for wanted in message.document.get("sources", [])
    ]
    course, says = _course(calls)
    given = session.scalar(select(Feedback).where(Feedback.message_id == message.id, Feedback.person == person))
    return Turn(
        message, _paragraphs(message.text, dict(sources)), evidence, sources, course, says, _drift(calls),
        given.thumb if given else "",
    )  # fmt: skip


def _evidence(message: Message, number: int, call: Mapping[str, Any]) -> Evidence:
    result = call.get("result") or {}
    arguments = ", ".join(f"{key} {value}" for key, value in (call.get("arguments") or {}).items())
    ids = [str(one) for one in result.get("evidence") or []]
    data = result.get("data") if result.get("data") is not None else result.get("error", "")
    return Evidence(
        anchor=f"e-{message.id}-{number}",
        tool=str(call.get("tool", "")),
        asked=arguments,
        status=str(result.get("status", "")),
        source=str(result.get("source", "")),
        ids=ids,
        data=data,
        too_long=len(str(data)) > LONGEST,
    )


def _paragraphs(text: str, anchors: Mapping[str, str]) -> Markup:
    """Text as paragraphs and lists; ids in brackets lead to what they name. Nothing in it becomes markup."""
    blocks: list[Markup] = []
    items: list[Markup] = []

    def close() -> None:
        if items:
            blocks.append(Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(i) for i in items)))
            items.clear()

    for line in text.split("\n"):
        said = visible(line, 4000).strip()
        if said.startswith(("- ", "* ", "• ")):
            items.append(_linked(said[2:], anchors))
        elif said:
            close()
            blocks.append(Markup("<p>{}</p>").format(_linked(said, anchors)))
    close()
    return Markup("").join(blocks)


def _linked(text: str, anchors: Mapping[str, str]) -> Markup:
    parts, last = [], 0
    for found in CITED.finditer(text):
        parts.append(escape(text[last : found.start()]))
        for wanted in re.split(r", ?", found[1]):
            target = PAGES.get(wanted[0], "") + wanted if wanted[0] in PAGES else anchors.get(wanted, "")
            one = Markup('<a class="cite" href="{}">{}</a>').format(target, wanted) if target else escape(f"[{wanted}]")
            parts.append(one)
        last = found.end()
    return Markup("").join([*parts, escape(text[last:])])


def _course(calls: list[Mapping[str, Any]]) -> tuple[Markup | None, str]:
    """The last series of a metric that was looked up, drawn, where it is long enough to be better seen than read."""
    for call in reversed(calls):
        data = (call.get("result") or {}).get("data")
        rows = data.get("points") if isinstance(data, Mapping) else None
        if call.get("tool") not in ("performance", "measurements") or not isinstance(rows, list):
            continue
        points = [_point(row) for row in rows if isinstance(row, Mapping)]
        known = sorted((one for one in points if one is not None), key=lambda one: one.at)
        if isinstance(data, Mapping) and len({one.at for one in known}) == len(known) >= FEWEST_POINTS:
            name = str(data.get("metric") or (call.get("arguments") or {}).get("monitor") or "value")
            model = str((call.get("arguments") or {}).get("model", ""))
            marks: list[Mark] = []
            spans: list[Span] = []
            says = f"{name} of {model}, {len(known)} looks from {known[0].at:%-d %b %Y} to {known[-1].at:%-d %b %Y}"
            return sparkline(name, known, marks, spans), says
    return None, ""


def _point(row: Mapping[str, Any]) -> Point | None:
    try:
        at = datetime.fromisoformat(str(row["window_end"]))
        value = None if row.get("value") is None else float(row["value"])
        low, high = (None if row.get(key) is None else float(row[key]) for key in ("low", "high"))
    except (KeyError, ValueError, TypeError):
        return None
    return Point(at, value, low, high, row.get("status") == "breach")


def _drift(calls: list[Mapping[str, Any]]) -> list[Drift]:
    """The drift of the features that was looked up last, the loudest first."""
    for call in reversed(calls):
        data = (call.get("result") or {}).get("data")
        rows = data.get("features") if isinstance(data, Mapping) and call.get("tool") == "drift" else None
        found = [
            Drift(str(row.get("feature")), float(row["value"]), row.get("threshold"), row.get("status") == "breach")
            for row in rows or []
            if isinstance(row, Mapping) and isinstance(row.get("value"), (int, float))
        ]
        if len(found) >= FEWEST_POINTS:
            return sorted(found, key=lambda one: -one.value)[:MOST_FEATURES]
    return []


@router.get("/chat", dependencies=[needs("viewer")])
def show_chat(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    with services.store.read() as session:
        return _shown(request, session, principal, None)


@router.get("/chat/{id}", dependencies=[needs("viewer")])
def show_conversation(request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId) -> Response:
    with services.store.read() as session:
        return _shown(request, session, principal, turns.by_id(session, id, caller_of(principal)))


def _shown(request: Request, session: Session, principal: Principal, row: Conversation | None) -> Response:
    caller = caller_of(principal)
    told = turns.messages(session, row, caller) if row else []
    models = [name for name in queries.model_names(session) if principal.sees(name)]
    return page.render(
        request,
        "chat.html",
        session=session,
        conversation=row,
        turns=[read_turn(session, message, caller.name) for message in told],
        listed=turns.listed(session, caller),
        person=caller.name,
        ideas=ideas(models),
        labels=services_labels(request),
    )


def services_labels(request: Request) -> str:
    """Which model answers here."""
    llm = request.app.state.services.llm
    return "the offline model" if llm.offline else "a language model, checked against the records"


def ideas(models: list[str]) -> list[str]:
    """Questions to begin with."""
    named = [f"How is {models[0]} doing?", f"Which inputs of {models[0]} drifted?"] if models else []
    return ["What is wrong?", "What waits for a decision?", *named, "What happened this week?"]


@router.get("/chat/{id}/turns/{message_id}", dependencies=[needs("viewer")])
def show_turn(
    request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId, message_id: RecordId
) -> Response:
    """One answer, as it stands on the page of its conversation."""
    caller = caller_of(principal)
    with services.store.read() as session:
        row = turns.by_id(session, id, caller)
        found = next((one for one in turns.messages(session, row, caller) if one.id == message_id), None)
        if found is None:
            raise NotFound(f"There is no message {message_id!r} in this conversation.")
        return page.fragment(request, "turn.html", turn=read_turn(session, found, caller.name))
