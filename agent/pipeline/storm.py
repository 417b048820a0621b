"""When many things go wrong at once: the first few are told one by one, the rest in digests."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.domain.notifying import JOURNAL, WEBHOOK, Storm
from agent.pipeline.event import DIGEST
from agent.store.tables import Delivery, Outbox

STORM = "storm"
FIRST_DIGEST = timedelta(seconds=30)
FOR_PROGRAMS = (JOURNAL, WEBHOOK)
"""Channels whose readers want every event."""


def held_until(
    session: Session, rule: Storm, row: Outbox, channel: str, address: str, wall: datetime
) -> datetime | None:
    """Until when an event is kept for a digest, because its address is being told of too many things; None: it is not.

    What belongs to an incident that was told by itself goes on being told by itself.
    """
    if channel in FOR_PROGRAMS:
        return None
    here = [Delivery.channel == channel, Delivery.address == address]
    recent = select(Outbox.topic).join(Delivery, Delivery.event_id == Outbox.id)
    recent = recent.where(*here, Outbox.kind != DIGEST, Delivery.why != STORM)
    if session.scalar(recent.where(Outbox.topic == row.topic).limit(1)) is not None:
        return None
    told = recent.where(Delivery.created_at > wall - rule.within).distinct().subquery()
    if (session.scalar(select(func.count()).select_from(told)) or 0) < rule.more_than:
        return None
    held = select(func.min(Delivery.next_try_at)).where(*here, Delivery.state == "held", Delivery.why == STORM)
    if (next_digest := session.scalar(held)) is not None:
        return max(next_digest, wall)
    digests = select(func.max(Delivery.created_at)).join(Outbox, Delivery.event_id == Outbox.id)
    last = session.scalar(digests.where(*here, Outbox.kind == DIGEST, Delivery.created_at > wall - rule.within))
    return last + rule.within if last is not None else wall + min(FIRST_DIGEST, rule.within)
