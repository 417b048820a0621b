"""`/audit`: everything that changed, append-only and hash-chained."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from agent.domain.errors import NotAllowed
from agent.doors.access import PrincipalDep, needs
from agent.doors.api.inputs import CursorText, Limit, ServicesDep, Word
from agent.doors.api.paging import Page, page
from agent.store.tables import AuditEvent

router = APIRouter(tags=["audit"])


class AuditOut(BaseModel):
    """One event; `hash` binds it to all before it (`watchkeeper audit verify` checks the chain)."""

    seq: int
    at: datetime
    actor: str = Field(examples=["ada"])
    event: str = Field(examples=["proposal approved"])
    subject: str = Field(examples=["p-7k2m9xq4c1"])
    data: dict[str, Any]
    hash: str


def require_whole_sight(principal: PrincipalDep) -> None:
    """Raises: NotAllowed for who may see some models only: the chain is one, and is of all of them."""
    if principal.models is not None:
        raise NotAllowed("The audit is of all models, and you see some of them; an incident shows its own timeline.")


@router.get("/audit", dependencies=[needs("viewer")], summary="The audit, newest first")
def list_audit(
    services: ServicesDep,
    principal: PrincipalDep,
    subject: Annotated[Word | None, Query(description="an incident, a proposal, …")] = None,
    actor: Annotated[Word | None, Query()] = None,
    cursor: CursorText = None,
    limit: Limit = 100,
) -> Page[AuditOut]:
    require_whole_sight(principal)
    query = select(AuditEvent)
    if subject is not None:
        query = query.where(AuditEvent.subject == subject)
    if actor is not None:
        query = query.where(AuditEvent.actor == actor)
    with services.store.read() as session:
        rows, after = page(session, query, (AuditEvent.seq,), cursor, limit)
        return Page(items=[AuditOut.model_validate(row, from_attributes=True) for row in rows], next=after)
