"""Which mail an event means: its words, the pictures that belong to it, the report as a file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from agent.domain.errors import WatchkeeperError
from agent.domain.notifying import DECISIONS, UPDATE
from agent.domain.proposal import ProposalState
from agent.domain.wording import visible
from agent.pipeline.event import DIGEST, Event, Post
from agent.pipeline.mail.deciding import facts_of
from agent.pipeline.services import Services
from agent.pipeline.unsubscribe import link_of
from agent.store.tables import Incident, Proposal, Report
from notifications.message import File, Message

if TYPE_CHECKING:
    from jinja2 import Template

log = logging.getLogger(__name__)
COLOURS = {"critical": "#b42318", "warning": "#b54708", "info": "#1f6f54"}
PICTURED = ("incident", "proposal", "escalated", "verified")
BEFORE = timedelta(days=30)
MEDIA_TYPES = {"pdf": "application/pdf", "html": "text/html", "md": "text/markdown", "json": "application/json"}
SORTS = {
    "proposal": "Waits for a decision",
    "reminder": "Still waits for a decision",
    "escalation": "Still waits for a decision",
    "escalated": "A person should look",
    "incident": "Incident",
    "resolved": "Resolved",
    "report": "Report",
    "digest": "Digest",
    "executed": "Done",
    "verified": "Did it help?",
    "abandoned": "Not done",
    "fix_data": "Data arrives broken",
    "stage": "Release",
    "alert": "Alert of another program",
    "test": "A test",
}
TO_BE_TYPED = ("See: watchkeeper ", "Decide: watchkeeper ")
MOST_LINES, MOST_LISTED = 60, 30


def compose(services: Services, session: Session, event: Event) -> Sequence[Post]:
    """One mail. What cannot be drawn or rendered is left away and logged: the words go out."""
    if event.kind == UPDATE:
        return []
    link, action = _link(services, session, event)
    unsubscribe = link_of(services, "mail", event.address)
    files = [*_pictures(services, session, event), *_report(session, event)]
    facts = _facts(services, session, event)
    html = letter_html(event, files, link, action, unsubscribe, facts=facts, url=services.public_url.rstrip("/"))
    footer = [f"{action}: {link}"] if link else []
    footer += [f"Unsubscribe: {unsubscribe}"] if unsubscribe else []
    told = "\n".join(f"{label}: {text}" for label, text in facts)
    body = "\n\n".join(part for part in (event.body, told, "\n".join(footer)) if part).strip()
    document = {"html": html, "unsubscribe": unsubscribe, "topic": event.topic}
    return [Post(Message(event.key, event.address, _one_line(event.title), body, document, files=tuple(files)))]


def _facts(services: Services, session: Session, event: Event) -> list[tuple[str, str]]:
    """What there is to decide on, as it is now."""
    proposal = session.get(Proposal, event.subject) if event.kind in DECISIONS and event.subject[:2] == "p-" else None
    return facts_of(services, session, proposal) if proposal is not None else []


def letter_html(
    event: Event,
    files: Sequence[File],
    link: str,
    action: str,
    unsubscribe: str,
    *,
    facts: Sequence[tuple[str, str]] = (),
    url: str = "",
) -> str:
    """The HTML part: tables and inline styles, which is what mail programs understand.

    url: where the console is. What is to be typed is left away where there is a button for it.
    """
    digest = event.kind == DIGEST
    events: list[dict[str, Any]] = list(event.document.get("events", ())) if digest else []
    lines = [] if digest else [line for line in event.body.splitlines() if line.strip()]
    if link:
        lines = [line for line in lines if not line.startswith(TO_BE_TYPED)]
    return _template().render(
        title=_one_line(event.title),
        preview=visible(lines[0], 140) if lines else "",
        sort=SORTS.get(event.kind, event.kind.replace("_", " ").capitalize() or "Message"),
        model=visible(event.model, 100),
        when=f"{event.at:%-d %B %Y, %H:%M} UTC",
        colour=COLOURS.get(event.severity, COLOURS["info"]),
        lines=[visible(line, 2000) for line in lines[:MOST_LINES]],
        listed=[
            {
                "title": visible(str(item["title"]), 300),
                "colour": COLOURS.get(str(item["severity"]), COLOURS["info"]),
                "severity": str(item["severity"]),
                "link": f"{url}{path}" if url and (path := page_of(str(item["subject"]))) else "",
            }
            for item in events[:MOST_LISTED]
        ],
        more=max(int(event.document.get("count", 0)) - MOST_LISTED, 0) if digest else 0,
        facts=facts,
        pictures=[{"name": file.name, "alt": file.alt} for file in files if file.inline],
        attached=", ".join(file.name for file in files if not file.inline),
        link=link,
        action=action,
        because="of your preferences" if event.person else f"{event.address} is in notifications.yaml",
        unsubscribe=unsubscribe,
        address=event.address,
    )


def _link(services: Services, session: Session, event: Event) -> tuple[str, str]:
    """Where the reader goes on, and what is to be done there."""
    url, subject = services.public_url.rstrip("/"), event.subject
    if not url:
        return "", ""
    proposal = session.get(Proposal, subject) if event.kind in DECISIONS and subject[:2] == "p-" else None
    waits = proposal is not None and proposal.state == ProposalState.PENDING
    decide = "Look and decide" if waits else "Open it"
    does = {"p-": decide, "i-": "Open the incident", "t-": "Open the report"}.get(subject[:2], "Open Watchkeeper")
    return f"{url}{page_of(subject)}", does


def page_of(subject: str) -> str:
    """The console's page of a record; "" for what has none.

    >>> page_of("p-1"), page_of("churn")
    ('/approvals/p-1', '')
    """
    page = {"p-": "approvals", "i-": "incidents", "t-": "reports"}.get(subject[:2])
    return f"/{page}/{subject}" if page else ""


def _pictures(services: Services, session: Session, event: Event) -> list[File]:
    """The metric and the drift of the inputs, where the event is about a model's trouble; a report brings its own."""
    if not event.model or event.kind not in PICTURED:
        return []
    from agent.reports import pictures

    incident = session.get(Incident, event.topic) if event.topic.startswith("i-") else None
    proposal = session.get(Proposal, event.subject) if event.subject.startswith("p-") else None
    until = services.now(session)
    begun = incident.opened_at if incident is not None else proposal.created_at if proposal is not None else until
    made = []
    for name, draw in (("metric", pictures.metric_over_time), ("drift", pictures.drift_heat_map)):
        try:
            picture = draw(session, event.model, min(begun, until) - BEFORE, until)
        except (WatchkeeperError, ValueError, ArithmeticError) as error:
            log.warning("%s of %s could not be drawn: %s", name, event.model, error)
            continue
        if picture is not None:
            made.append(File(f"{name}.png", "image/png", picture.png, picture.alt, inline=True))
    return made


def _report(session: Session, event: Event) -> list[File]:
    """The files that the event names, rendered from the facts that are stored."""
    from agent.reports import render

    render_file = getattr(render, "render_file", None)
    if render_file is None:
        return []
    made = []
    for wanted in event.files:
        row = session.get(Report, str(wanted.get("report", "")))
        format = str(wanted.get("format", "pdf"))
        if row is None or format not in MEDIA_TYPES:
            continue
        try:
            content = render_file(row.facts, format)
        except WatchkeeperError as error:
            log.warning("report %s as %s: %s", row.id, format, error)
            continue
        made.append(File(f"watchkeeper-{row.id}.{format}", MEDIA_TYPES[format], content, event.title))
    return made


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()), 300)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("letter.html")
