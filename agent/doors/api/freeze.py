"""`/freeze`: the kill switch. While it is on, no execution starts, in any process."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from agent.doors.api.inputs import IdempotencyKey, Person, ServicesDep, Text
from agent.pipeline.freeze import freeze, unfreeze
from agent.store import queries
from agent.store.tables import Control

router = APIRouter(tags=["freeze"])


class FreezeOut(BaseModel):
    frozen: bool
    by: str = Field("", examples=["ada"])
    reason: str = Field("", examples=["the warehouse is being moved"])
    since: datetime | None = None


class FreezeBody(BaseModel):
    person: Person = Field(examples=["ada"])
    reason: Text = Field(min_length=1, examples=["the warehouse is being moved"])


class UnfreezeBody(BaseModel):
    person: Person = Field(examples=["ada"])
    reason: Text = ""


def _state(row: Control) -> FreezeOut:
    if not row.frozen:
        return FreezeOut(frozen=False)
    return FreezeOut(frozen=True, by=row.frozen_by, reason=row.frozen_reason, since=row.frozen_at)


@router.get("/freeze", summary="Whether anything may be executed now")
def show_freeze(services: ServicesDep) -> FreezeOut:
    with services.store.read() as session:
        return _state(queries.control(session))


@router.post("/freeze", summary="Stop: nothing is executed until this is lifted")
def set_freeze(services: ServicesDep, body: FreezeBody, idempotency_key: IdempotencyKey = None) -> FreezeOut:
    with services.store.write() as session:
        freeze(services, session, person=body.person, reason=body.reason)
        return _state(queries.control(session))


@router.delete("/freeze", summary="Let executions start again")
def lift_freeze(services: ServicesDep, body: UnfreezeBody) -> FreezeOut:
    with services.store.write() as session:
        unfreeze(services, session, person=body.person, reason=body.reason)
        return _state(queries.control(session))
