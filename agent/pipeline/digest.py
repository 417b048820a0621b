"""What was kept back goes out: one message as it is, several as one digest that says how many and which."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.alerting import SEVERITIES, worst
from agent.domain.notifying import DECISIONS
from agent.pipeline.event import DIGEST
from agent.pipeline.services import Services
from agent.store.tables import Delivery, Outbox

LISTED = 500
IN_BODY = 20


def release_due(services: Services) -> int:
    """Let go of what was held until now; how many addresses are told."""
    due = (Delivery.state == "held", Delivery.next_try_at <= services.wall())
    with services.store.read() as session:
        places = session.execute(select(Delivery.channel, Delivery.address).where(*due).distinct()).all()
    released = 0
    for channel, address in places:
        with services.store.write() as session:
            query = select(Delivery).where(*due, Delivery.channel == channel, Delivery.address == address)
            rows = session.scalars(query.order_by(Delivery.event_id).with_for_update(skip_locked=True)).all()
            released += bool(rows)
            if len(rows) == 1:
                rows[0].state, rows[0].next_try_at = "waiting", None
            elif rows:
                _collapse(session, rows, services.wall(), services.public_url)
    return released


def _collapse(session: Session, rows: Sequence[Delivery], wall: datetime, url: str) -> None:
    """Several deliveries to one address become one event, and one delivery of it."""
    found = session.scalars(select(Outbox).where(Outbox.id.in_([row.event_id for row in rows])).order_by(Outbox.id))
    events = found.all()
    first = rows[0]
    place = hashlib.sha256(f"{first.channel}\x1f{first.address}".encode()).hexdigest()[:12]
    title, body = digest_text(events, url)
    digest = Outbox(
        key=f"digest:{place}:{events[0].id}-{events[-1].id}",
        recipient=first.address,
        title=title,
        body=body,
        subject="",
        created_at=wall,
        kind=DIGEST,
        severity=worst(event.severity for event in events if event.severity in SEVERITIES),
        document={
            "count": len(events),
            "since": min(event.created_at for event in events).isoformat(),
            "until": max(event.created_at for event in events).isoformat(),
            "why": first.why,
            "events": [_line(event) for event in _gravest_first(events)[:LISTED]],
        },
        files=[],
        routed_at=wall,
    )
    session.add(digest)
    session.flush()
    told = Delivery(
        event_id=digest.id, channel=first.channel, address=first.address, person=first.person, created_at=wall
    )
    session.add(told)
    session.flush()
    for row in rows:
        row.state, row.told_by, row.next_try_at = "collapsed", told.id, None


def digest_text(events: Sequence[Outbox], url: str = "") -> tuple[str, str]:
    """Title and body: how many of what, the gravest first, and where to see the rest."""
    kinds = Counter(event.kind for event in events)
    models = sorted({event.model for event in events if event.model})
    many = ", ".join(f"{count} × {kind.replace('_', ' ')}" for kind, count in kinds.most_common(4))
    where = f" on {len(models)} models" if len(models) > 1 else f" on {models[0]}" if models else ""
    lines = [f"• {event.title}" for event in _gravest_first(events)[:IN_BODY]]
    if (rest := len(events) - len(lines)) > 0:
        lines.append(f"… and {rest} more.")
    lines.append(f"All of them: {url}/activity" if url else "All of them: watchkeeper delivery list --state collapsed")
    return f"{len(events)} messages: {many}{where}", "\n".join(lines)


def _gravest_first(events: Sequence[Outbox]) -> list[Outbox]:
    """What waits for a person first, then by severity, then in order."""

    def rank(event: Outbox) -> tuple[bool, int, int]:
        grave = SEVERITIES.index(event.severity) if event.severity in SEVERITIES else 0
        return event.kind not in DECISIONS, -grave, event.id

    return sorted(events, key=rank)


def _line(event: Outbox) -> dict[str, str]:
    names = ("key", "kind", "title", "model", "severity", "subject", "topic")
    return {name: getattr(event, name) for name in names}
