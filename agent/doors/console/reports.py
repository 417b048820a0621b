"""Reports: the list, one of them in a frame that runs nothing, its files, and one made now."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import select

from agent.domain.errors import InvalidInput
from agent.doors.access import PrincipalDep, needs, require_sight, within
from agent.doors.api.inputs import CursorText, RecordId, ServicesDep, Word
from agent.doors.api.paging import page as page_of
from agent.doors.api.reports import find_report
from agent.doors.console import page
from agent.doors.console.forms import Form
from agent.doors.guard import CONTENT_POLICY
from agent.pipeline.reporting import Wanted, gather, keep, told
from agent.store import queries
from agent.store.tables import Report
from ml.spec import parse_duration

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
EACH = 40
FORMATS = (("pdf", "PDF"), ("html", "HTML"), ("md", "Markdown"), ("json", "JSON"))
MADE = {"period": "the watch", "comparison": "it beside the time before", "card": "a model card"}
PERIODS = (("1d", "the last day"), ("7d", "the last week"), ("30d", "the last 30 days"), ("90d", "the last 90 days"))


@router.get("/reports", dependencies=[needs("viewer")])
def show_reports(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    model: Annotated[Word, Query()] = "",
    kind: Annotated[Word, Query()] = "",
    cursor: CursorText = None,
) -> Response:
    with services.store.read() as session:
        query = select(Report).where(within(principal, session, Report.model))
        if model:
            query = query.where(Report.model == model)
        if kind:
            query = query.where(Report.kind == kind)
        rows, after = page_of(session, query, (Report.created_at, Report.id), cursor or None, EACH)
        kinds = sorted(session.scalars(select(Report.kind).distinct()))
        models = [name for name in queries.model_names(session) if principal.sees(name)]
        more = str(request.url.include_query_params(cursor=after).query) if after else ""
        return page.render(
            request, "reports.html", session=session, reports=rows, models=models, kinds=kinds, model=model, kind=kind,
            more=more, periods=PERIODS, made=list(MADE.items()),
        )  # fmt: skip


@router.get("/reports/{id}", dependencies=[needs("viewer")])
def show_report(request: Request, services: ServicesDep, id: RecordId) -> Response:
    with services.store.read() as session:
        shown = page.render(request, "report.html", session=session, report=find_report(session, id), formats=FORMATS)
    shown.headers["content-security-policy"] = f"{CONTENT_POLICY}; frame-src 'self'"
    return shown


@router.post("/reports", dependencies=[needs("operator", "propose")])
def make_report(services: ServicesDep, principal: PrincipalDep, form: Form) -> Response:
    """A report of a period, of one model or of all; a comparison; a model card."""
    model, period = form.get("model") or None, form.get("period", "7d")
    kind = form.get("kind", "period")
    if kind not in MADE:
        raise InvalidInput(f"kind: choose one of {', '.join(MADE)}.")
    if period not in dict(PERIODS):
        raise InvalidInput(f"period: choose one of {', '.join(dict(PERIODS))}.")
    require_sight(principal, model, f"There is no model {(model or '')[:80]!r} that you may see.")
    end = services.now()
    wanted = Wanted(kind, model=model, start=end - parse_duration(period), end=end)  # type: ignore[arg-type]
    made = keep(services, told(services, gather(services, wanted), principal.name or "reports"))
    return RedirectResponse(f"/reports/{made}", 303)
