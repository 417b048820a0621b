"""Claim the next delivery of an address; record how it ended. Each in a transaction of its own, around no network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select

from agent.pipeline import lease
from agent.pipeline.event import Event, Post, event_of
from agent.pipeline.services import Services
from agent.store.tables import Delivery, Destination, Outbox
from notifications.message import DeliveryFailed, Receipt, Refused

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=15)
IN_THE_WAY = 5
"""A message that failed so often no longer holds up the next one at its address; it is tried on its own."""
GIVEN_UP, LEAST_TRIES = timedelta(days=3), 10


@dataclass(slots=True)
class Claim:
    """A delivery that is ours to send. `again`: an earlier try may have arrived. `sent`: its posts that have."""

    id: str
    channel: str
    address: str
    token: str
    event: Event
    again: bool
    sent: dict[str, Any]


def claim_next(services: Services, channel: str, address: str, token: str) -> Claim | None:
    """The next delivery that is due at an address, marked as begun; None where none is, or the address is lost."""
    with services.store.write() as session:
        wall = services.wall()
        if not lease.renew(session, services, channel, address, token):
            return None
        due = or_(Delivery.next_try_at.is_(None), Delivery.next_try_at <= wall)
        query = select(Delivery).where(
            Delivery.channel == channel, Delivery.address == address, Delivery.state == "waiting", due
        )
        row = session.scalar(query.order_by(Delivery.event_id).limit(1).with_for_update())
        if row is None:
            return None
        again, row.started_at, row.attempts = row.started_at is not None, wall, row.attempts + 1
        event = event_of(session.get_one(Outbox, row.event_id), row)
        return Claim(row.id, channel, address, token, event, again, dict(row.sent))


def record_post(services: Services, claim: Claim, post: Post, receipt: Receipt) -> None:
    """One post of a delivery has arrived; what its composer remembers of it is kept in the same transaction."""
    with services.store.write() as session:
        row = session.get_one(Delivery, claim.id, with_for_update=True)
        row.sent = dict(claim.sent)
        if post.arrived is not None:
            post.arrived(session, receipt)
        lease.renew(session, services, claim.channel, claim.address, claim.token)


def record(services: Services, claim: Claim, problem: Exception | None) -> str:
    """How a try ended: `delivered`; `failed` for good; or `paused`, to be tried again when the address has rested."""
    with services.store.write() as session:
        wall = services.wall()
        row = session.get_one(Delivery, claim.id, with_for_update=True)
        place = session.get_one(Destination, (claim.channel, claim.address), with_for_update=True)
        if row.state == "delivered":
            return "delivered"
        row.error, row.sent = str(problem or "")[:2000], dict(claim.sent)
        if problem is None:
            row.state, row.delivered_at, row.started_at, row.next_try_at = "delivered", wall, None, None
            place.failures, place.error, place.ready_at = 0, "", None
            return "delivered"
        if isinstance(problem, Refused):
            row.state, row.started_at, row.next_try_at = "failed", None, None
            return "failed"
        unknown = isinstance(problem, DeliveryFailed) and problem.unknown
        if not unknown:
            row.started_at = None
        place.error = row.error
        asked = problem.retry_after if isinstance(problem, DeliveryFailed) else None
        if asked is not None:
            row.attempts -= 1  # told to wait is no failure
            pause = min(timedelta(seconds=max(asked, 0.0)), LONGEST_PAUSE)
        else:
            place.failures += 1
            pause = pause_after(place.failures)
            if row.attempts >= LEAST_TRIES and wall - row.created_at >= GIVEN_UP:
                row.state, row.next_try_at = "failed", None
                return "failed"
            if row.attempts >= IN_THE_WAY:
                row.next_try_at = wall + pause_after(row.attempts)
        place.ready_at = wall + pause
        return "paused"


def pause_after(failures: int) -> timedelta:
    """How long an address rests after so many failures in a row.

    >>> [pause_after(n).total_seconds() for n in (1, 2, 3, 20)]
    [5.0, 10.0, 20.0, 900.0]
    """
    return min(FIRST_PAUSE * int(2 ** min(failures - 1, 20)), LONGEST_PAUSE)
