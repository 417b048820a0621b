"""The console as an app: its manifest, the worker behind it, an offline page, and messages on a device."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field

from agent.domain.errors import Unavailable
from agent.domain.notifying import PUSH
from agent.doors.access import PrincipalDep, acting, needs, public
from agent.doors.api.inputs import ServicesDep, Word
from agent.doors.console import page
from agent.pipeline.push import public_key, subscribe, unsubscribe
from notifications.message import DeliveryFailed, Message, Refused

router = APIRouter(include_in_schema=False)
MANIFEST: dict[str, Any] = {
    "id": "/",
    "name": "Watchkeeper",
    "short_name": "Watchkeeper",
    "description": "The watch over your models: what is wrong, what is proposed, and your decision.",
    "start_url": "/",
    "scope": "/",
    "display": "standalone",
    "background_color": "#f5f6f8",
    "theme_color": "#0b6374",
    "icons": [
        {"src": "/static/icon-192.png", "sizes": "192x192", "type": "image/png", "purpose": "any"},
        {"src": "/static/icon-512.png", "sizes": "512x512", "type": "image/png", "purpose": "any"},
        {"src": "/static/icon-maskable-512.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
        {"src": "/static/icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"},
    ],
    "shortcuts": [
        {"name": "Approvals", "url": "/approvals", "icons": [{"src": "/static/icon-192.png", "sizes": "192x192"}]},
        {"name": "Ask", "url": "/chat", "icons": [{"src": "/static/icon-192.png", "sizes": "192x192"}]},
    ],
}


class Keys(BaseModel):
    p256dh: Annotated[str, Field(max_length=200)]
    auth: Annotated[str, Field(max_length=100)]


class Subscription(BaseModel):
    """What a browser's `PushSubscription.toJSON()` has, in whose name, and what to call the device."""

    endpoint: Annotated[str, Field(max_length=2000)]
    keys: Keys
    person: Word = ""
    label: Word = ""


class Endpoint(BaseModel):
    endpoint: Annotated[str, Field(max_length=2000)]
    person: Word = ""


class Named(BaseModel):
    person: Word = ""


@router.get("/manifest.webmanifest", dependencies=[public()])
def manifest() -> Response:
    return Response(json.dumps(MANIFEST), media_type="application/manifest+json")


@router.get("/sw.js", dependencies=[public()])
def worker() -> Response:
    """At the root, so that it stands behind every page."""
    return FileResponse(page.STATIC / "sw.js", media_type="text/javascript", headers={"cache-control": "no-cache"})


@router.get("/offline", dependencies=[public()])
def offline(request: Request) -> Response:
    return page.fragment(request, "offline.html")


@router.get("/push/key", dependencies=[needs("viewer")])
def key(services: ServicesDep) -> Response:
    """The server's public key, and whether messages can be sent at all."""
    return JSONResponse({"key": public_key(services.secret), "ready": PUSH in services.channels})


@router.post("/push/subscribe", dependencies=[needs("viewer")])
def subscribe_here(services: ServicesDep, principal: PrincipalDep, body: Subscription) -> Response:
    person = acting(principal, body.person)
    with services.store.write() as session:
        wanted = {"endpoint": body.endpoint, "keys": body.keys.model_dump()}
        near = not services.sign_in.required  # from elsewhere nobody makes us ask what else listens on this machine
        subscribe(session, person, wanted, label=body.label, at=services.now(session), near=near)
    return JSONResponse({"person": person}, 201)


@router.post("/push/unsubscribe", dependencies=[needs("viewer")])
def unsubscribe_here(services: ServicesDep, principal: PrincipalDep, body: Endpoint) -> Response:
    with services.store.write() as session:
        unsubscribe(session, acting(principal, body.person), body.endpoint, services.now(session))
    return Response(status_code=204)


@router.post("/push/test", dependencies=[needs("viewer")])
def send_one(services: ServicesDep, principal: PrincipalDep, body: Named) -> Response:
    """One message to one's own devices, to see that it comes. Raises: Unavailable where it cannot be sent."""
    person, channel = acting(principal, body.person), services.channels.get(PUSH)
    if channel is None:
        raise Unavailable("Messages to devices are not set up here.")
    said = "Proposals that wait for you come like this."
    try:
        channel.deliver(Message("test", person, "Watchkeeper can reach you here", said, {"url": "/approvals"}))
    except (DeliveryFailed, Refused) as error:
        raise Unavailable(f"The message was not sent: {error}.") from error
    return Response(status_code=204)
