"""`/webhooks/…`: alerts of other programs. Kept first, acknowledged then, worked on after: what is acknowledged is not
lost, and a sender that repeats itself changes nothing."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from agent.domain.errors import InvalidInput, NotAllowed, NotSignedIn
from agent.domain.outside import from_alertmanager, from_generic
from agent.doors.access import signed
from agent.doors.api.inputs import ServicesDep
from agent.pipeline import inbox
from agent.pipeline.services import Services

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
MOST_BYTES = 4 * 1024 * 1024
LANES = 16
"""Alerts of one group are worked on in order; different groups side by side."""


class Taken(BaseModel):
    """What was kept. `new` is false for a notification that came before."""

    alerts: int = Field(examples=[3])
    new: bool


@router.post("/alertmanager", status_code=202, dependencies=[signed()], summary="A notification of Alertmanager")
async def alertmanager(request: Request, services: ServicesDep) -> Taken:
    """As its `webhook_config` sends it (version 4), with `Authorization: Bearer SECRET`, or as a basic password."""
    body = await _body(request)
    _require_secret(request, services)
    return await _taken(request, services, "alertmanager", body, from_alertmanager)


@router.post("/grafana", status_code=202, dependencies=[signed()], summary="A notification of Grafana Alerting")
async def grafana(request: Request, services: ServicesDep) -> Taken:
    """As its webhook contact point sends it. `Authorization: Bearer SECRET`, or basic with it as the password."""
    body = await _body(request)
    _require_secret(request, services)
    return await _taken(request, services, "grafana", body, from_alertmanager)


@router.post("/generic", status_code=202, dependencies=[signed()], summary="A signed alert of any program")
async def generic(request: Request, services: ServicesDep) -> Taken:
    """Signed as Standard Webhooks has it: `webhook-id`, `webhook-timestamp`, `webhook-signature`."""
    body = await _body(request)
    _require_signature(request, services, body)
    key = request.headers.get("webhook-id", "")[:200]
    return await _taken(request, services, "generic", body, from_generic, key=key)


async def _taken(
    request: Request,
    services: Services,
    source: str,
    body: bytes,
    parse: Callable[[Any], list[dict[str, Any]]],
    *,
    key: str = "",
) -> Taken:
    alerts = parse(_json(body))
    if not alerts:
        return Taken(alerts=0, new=False)
    key, lane = key or inbox.fingerprint(body), str(int(inbox.fingerprint(alerts[0]["key"])[:8], 16) % LANES)

    def keep() -> bool:
        with services.store.write() as session:
            return inbox.keep(session, source=source, key=key, body={"alerts": alerts}, at=services.wall(), lane=lane)

    new = await run_in_threadpool(keep)
    if new:
        request.app.state.wake()
    return Taken(alerts=len(alerts), new=new)


async def _body(request: Request) -> bytes:
    body = await request.body()
    if len(body) > MOST_BYTES:
        raise InvalidInput(f"The body is longer than {MOST_BYTES // 1024**2} MB; send fewer alerts at once.")
    return body


def _json(body: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not JSON (UTF-8).") from None


def _secrets(services: Services) -> tuple[str, ...]:
    if not services.alerts_secrets:
        raise NotAllowed(
            "This server takes no alerts of others yet: set WATCHKEEPER_ALERTS_SECRET, then start it again."
        )
    return services.alerts_secrets


def _require_secret(request: Request, services: Services) -> None:
    """Raises: NotSignedIn unless the request carries one of our secrets."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            given = base64.b64decode(given.encode("ascii"), validate=True).decode("utf-8").partition(":")[2]
        except ValueError:  # binascii.Error and UnicodeError are
            given = ""
    elif kind.lower() != "bearer":
        given = ""
    fits = [hmac.compare_digest(given.strip().encode("utf-8", "replace"), one.encode()) for one in _secrets(services)]
    if not given or not any(fits):
        raise NotSignedIn(
            "Send the secret of WATCHKEEPER_ALERTS_SECRET: `Authorization: Bearer SECRET`, or as a basic password."
        )


def _require_signature(request: Request, services: Services, body: bytes) -> None:
    """Raises: NotSignedIn unless one of our secrets signed these bytes within five minutes of now."""
    from standardwebhooks import Webhook, WebhookVerificationError

    headers = {name: request.headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    for secret in _secrets(services):
        try:
            Webhook(secret).verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError, RuntimeError, OverflowError, TypeError):
            continue
        return
    raise NotSignedIn(
        "The signature does not fit: sign the body as standardwebhooks.com has it, with the secret of "
        "WATCHKEEPER_ALERTS_SECRET (`whsec_…`), and with a clock that is right."
    )
