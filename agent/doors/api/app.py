"""The web application: the JSON API under `/api/v1`, the console's pages, and health. Reads no environment."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Scope

from agent.domain.errors import WatchkeeperError
from agent.doors import guard, metrics, unsubscribe
from agent.doors.api import (
    ask,
    audit,
    chat,
    deliveries,
    freeze,
    health,
    incidents,
    measurements,
    models,
    people,
    predictions,
    problems,
    proposals,
    reports,
    webhooks,
)
from agent.doors.console import pages, signin
from agent.doors.limits import Limits
from agent.doors.redirects import to_sign_in
from agent.doors.routes import declared
from agent.doors.slack import http as slack
from agent.doors.slack.receive import Reception
from agent.pipeline.services import Services

PREFIX = "/api/v1"
RATE, BURST = 50, 500
"""Requests of one caller: so many a second, and so many at once."""
DESCRIPTION = """An on-call engineer for machine-learning models: predictions and labels in; alerts, incidents,
diagnoses, proposals, decisions, executions and reports out.

Errors are problem documents (RFC 9457). Lists are paged: give `next` back as `cursor`. A POST with an `Idempotency-Key`
may be sent again. Times are UTC."""


def create_app(services: Services, *, wake: Callable[[], None] = lambda: None) -> FastAPI:
    """The application over a workspace's services. wake: called when something has come from outside."""
    app = FastAPI(
        title="Watchkeeper",
        version=version("watchkeeper"),
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.state.limits = Limits(RATE, BURST)
    app.state.attempts = signin.Attempts()
    app.state.slack = Reception(services, wake)
    app.state.wake = wake
    for part in (
        models, predictions, measurements, incidents, proposals, reports, audit, freeze, ask, chat, people, deliveries,
        webhooks,
    ):  # fmt: skip
        app.include_router(part.router, prefix=PREFIX, responses=problems.RESPONSES)
    app.include_router(unsubscribe.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(slack.router)
    pages.mount(app)
    for kind in (WatchkeeperError, RequestValidationError, HTTPException, IntegrityError, StaleDataError, Exception):
        app.add_exception_handler(kind, _explain)
    app.add_middleware(guard.Guard, refuse=_refuse, public_url=services.public_url)
    list(declared(app))
    return app


def _explain(request: Request, error: Exception) -> Response:
    """A problem document for programs, a page for people."""
    if _for_people(request):
        if (sent := to_sign_in(request, error)) is not None:
            return sent
        return pages.error_page(request, problems.explain(error))
    return problems.answer(request, error)


def _for_people(request: Request) -> bool:
    path = request.url.path
    return not path.startswith(("/api/", "/healthz", "/readyz", "/metrics", "/static/"))


def _refuse(scope: Scope, error: Exception) -> ASGIApp:
    return _explain(Request(scope), error)
