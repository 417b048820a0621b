"""What became of each message, and sending again what was given up."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, InvalidInput, NotFound
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import Delivery, Destination, Outbox

LISTED = 100


def deliveries(
    session: Session, *, state: str | None = None, channel: str | None = None, limit: int = LISTED
) -> list[tuple[Delivery, Outbox]]:
    """The latest deliveries with their events, the newest first."""
    query = select(Delivery, Outbox).join(Outbox, Delivery.event_id == Outbox.id)
    if state is not None:
        query = query.where(Delivery.state == state)
    if channel is not None:
        query = query.where(Delivery.channel == channel)
    rows = session.execute(query.order_by(Delivery.created_at.desc(), Delivery.id.desc()).limit(limit))
    return [(delivery, event) for delivery, event in rows]


def one_of_them(session: Session, wanted: str, *, lock: bool = False) -> Delivery:
    """The delivery whose id starts so. Raises: NotFound, InvalidInput where several do."""
    query = select(Delivery).where(Delivery.id.startswith(wanted, autoescape=True)).limit(2)
    found = session.scalars(query.with_for_update() if lock else query).all()
    if not wanted or not found:
        raise NotFound(f"There is no delivery {wanted!r}; `watchkeeper delivery list` shows them.")
    if len(found) > 1:
        raise InvalidInput(f"Several deliveries start with {wanted!r}; write more of the id.")
    return found[0]


def retry(services: Services, wanted: str, *, actor: str) -> Delivery:
    """Send one again now: it was refused, given up, or rests. Raises: NotFound, Conflict when it is there."""
    with services.store.write() as session:
        row = one_of_them(session, wanted, lock=True)
        if row.state == "delivered":
            raise Conflict(f"Delivery {row.id} arrived at {row.delivered_at:%Y-%m-%d %H:%M} UTC; it is not sent twice.")
        if row.state == "collapsed":
            raise Conflict(f"Delivery {row.id} was told by {row.told_by}; look at that one.")
        _again(session, services, [row], actor)
        return row


def retry_failed(services: Services, *, channel: str | None = None, actor: str) -> int:
    """Send again everything that failed; how many."""
    with services.store.write() as session:
        query = select(Delivery).where(Delivery.state == "failed")
        if channel is not None:
            query = query.where(Delivery.channel == channel)
        rows = session.scalars(query.order_by(Delivery.event_id).with_for_update()).all()
        _again(session, services, rows, actor)
        return len(rows)


def counts(session: Session) -> dict[str, int]:
    """How many deliveries are in each state."""
    rows = session.execute(select(Delivery.state, func.count()).group_by(Delivery.state))
    return dict(sorted((state, count) for state, count in rows))


def _again(session: Session, services: Services, rows: Sequence[Delivery], actor: str) -> None:
    for row in rows:
        row.state, row.next_try_at, row.attempts, row.error, row.why = "waiting", None, 0, "", ""
        place = session.get(Destination, (row.channel, row.address), with_for_update=True)
        if place is not None:
            place.ready_at, place.failures = None, 0
        audit.append(
            session,
            at=services.now(session),
            actor=actor,
            event="delivery retried",
            subject=row.id,
            data={"channel": row.channel, "address": row.address},
        )
