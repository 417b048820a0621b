"""Errors as RFC 9457 problem documents: our tree is mapped here, once."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from agent.domain.errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    NotSignedIn,
    SignInAgain,
    TooMany,
    Unavailable,
    WatchkeeperError,
)
from agent.doors.changed import Changed
from tools.clean import clean_text

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
STATUS: tuple[tuple[type[WatchkeeperError], int], ...] = (
    (NotFound, 404),
    (InvalidInput, 422),
    (NotSignedIn, 401),
    (SignInAgain, 403),
    (TooMany, 429),
    (NotAllowed, 403),
    (Changed, 412),
    (Conflict, 409),
    (Unavailable, 503),
)


class Fault(BaseModel):
    """One thing that is wrong with what was sent; what was sent is not repeated."""

    where: str = Field(examples=["body.rows.3.timestamp"])
    what: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """What went wrong, for people (`detail`) and for programs (`type`, `status`)."""

    type: str = Field("about:blank", examples=["urn:watchkeeper:not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no model 'x'; the models are bike-demand, heart-disease, rainfall."])
    instance: str = Field("", examples=["/api/v1/models/x"])
    errors: list[Fault] = []


RESPONSES: dict[int | str, dict[str, object]] = {
    status: {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": HTTPStatus(status).phrase}
    for status in (401, 403, 404, 409, 422, 429, 503)
}


def status_of(error: WatchkeeperError) -> int:
    """The HTTP status of one of our errors."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def explain(error: Exception) -> Problem:
    """Any error as a problem; what is not ours is not described to the caller."""
    if isinstance(error, WatchkeeperError):
        kind = next((kind for kind, _ in STATUS if isinstance(error, kind)), WatchkeeperError)
        return _problem(status_of(error), str(error), kind.__name__)
    if isinstance(error, RequestValidationError):
        faults = [
            Fault(where=clean_text(".".join(map(str, e["loc"]))), what=clean_text(_said(e["msg"])))
            for e in error.errors()[:20]
        ]
        first = f"{faults[0].where}: {faults[0].what}" if faults else "the request"
        problem = _problem(422, f"What was sent breaks a rule: {first.rstrip('.')}.", "InvalidInput")
        return problem.model_copy(update={"errors": faults})
    if isinstance(error, HTTPException):
        return _problem(error.status_code, clean_text(str(error.detail)), "")
    if isinstance(error, (IntegrityError, StaleDataError)):
        return _problem(
            409,
            "Somebody else changed this at the same moment, and nothing was done; look again, then decide.",
            "Conflict",
        )
    return _problem(500, "Something broke that should not; nothing was changed. The log of the server says more.", "")


def answer(request: Request, error: Exception) -> JSONResponse:
    """The problem document of an error."""
    problem = explain(error)
    if problem.status >= 500:
        log.error(
            "%s %s: %s",
            request.method,
            request.url.path,
            problem.detail,
            exc_info=error if problem.status == 500 else None,
        )
    problem.instance = clean_text(request.url.path)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(error, NotSignedIn):
        headers["www-authenticate"] = 'Bearer realm="watchkeeper"'
    if isinstance(error, TooMany):
        headers["retry-after"] = str(error.wait)
    if problem.status == 503:
        headers["retry-after"] = "5"
    return JSONResponse(problem.model_dump(exclude_defaults=not problem.errors), problem.status, headers, MEDIA_TYPE)


def _problem(status: int, detail: str, name: str) -> Problem:
    words = "".join(f"-{c.lower()}" if c.isupper() else c for c in name).strip("-")
    return Problem(
        type=f"urn:watchkeeper:{words}" if words else "about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=clean_text(detail),
    )


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")
