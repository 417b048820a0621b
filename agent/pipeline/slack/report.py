"""A report in Slack: its summary as a message, the whole as a PDF in the thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from agent.pipeline.event import Event, Post
from agent.pipeline.services import Services
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack import posts
from agent.pipeline.slack.blocks import Block
from agent.pipeline.slack.text import bold, code, console, disarmed, link, said
from agent.store.tables import Report
from notifications.message import File

PARAGRAPH, MOST_PARAGRAPHS, MOST_NEEDS = 1400, 4, 5


def report_posts(services: Services, session: Session, event: Event, thread: str) -> list[Post]:
    """The message of a report; its file is rendered only where it is still to be sent."""
    row = session.get(Report, event.subject)
    if row is None or posts.found(session, event.key, "report", event.address) is not None:
        return []
    card = report_card(row, event.title, services.public_url)
    files = report_files(row, event.files)
    post = posts.once(services, session, event, "report", card, thread, files)
    return [post] if post is not None else []


def report_card(row: Report, title: str, public_url: str = "") -> dict[str, Any]:
    facts: Mapping[str, Any] = row.facts
    paragraphs = [part for part in str(facts.get("summary") or "").split("\n") if part.strip()][:MOST_PARAGRAPHS]
    needs = facts.get("needs_you") or []
    needs = [needs] if isinstance(needs, str) else list(needs)
    parts: list[Block] = [kit.header(f"📄 {disarmed(title, 200)}")]
    parts += [kit.section(said(part, PARAGRAPH)) for part in paragraphs]
    if counts := _counts(facts):
        parts.append(kit.fields(counts))
    if needs:
        lines = [f"• {said(one, 300)}" for one in needs[:MOST_NEEDS]]
        parts.append(kit.section(f"{bold('What needs you')}\n" + "\n".join(lines)))
    page = console(public_url, f"/reports/{row.id}")
    parts.append(kit.context(f"{link(page, row.id)} · the whole report is the PDF in this thread"))
    first = said(paragraphs[0], 600) if paragraphs else ""
    return kit.document(f"📄 {said(title, 200)}. {first}", parts)


def report_files(row: Report, wanted: Sequence[Mapping[str, Any]] = ()) -> list[File]:
    """The report as files: PDF, and what else the event names. Raises nothing: a format that fails is left away."""
    from agent.domain.errors import WatchkeeperError
    from agent.reports.render import MEDIA_TYPES, render_file

    formats = dict.fromkeys(["pdf", *(str(one.get("format", "pdf")) for one in wanted)])
    made = []
    for name in formats:
        if name not in MEDIA_TYPES:
            continue
        try:
            content = render_file(row.facts, name)
        except WatchkeeperError:
            continue
        made.append(File(f"{row.id}.{name}", MEDIA_TYPES[name], content, f"report {row.id}"))
    return made


def _counts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    counts = facts.get("counts")
    if not isinstance(counts, Mapping):
        return []
    return [
        (said(str(name).capitalize(), 40), said(str(value), 20))
        for name, value in counts.items()
        if isinstance(value, int)
    ][:8]


def report_line(row: Report, public_url: str = "") -> str:
    """One line of a list."""
    about = code(row.model, 60) if row.model else "all models"
    return f"{link(console(public_url, f'/reports/{row.id}'), row.id)} {said(row.kind, 40)} of {about}"
