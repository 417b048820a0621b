"""`/freeze`: the kill switch. While it is on, no execution starts, in any process."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from agent.doors.access import PrincipalDep, acting, needs
from agent.doors.api.inputs import IdempotencyKey, Person, ServicesDep, Text
from agent.doors.idempotency import ApiRoute
from agent.pipeline.freeze import freeze, unfreeze, who_asked
from agent.pipeline.services import Services
from agent.store import queries

router = APIRouter(tags=["freeze"], route_class=ApiRoute)


class AskedOut(BaseModel):
    """Somebody who has asked to lift it."""

    person: str
    reason: str
    at: datetime


class FreezeOut(BaseModel):
    """`frozen` stays true until enough different people have asked to lift it."""

    frozen: bool
    by: str = Field("", examples=["ada"])
    reason: str = Field("", examples=["the warehouse is being moved"])
    since: datetime | None = None
    asked_to_lift: list[AskedOut] = []
    still_needed: int = Field(0, description="how many more must ask")
    who_can_still: list[str] = Field([], description="who they can be, by `approvals.yaml`")


class FreezeBody(BaseModel):
    person: Person | None = Field(None, examples=["ada"], description="who; where people sign in, who is signed in")
    reason: Text = Field(min_length=1, examples=["the warehouse is being moved"])


class UnfreezeBody(BaseModel):
    person: Person | None = Field(None, examples=["ada"], description="who; where people sign in, who is signed in")
    reason: Text = ""


def _state(services: Services, session: Session) -> FreezeOut:
    row = queries.control(session)
    if not row.frozen:
        return FreezeOut(frozen=False)
    asked = who_asked(services, session)
    return FreezeOut(
        frozen=True,
        by=row.frozen_by,
        reason=row.frozen_reason,
        since=row.frozen_at,
        asked_to_lift=[AskedOut(person=one.person, reason=one.reason, at=one.at) for one in asked.by],
        still_needed=asked.missing,
        who_can_still=list(asked.could),
    )


@router.get(
    "/freeze",
    dependencies=[needs("viewer")],
    summary="Whether anything may be executed now, and who has asked to lift a freeze",
)
def show_freeze(services: ServicesDep) -> FreezeOut:
    with services.store.read() as session:
        return _state(services, session)


@router.post(
    "/freeze", dependencies=[needs("operator", "propose")], summary="Stop: nothing is executed until this is lifted"
)
def set_freeze(
    services: ServicesDep, principal: PrincipalDep, body: FreezeBody, idempotency_key: IdempotencyKey = None
) -> FreezeOut:
    with services.store.write() as session:
        freeze(services, session, person=acting(principal, body.person), reason=body.reason)
        return _state(services, session)


@router.delete(
    "/freeze",
    dependencies=[needs("approver", "decide")],
    summary="Ask that executions start again; with the second person's word they do",
)
def lift_freeze(services: ServicesDep, principal: PrincipalDep, body: UnfreezeBody) -> FreezeOut:
    with services.store.write() as session:
        unfreeze(services, session, person=acting(principal, body.person), reason=body.reason)
        return _state(services, session)
