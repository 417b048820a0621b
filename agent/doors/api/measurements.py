"""`/models/{name}/measurements`, `/drift`, `/performance`: the numbers that the monitors gave."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from agent.doors.access import needs
from agent.doors.api.inputs import CursorText, Limit, ModelName, ServicesDep, Since, Word
from agent.doors.api.models import DeploymentOut
from agent.doors.api.paging import Page, page
from agent.doors.idempotency import ApiRoute
from agent.store import queries
from agent.store.tables import MeasurementRow

router = APIRouter(tags=["measurements"], route_class=ApiRoute)


class MeasurementOut(BaseModel):
    """One number of one look. `value` is null exactly when `status` is `no_data`, which is never `ok`."""

    monitor: str = Field(examples=["drift.psi"])
    feature: str | None = Field(examples=["temp"])
    segment: str | None
    window_start: datetime
    window_end: datetime
    value: float | None
    low: float | None = Field(description="lower end of the 95 % interval")
    high: float | None
    n: int
    unit: str
    threshold: float | None
    status: str = Field(examples=["ok"])
    detail: str
    facts: dict[str, Any]


class Drift(BaseModel):
    """Every drift measurement of the latest look, the largest first."""

    model: str
    window_start: datetime | None
    window_end: datetime | None
    items: list[MeasurementOut]


class Performance(BaseModel):
    """The headline metric over time, with the deployments that may explain its steps."""

    model: str
    metric: str
    better: str = Field(examples=["lower"])
    points: list[MeasurementOut]
    deployments: list[DeploymentOut]


def read_measurement(row: MeasurementRow) -> MeasurementOut:
    return MeasurementOut.model_validate(row, from_attributes=True)


@router.get(
    "/models/{name}/measurements", dependencies=[needs("viewer")], summary="What the monitors measured, newest first"
)
def list_measurements(
    services: ServicesDep,
    name: ModelName,
    monitor: Annotated[Word | None, Query(description="`drift.psi`, or a family such as `drift`")] = None,
    feature: Annotated[Word | None, Query(description="a column")] = None,
    since: Since = None,
    cursor: CursorText = None,
    limit: Limit = 100,
) -> Page[MeasurementOut]:
    query = select(MeasurementRow).where(MeasurementRow.model == name)
    if monitor is not None:
        exact = MeasurementRow.monitor == monitor
        query = query.where(
            exact if "." in monitor else MeasurementRow.monitor.startswith(f"{monitor}.", autoescape=True)
        )
    if feature is not None:
        query = query.where(MeasurementRow.feature == feature)
    if since is not None:
        query = query.where(MeasurementRow.window_end >= since)
    with services.store.read() as session:
        queries.spec_of(session, name)
        rows, after = page(session, query, (MeasurementRow.id,), cursor, limit)
        return Page(items=[read_measurement(row) for row in rows], next=after)


@router.get(
    "/models/{name}/drift", dependencies=[needs("viewer")], summary="How far the inputs have moved, at the latest look"
)
def show_drift(services: ServicesDep, name: ModelName) -> Drift:
    with services.store.read() as session:
        queries.spec_of(session, name)
        run = queries.latest_run(session, name)
        if run is None:
            return Drift(model=name, window_start=None, window_end=None, items=[])
        rows = session.scalars(
            select(MeasurementRow).where(MeasurementRow.run_id == run.id, MeasurementRow.monitor.startswith("drift."))
        ).all()
        ordered = sorted(rows, key=lambda row: (row.value is None, -(row.value or 0.0), row.feature or ""))
        return Drift(
            model=name,
            window_start=run.window_start,
            window_end=run.window_end,
            items=[read_measurement(row) for row in ordered],
        )


@router.get("/models/{name}/performance", dependencies=[needs("viewer")], summary="The headline metric over time")
def show_performance(services: ServicesDep, name: ModelName, since: Since = None, limit: Limit = 200) -> Performance:
    with services.store.read() as session:
        spec = queries.spec_of(session, name)
        query = select(MeasurementRow).where(
            MeasurementRow.model == name,
            MeasurementRow.monitor == f"performance.{spec.metric}",
            MeasurementRow.segment.is_(None),
        )
        if since is not None:
            query = query.where(MeasurementRow.window_end >= since)
        rows = session.scalars(
            query.order_by(MeasurementRow.window_end.desc(), MeasurementRow.id.desc()).limit(limit)
        ).all()
        return Performance(
            model=name,
            metric=spec.metric,
            better="higher" if spec.higher_is_better else "lower",
            points=[read_measurement(row) for row in reversed(rows)],
            deployments=[DeploymentOut.model_validate(entry) for entry in queries.deployments(session, name)],
        )
