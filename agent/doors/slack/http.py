"""Slack over HTTP: one address for events, interactions and slash commands. Whatever is not from Slack gets a 401."""

from __future__ import annotations

import asyncio
import logging

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response

from agent.domain.errors import WatchkeeperError
from agent.doors.access import signed
from agent.doors.slack.parse import Malformed, from_http
from agent.doors.slack.receive import Reception
from agent.doors.slack.signature import proof_of
from agent.pipeline.intake import Kept

PATH = "/slack/events"
MOST_BYTES = 1024 * 1024
router = APIRouter()
log = logging.getLogger(__name__)


@router.post(PATH, dependencies=[signed()], include_in_schema=False)
async def slack_events(request: Request) -> Response:
    """Checked, kept, then acknowledged; 503 where the database is out of reach, and Slack sends it again."""
    body = await _body(request)
    reception: Reception = request.app.state.slack
    services = reception.services
    proof = "" if body is None else proof_of(services.slack.signing_secret, request.headers, body, services.wall())
    if body is None or not proof:
        return _refused()
    try:
        came = from_http(body, request.headers.get("content-type", ""))
    except Malformed as error:
        log.warning("Slack: signed, and yet %s", error)
        return _refused()
    if wrong := reception.corrections(came):
        return JSONResponse({"response_action": "errors", "errors": wrong})
    try:
        kept = await asyncio.wrap_future(reception.keep(came, proof=proof))
    except WatchkeeperError as error:
        log.error("Slack: %s", error)
        return JSONResponse({"title": "Try again", "status": 503}, status_code=503, headers={"retry-after": "1"})
    if kept is Kept.REPLAY:
        return _refused()
    return PlainTextResponse(came.challenge)


async def _body(request: Request) -> bytes | None:
    """The body; None where it is longer than anything that Slack sends, or never ends."""
    parts, length = [], 0
    try:
        async for part in request.stream():
            length += len(part)
            if length > MOST_BYTES:
                return None
            parts.append(part)
    except ClientDisconnect:
        return None
    return b"".join(parts)


def _refused() -> Response:
    """The same for every reason: whoever tries learns nothing."""
    return JSONResponse(
        {"type": "about:blank", "title": "Not from Slack", "status": 401},
        status_code=401,
        media_type="application/problem+json",
    )
