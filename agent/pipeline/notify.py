"""Deliver what the outbox promises: at least once, in order, tried again with growing pauses."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import or_, select

from agent.pipeline.services import Services
from agent.store.tables import Outbox
from notifications.message import DeliveryFailed, Message

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=1)


def deliver_due(services: Services) -> int:
    """Deliver every message that is due; how many arrived. A crash between delivery and commit delivers it again."""
    arrived = 0
    while (tried := _deliver_one(services)) is not None:
        arrived += tried
    return arrived


def _deliver_one(services: Services) -> bool | None:
    """Whether the next message that is due arrived; None where none is."""
    with services.store.write() as session:
        wall = services.wall()
        row = session.scalar(
            select(Outbox)
            .where(Outbox.delivered_at.is_(None), or_(Outbox.next_try_at.is_(None), Outbox.next_try_at <= wall))
            .order_by(Outbox.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return None
        row.attempts += 1
        try:
            services.channel.deliver(Message(row.key, row.recipient, row.title, row.body))
        except DeliveryFailed as error:
            row.error = str(error)
            row.next_try_at = wall + min(FIRST_PAUSE * 2 ** min(row.attempts, 12), LONGEST_PAUSE)
        else:
            row.delivered_at, row.error = wall, ""
        return row.delivered_at is not None
