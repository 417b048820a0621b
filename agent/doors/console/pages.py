"""Mounts the pages of the console: one router for each group of them."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from agent.doors.access import PrincipalDep, needs
from agent.doors.api.inputs import ServicesDep
from agent.doors.api.problems import Problem
from agent.doors.console import (
    activity,
    alerts,
    approvals,
    chat,
    entrance,
    incident,
    live,
    messages,
    model,
    model_parts,
    page,
    prediction,
    profile,
    push,
    reports,
    settings,
    signin,
    watch,
)
from agent.doors.console.forms import Form, person_of
from agent.pipeline.freeze import freeze, unfreeze

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
GROUPS = (
    router,
    live.router,
    watch.router,
    model.router,
    incident.router,
    model_parts.router,
    prediction.router,
    signin.router,
    profile.router,
    approvals.router,
    chat.router,
    activity.router,
    alerts.router,
    reports.router,
    settings.router,
    entrance.router,
    messages.router,
    push.router,
)
"""Every router of the console."""


def mount(app: FastAPI) -> None:
    """Add the pages and their static files."""
    for group in GROUPS:
        app.include_router(group)
    app.mount("/static", page.Assets(directory=page.STATIC), name="static")


def error_page(request: Request, problem: Problem) -> Response:
    """An error for a person: what it is, and the way back. Asks the database nothing."""
    return page.fragment(request, "error.html", status=problem.status, problem=problem, wrote=request.method == "POST")


@router.post("/freeze", dependencies=[needs("operator", "propose")])
def freeze_here(request: Request, services: ServicesDep, principal: PrincipalDep, form: Form) -> Response:
    with services.store.write() as session:
        freeze(services, session, person=person_of(principal, form), reason=form.get("reason", ""))
    return RedirectResponse(_where(request), 303)


@router.post("/unfreeze", dependencies=[needs("approver", "decide")])
def unfreeze_here(request: Request, services: ServicesDep, principal: PrincipalDep, form: Form) -> Response:
    with services.store.write() as session:
        unfreeze(services, session, person=person_of(principal, form), reason=form.get("reason", ""))
    return RedirectResponse(_where(request), 303)


def _where(request: Request) -> str:
    """The page that a form was sent from; the watch, where it does not say."""
    path = urlsplit(request.headers.get("referer", "")).path
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
