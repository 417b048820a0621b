"""Mounts the pages of the console: one router for each group of them."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from agent.doors.access import PrincipalDep, needs
from agent.doors.api.inputs import RecordId, ServicesDep
from agent.doors.api.problems import Problem
from agent.doors.api.reports import find_report
from agent.doors.console import live, page, profile, signin, watch
from agent.doors.console.forms import Form, person_of
from agent.doors.console.incident import read_incident
from agent.doors.guard import CONTENT_POLICY
from agent.pipeline import approve as decisions
from agent.pipeline.freeze import freeze, unfreeze
from agent.store import queries
from agent.store.tables import Proposal

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
GROUPS = (router, live.router, watch.router, signin.router, profile.router)
"""Every router of the console."""


def mount(app: FastAPI) -> None:
    """Add the pages and their static files."""
    for group in GROUPS:
        app.include_router(group)
    app.mount("/static", page.Assets(directory=page.STATIC), name="static")


def error_page(request: Request, problem: Problem) -> Response:
    """An error for a person: what it is, and the way back. Asks the database nothing."""
    return page.fragment(request, "error.html", status=problem.status, problem=problem, wrote=request.method == "POST")


@router.get("/incidents/{id}", dependencies=[needs("viewer")])
def show_incident(request: Request, services: ServicesDep, id: RecordId) -> Response:
    with services.store.read() as session:
        found = read_incident(services, session, id)
        return page.render(request, "incident.html", session=session, page=found)


@router.get("/reports/{id}", dependencies=[needs("viewer")])
def show_report(request: Request, services: ServicesDep, id: RecordId) -> Response:
    with services.store.read() as session:
        shown = page.render(request, "report.html", session=session, report=find_report(session, id))
    shown.headers["content-security-policy"] = f"{CONTENT_POLICY}; frame-src 'self'"
    return shown


@router.post("/proposals/{id}/approve", dependencies=[needs("approver", "decide")])
def approve_here(services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    person = person_of(principal, form)
    decisions.approve(services, id, person=person, reason=form.get("reason", ""), digest=form.get("digest", ""))
    return _back_to(services, id)


@router.post("/proposals/{id}/reject", dependencies=[needs("approver", "decide")])
def reject_here(services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    person = person_of(principal, form)
    decisions.reject(services, id, person=person, reason=form.get("reason", ""), digest=form.get("digest", ""))
    return _back_to(services, id)


@router.post("/freeze", dependencies=[needs("operator", "propose")])
def freeze_here(services: ServicesDep, principal: PrincipalDep, form: Form) -> Response:
    with services.store.write() as session:
        freeze(services, session, person=person_of(principal, form), reason=form.get("reason", ""))
    return RedirectResponse("/", 303)


@router.post("/unfreeze", dependencies=[needs("approver", "decide")])
def unfreeze_here(services: ServicesDep, principal: PrincipalDep, form: Form) -> Response:
    with services.store.write() as session:
        unfreeze(services, session, person=person_of(principal, form), reason=form.get("reason", ""))
    return RedirectResponse("/", 303)


def _back_to(services: ServicesDep, proposal_id: str) -> Response:
    """To the incident, where the rest of the loop can be watched."""
    with services.store.read() as session:
        incident = queries.by_id(session, Proposal, proposal_id).incident_id
    return RedirectResponse(f"/incidents/{incident}" if incident else "/", 303)
