"""`/models`: what is under watch, and how it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.doors.access import PrincipalDep, needs
from agent.doors.api.inputs import MOST_ITEMS, CursorText, ModelName, ServicesDep, WholeLimit
from agent.doors.api.paging import Page, part
from agent.doors.idempotency import ApiRoute
from agent.store import queries
from agent.store.tables import Model, Proposal
from ml.spec import ModelSpec

router = APIRouter(tags=["models"], route_class=ApiRoute)


class ModelOut(BaseModel):
    """A model and its state: `quiet`, or the state of its open incident."""

    name: str = Field(examples=["bike-demand"])
    task: str = Field(examples=["regression"])
    metric: str = Field(examples=["mae"])
    owner: str = Field(examples=["#bike-demand"])
    state: str = Field(examples=["waiting"])
    champion: str | None = Field(description="the version that answered at the last look", examples=["2"])
    last_look: datetime | None
    rows_in_last_look: int | None
    open_incident: str | None = Field(examples=["i-7k2m9xq4c1"])
    waiting_proposal: str | None = Field(examples=["p-7k2m9xq4c1"])


class DeploymentOut(BaseModel):
    """One line of the deployment ledger."""

    timestamp: datetime
    version: str
    kind: str = Field(examples=["rollback"])
    note: str


class ModelDetail(ModelOut):
    """A model with its spec and its deployment ledger."""

    description: str
    registered_at: datetime
    spec: dict[str, Any]
    deployments: list[DeploymentOut]


class VersionOut(BaseModel):
    """One version in the registry; `metrics` are those of its held-out rows."""

    version: str
    created_at: datetime
    aliases: list[str] = Field(examples=[["champion"]])
    metrics: dict[str, float]
    parameters: dict[str, str]
    data_version: str | None = Field(examples=["p12.l7"])
    code_version: str | None
    parent_version: str | None
    run_id: str


def read_model(session: Session, spec: ModelSpec) -> ModelOut:
    """A model as the records have it; nothing but the database is asked."""
    run, incident = queries.latest_run(session, spec.name), queries.unresolved_incident(session, spec.name)
    waiting = session.scalar(select(Proposal.id).where(Proposal.model == spec.name, Proposal.state == "pending"))
    ledger = queries.deployments(session, spec.name)
    return ModelOut(
        name=spec.name,
        task=spec.task,
        metric=spec.metric,
        owner=spec.owner,
        state=incident.state if incident else "quiet",
        champion=ledger[-1]["version"] if ledger else (run.champion if run else None),
        last_look=run.window_end if run else None,
        rows_in_last_look=run.rows if run else None,
        open_incident=incident.id if incident else None,
        waiting_proposal=waiting,
    )


@router.get("/models", dependencies=[needs("viewer")], summary="Every model under watch")
def list_models(
    services: ServicesDep, principal: PrincipalDep, cursor: CursorText = None, limit: WholeLimit = MOST_ITEMS
) -> Page[ModelOut]:
    with services.store.read() as session:
        seen = [spec for name, spec in sorted(queries.specs(session).items()) if principal.sees(name)]
        shown, after = part(seen, lambda spec: spec.name, cursor, limit)
        return Page(items=[read_model(session, spec) for spec in shown], next=after)


@router.get("/models/{name}", dependencies=[needs("viewer")], summary="One model")
def show_model(services: ServicesDep, name: ModelName) -> ModelDetail:
    with services.store.read() as session:
        spec = queries.spec_of(session, name)
        row = session.get_one(Model, name)
        return ModelDetail(
            **read_model(session, spec).model_dump(),
            description=spec.description,
            registered_at=row.registered_at,
            spec=spec.model_dump(mode="json"),
            deployments=[DeploymentOut.model_validate(entry) for entry in queries.deployments(session, name)],
        )


@router.get(
    "/models/{name}/versions",
    dependencies=[needs("viewer")],
    summary="A model's versions in the registry, newest first",
)
def list_versions(
    services: ServicesDep, name: ModelName, cursor: CursorText = None, limit: WholeLimit = MOST_ITEMS
) -> Page[VersionOut]:
    with services.store.read() as session:
        queries.spec_of(session, name)
    shown, after = part(services.registry.versions(name), lambda info: info.version, cursor, limit)
    return Page(
        items=[
            VersionOut(
                version=info.version,
                created_at=info.created_at,
                aliases=list(info.aliases),
                metrics=info.metrics,
                parameters=info.params,
                data_version=info.data_version,
                code_version=info.code_version,
                parent_version=info.parent_version,
                run_id=info.run_id,
            )
            for info in shown
        ],
        next=after,
    )
