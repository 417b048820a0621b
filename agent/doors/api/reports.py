"""`/reports`: those that were written, each in the format asked for, and a new one; every format says the same."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import InvalidInput, NotFound
from agent.doors.access import PrincipalDep, needs, require_sight, within
from agent.doors.api.inputs import CursorText, IdempotencyKey, Limit, RecordId, ServicesDep, Word
from agent.doors.api.paging import Page, page
from agent.doors.idempotency import ApiRoute
from agent.pipeline.reporting import Wanted, gather, keep, told
from agent.reports.render import MEDIA_TYPES, render_file
from agent.store.tables import Report
from ml.spec import parse_duration

router = APIRouter(tags=["reports"], route_class=ApiRoute)
CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups"
)


SHOWN: dict[str, dict[str, object]] = {kind: {} for kind in MEDIA_TYPES.values()}
SHOWN["text/markdown"] = {"example": "# churn, 1 to 7 March 2026\n\nOne incident, resolved in 34 minutes …"}


class ReportOut(BaseModel):
    """A report in the list; `GET /reports/{id}` has the whole of it."""

    id: str = Field(examples=["t-7k2m9xq4c1"])
    kind: str = Field(examples=["incident"])
    model: str | None
    incident_id: str | None
    created_at: datetime
    period_start: datetime | None = None
    period_end: datetime | None = None
    audience: str = ""
    summary: str
    summary_by: str = "template"


class ReportIn(BaseModel):
    """A report that is wanted now. `period` back from now; a comparison sets it beside the one before it."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["period", "daily", "weekly", "monthly", "comparison", "card"] = "period"
    model: Word | None = Field(None, description="one model; absent for all that you may see")
    period: Word | None = Field(None, examples=["30d"], description="default: as long as the kind says, else a week")
    version: Word | None = Field(None, description="of a model card; default: the champion")


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
        items = [_out(row) for row in rows]
        return Page(items=items, next=after)


@router.get(
    "/reports/{id}",
    dependencies=[needs("viewer")],
    summary="One report",
    response_class=Response,
    responses={200: {"content": SHOWN, "description": "the report"}},
)
def show_report(
    services: ServicesDep,
    id: RecordId,
    accept: Annotated[Word, Header()] = "",
    format: Annotated[
        Literal["html", "pdf", "md", "json"] | None, Query(description="else what Accept asks for")
    ] = None,
) -> Response:
    with services.store.read() as session:
        facts = find_report(session, id).facts
    chosen = format or _accepted(accept)
    headers = {"content-security-policy": CONTENT_POLICY, "vary": "accept"} if chosen == "html" else {"vary": "accept"}
    return Response(render_file(facts, chosen), headers=headers, media_type=MEDIA_TYPES[chosen])


@router.post("/reports", dependencies=[needs("operator", "propose")], status_code=201, summary="Write a report now")
def make_report(
    services: ServicesDep, principal: PrincipalDep, wanted: ReportIn, idempotency_key: IdempotencyKey = None
) -> ReportOut:
    """Its facts are read now and kept; `GET /reports/{id}` gives it in any format."""
    require_sight(principal, wanted.model, f"There is no model {(wanted.model or '')[:80]!r} that you may see.")
    end = services.now()
    try:
        start = end - parse_duration(wanted.period) if wanted.period else None
        if start is not None and (start >= end or start - (end - start) >= start):
            raise ValueError
    except (ValueError, OverflowError):
        raise InvalidInput(f"period: {wanted.period!r} is not a length of time; write 24h, 7d or 4w.") from None
    asked = Wanted(wanted.kind, model=wanted.model, start=start, end=end, version=wanted.version)
    number = keep(services, told(services, gather(services, asked), principal.name or "reports"))
    with services.store.read() as session:
        return _out(find_report(session, number))


def _out(row: Report) -> ReportOut:
    return ReportOut(
        id=row.id,
        kind=row.kind,
        model=row.model,
        incident_id=row.incident_id,
        created_at=row.created_at,
        period_start=row.period_start,
        period_end=row.period_end,
        audience=row.audience,
        summary=str(row.facts.get("summary", "")),
        summary_by=str(row.facts.get("summary_by") or "template"),
    )


def _accepted(accept: str) -> str:
    """The format that a caller likes best, by the order of Accept; HTML where it does not say."""
    kinds = {media: kind for kind, media in MEDIA_TYPES.items()}
    asked = (part.partition(";")[0].strip() for part in accept.split(","))
    return next((kinds[media] for media in asked if media in kinds), "html")
