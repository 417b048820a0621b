"""What is said in a thread as things happen, one line each, and in messages of their own where there is no thread."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from agent.domain.wording import in_order_to
from agent.pipeline.event import Event
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack.text import bold, console, link, said
from agent.store.tables import AuditEvent, Proposal

ICONS = {
    "executed": "✅",
    "verified": "👀",
    "abandoned": "❌",
    "stage": "➡️",
    "escalated": "🙋",
    "fix_data": "🧹",
    "incident": "🔔",
    "reminder": "⏰",
    "escalation": "🚨",
    "report": "📄",
}
TITLE, BODY = 300, 2400
LONG = 2000
"""A body longer than this goes along as a file."""


def event_line(event: Event) -> dict[str, Any]:
    """An event of the outbox as a message: its title, and its body as it is."""
    icon = ICONS.get(event.kind, "•")
    told = [f"{icon} {bold(said(event.title, TITLE))}"]
    told += [said(line, BODY // 4) for line in event.body.splitlines()[:8] if line.strip()]
    return kit.document(f"{icon} {said(event.title, TITLE)}", [kit.section("\n".join(told))])


def change_line(session: Session, event: Event) -> dict[str, Any] | None:
    """What an event of the audit means for who reads the thread; None where the card says enough."""
    row = session.get(AuditEvent, int(event.document.get("seq", 0)))
    if row is None:
        return None
    told = _told(session, row)
    return kit.document(told, [kit.section(told)]) if told else None


def _told(session: Session, row: AuditEvent) -> str:
    actor, reason = said(row.actor, 80), said(row.data.get("reason", ""), BODY)
    quoted = f"\n{reason}" if reason else ""
    match row.event:
        case "decision approve":
            return f"👍 {bold(actor)} approved.{quoted}"
        case "decision reject":
            return f"⛔ {bold(actor)} rejected.{quoted}"
        case "proposal approved":
            return f"✅ {bold('Approved')}: {_does(session, row)}."
        case "proposal rejected":
            return f"⛔ {bold('Rejected')}; nothing is done."
        case "proposal expired":
            return f"⌛ {bold('Expired')}: {reason or 'nobody decided in time'}."
        case "proposal superseded":
            return f"↪️ {bold('Overtaken')}: {reason}."
        case "proposal withdrawn":
            return f"↩️ {bold('Withdrawn')} by {actor}.{quoted}"
        case "incident resolved":
            return f"✅ {bold('Resolved')}.{quoted}"
    return ""


def _does(session: Session, row: AuditEvent) -> str:
    proposal = session.get(Proposal, row.subject)
    return said(in_order_to(proposal.action), 600) if proposal is not None else row.subject


def digest_card(event: Event, public_url: str = "") -> dict[str, Any]:
    """Many at once, in one message: how many, the gravest first, and where to see all."""
    events = list(event.document.get("events", ()))
    lines = []
    for one in events[:MOST_IN_DIGEST]:
        icon = {"critical": "🔴", "warning": "🟠"}.get(str(one.get("severity")), "🔵")
        lines.append(f"{icon} {said(one.get('title', ''), 160)}")
    rest = int(event.document.get("count", len(events))) - len(lines)
    if rest > 0:
        lines.append(f"… and {rest} more")
    storm = event.document.get("why") == "storm"
    head = "🌩️ Many alerts at once" if storm else "🗞️ Since the last digest"
    parts = [kit.header(head), kit.section(bold(said(event.title, TITLE)))]
    parts += [kit.section("\n".join(lines[at : at + 10])) for at in range(0, len(lines), 10)]
    page = console(public_url, "/alerts")
    parts.append(kit.context(link(page, "All of them in the console") if page else "All of them: `watchkeeper alerts`"))
    return kit.document(f"{head}: {said(event.title, TITLE)}", parts)


MOST_IN_DIGEST = 30
