"""`/reports`: what happened to an incident, in the format that is asked for; every format says the same numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import NotFound
from agent.doors.access import PrincipalDep, needs, within
from agent.doors.api.inputs import CursorText, Limit, RecordId, ServicesDep, Word
from agent.doors.api.paging import Page, page
from agent.reports.render import render
from agent.store.tables import Report

router = APIRouter(tags=["reports"])
MEDIA_TYPES = {"html": "text/html", "md": "text/markdown", "json": "application/json"}
CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups"
)


class ReportOut(BaseModel):
    """A report in the list; `GET /reports/{id}` has the whole of it."""

    id: str = Field(examples=["t-7k2m9xq4c1"])
    kind: str = Field(examples=["incident"])
    model: str | None
    incident_id: str | None
    created_at: datetime
    summary: str


def find_report(session: Session, wanted: str) -> Report:
    """Raises: NotFound."""
    row = session.get(Report, wanted)
    if row is None:
        raise NotFound(f"There is no report {wanted!r}; an incident's report is written when it closes.")
    return row


@router.get("/reports", dependencies=[needs("viewer")], summary="Reports, newest first")
def list_reports(
    services: ServicesDep,
    principal: PrincipalDep,
    model: Annotated[Word | None, Query()] = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[ReportOut]:
    query = select(Report)
    if model is not None:
        query = query.where(Report.model == model)
    with services.store.read() as session:
        query = query.where(within(principal, session, Report.model))
        rows, after = page(session, query, (Report.created_at, Report.id), cursor, limit)
        items = [
            ReportOut(
                id=row.id,
                kind=row.kind,
                model=row.model,
                incident_id=row.incident_id,
                created_at=row.created_at,
                summary=str(row.facts.get("summary", "")),
            )
            for row in rows
        ]
        return Page(items=items, next=after)


@router.get(
    "/reports/{id}",
    dependencies=[needs("viewer")],
    summary="One report",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}, "description": "the report"}},
)
def show_report(
    services: ServicesDep, id: RecordId, format: Annotated[Literal["html", "md", "json"], Query()] = "html"
) -> Response:
    with services.store.read() as session:
        facts = find_report(session, id).facts
    headers = {"content-security-policy": CONTENT_POLICY} if format == "html" else None
    return Response(render(facts, format), headers=headers, media_type=MEDIA_TYPES[format])
