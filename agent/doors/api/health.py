"""`/healthz`: the process answers. `/readyz`: what it needs is there."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from agent.doors.access import public
from agent.doors.api.inputs import ServicesDep
from agent.store.migrate import require_current

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: str = Field("ok", examples=["ok"])


class Ready(BaseModel):
    status: str = Field("ready", examples=["ready"])
    frozen: bool
    people: int = Field(description="how many people approvals.yaml names; with none, nothing can be approved")


@router.get("/healthz", dependencies=[public()], summary="The process answers")
def healthz() -> Alive:
    return Alive()


@router.get(
    "/readyz", dependencies=[public()], summary="The database is there and current, and approvals.yaml can be read"
)
def readyz(services: ServicesDep) -> Ready:
    from agent.store import queries

    require_current(services.store)
    with services.store.read() as session:
        return Ready(frozen=queries.control(session).frozen, people=len(services.policy().people))
