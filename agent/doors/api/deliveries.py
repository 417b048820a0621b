"""`/deliveries`: where each message went, and what became of it there."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from agent.doors.access import PrincipalDep, needs, require_sight, within
from agent.doors.api.inputs import CursorText, IdempotencyKey, Limit, RecordId, ServicesDep, Word
from agent.doors.api.paging import Page, page
from agent.doors.idempotency import ApiRoute
from agent.pipeline import redeliver
from agent.store.tables import Delivery, Outbox

router = APIRouter(tags=["deliveries"], route_class=ApiRoute)


class DeliveryOut(BaseModel):
    """One message on its way to one address."""

    id: str = Field(examples=["n-7k2m9xq4c1"])
    key: str = Field(examples=["incident:i-7k2m9xq4c1"])
    kind: str = Field(examples=["incident"])
    title: str
    model: str
    severity: str
    channel: str = Field(examples=["mail"])
    address: str = Field(examples=["oncall@example.com"])
    state: str = Field(examples=["delivered"], description="waiting, delivered, failed, held or collapsed")
    why: str = Field(description="why it is held: quiet hours, digest, storm")
    attempts: int
    error: str
    created_at: datetime
    next_try_at: datetime | None
    delivered_at: datetime | None
    told_by: str | None = Field(description="the digest that told it, where it is collapsed")


def delivery_out(row: Delivery, event: Outbox) -> DeliveryOut:
    own = ("id", "channel", "address", "state", "why", "attempts", "error", "created_at", "next_try_at", "delivered_at")
    return DeliveryOut(
        **{name: getattr(row, name) for name in (*own, "told_by")},
        **{name: getattr(event, name) for name in ("key", "kind", "title", "model", "severity")},
    )


@router.get("/deliveries", dependencies=[needs("operator")], summary="Messages and what became of them, newest first")
def list_deliveries(
    services: ServicesDep,
    principal: PrincipalDep,
    state: Annotated[Word | None, Query(examples=["failed"])] = None,
    channel: Annotated[Word | None, Query(examples=["mail"])] = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[DeliveryOut]:
    query = select(Delivery)
    if state is not None:
        query = query.where(Delivery.state == state)
    if channel is not None:
        query = query.where(Delivery.channel == channel)
    with services.store.read() as session:
        if principal.models is not None:
            seen = select(Outbox.id).where(within(principal, session, Outbox.model))
            query = query.where(Delivery.event_id.in_(seen))
        rows, after = page(session, query, (Delivery.created_at, Delivery.id), cursor, limit)
        ids = [row.event_id for row in rows]
        events = {event.id: event for event in session.scalars(select(Outbox).where(Outbox.id.in_(ids)))}
        return Page(items=[delivery_out(row, events[row.event_id]) for row in rows], next=after)


@router.post(
    "/deliveries/{id}/retry",
    dependencies=[needs("operator", scope="propose")],
    summary="Send one again now, whether it was refused, given up, or is resting",
)
def retry_delivery(
    services: ServicesDep, principal: PrincipalDep, id: RecordId, idempotency_key: IdempotencyKey = None
) -> DeliveryOut:
    with services.store.read() as session:
        wanted = redeliver.one_of_them(session, id)
        model = session.get_one(Outbox, wanted.event_id).model
        require_sight(principal, model, f"There is no delivery {id!r}.")
    row = redeliver.retry(services, wanted.id, actor=principal.name or "local")
    with services.store.read() as session:
        return delivery_out(row, session.get_one(Outbox, row.event_id))
