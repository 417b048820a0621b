"""One page or fragment: a template, with what stands on every page (navigation, clock, kill switch, what waits)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from agent.domain import wording
from agent.domain.incident import IncidentState
from agent.domain.proposal import ProposalState
from agent.doors.access import Principal, csrf_of, within
from agent.doors.console import charts, words
from agent.doors.principal import LOCAL
from agent.pipeline.freeze import Asked, next_step, who_asked
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import AuditHead, Control, Incident, Proposal

HERE = Path(__file__).parent
STATIC = HERE / "static"


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the navigation. `phone`: it stands in the bar at the bottom of a phone."""

    key: str
    name: str
    path: str
    phone: bool = False


PLACES = (
    Place("watch", "Watch", "/", phone=True),
    Place("approvals", "Approvals", "/approvals", phone=True),
    Place("incidents", "Incidents", "/incidents"),
    Place("reports", "Reports", "/reports"),
    Place("chat", "Chat", "/chat", phone=True),
    Place("activity", "Activity", "/activity"),
    Place("alerts", "Alerts", "/alerts"),
    Place("settings", "Settings", "/settings"),
)
"""The navigation, in its order."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What stands on every page. seq: the last event of the audit that it shows, from which live events go on."""

    now: datetime
    replayed: bool
    control: Control
    people: list[str]
    lifting: str
    may_lift: list[str]
    waiting: int
    open: int
    seq: int


def read_bar(services: Services, session: Session, principal: Principal) -> Bar:
    """Clock, kill switch, and the two counts of the navigation, of what may be seen: three queries, two more while
    frozen."""
    control = queries.control(session)
    asked = who_asked(services, session) if control.frozen else None
    waiting = select(func.count()).where(
        Proposal.state == ProposalState.PENDING, within(principal, session, Proposal.model)
    )
    unresolved = select(func.count()).where(
        Incident.state != IncidentState.RESOLVED, within(principal, session, Incident.model)
    )
    head = select(AuditHead.seq).where(AuditHead.id == 1)
    counts = session.execute(
        select(waiting.scalar_subquery(), unresolved.scalar_subquery(), head.scalar_subquery())
    ).one()
    return Bar(
        control.replayed_now or services.wall(),
        control.replayed_now is not None,
        control,
        sorted(services.policy().people),
        _lifting(asked) if asked else "",
        list(asked.could) if asked else [],
        *counts,
    )


def _lifting(asked: Asked) -> str:
    """Who has asked to lift the kill switch, and what it still takes."""
    names = ", ".join(wording.visible(one.person, 60) for one in asked.by)
    if asked.missing > len(asked.could):
        return next_step(asked)
    return f"{names} asked to lift it; one more must." if names and asked.missing == 1 else next_step(asked)


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    session: Session | None = None,
    top: Bar | None = None,
    **context: Any,
) -> HTMLResponse:
    """A page of `templates/`. Give the session of the read that made the context, where there is one, or the bar.

    Every template sees `top` (a `Bar`), `current` (the key of the place), `csrf`, `principal`, `asks_name`.
    """
    services: Services = request.app.state.services
    principal = getattr(request.state, "principal", None) or LOCAL
    if top is not None:
        pass
    elif session is None:
        with services.store.read() as session:
            top = read_bar(services, session, principal)
    else:
        top = read_bar(services, session, principal)
    return HTMLResponse(_fill(request, template, {"top": top, **context}), status)


def fragment(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A part of a page, for htmx: without what stands on every page, and without its queries."""
    return HTMLResponse(_fill(request, template, context), status)


def _fill(request: Request, template: str, context: Mapping[str, Any]) -> str:
    principal: Principal | None = getattr(request.state, "principal", None)
    return TEMPLATES.get_template(template).render(
        places=PLACES,
        current=_place(request.url.path),
        path=request.url.path,
        csrf=csrf_of(request),
        principal=principal,
        asks_name=principal is None or principal.kind == "local",
        **context,
    )


def _place(path: str) -> str:
    first = path.split("/")[1] if path.startswith("/") else ""
    named = {"": "watch", "models": "watch", "predictions": "watch", "proposals": "approvals"}
    return named.get(first, first)


@lru_cache(maxsize=64)
def static(name: str) -> str:
    """The address of a static file, with what it holds in it: a browser keeps it until it changes."""
    return f"/static/{name}?v={sha256((STATIC / name).read_bytes()).hexdigest()[:10]}"


class Assets(StaticFiles):
    """Static files that are kept for good under an address with a version, and asked about again under one without."""

    async def get_response(self, path: str, scope: Scope) -> Any:
        response = await super().get_response(path, scope)
        kept = path.startswith("vendor/") or scope.get("query_string", b"").startswith(b"v=")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
        return response


def data_script(name: str, data: object) -> Markup:
    """Data for a script, in a block that is never run. Nothing in it can end the block or begin a tag."""
    text = json.dumps(data, default=str, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup('<script type="application/json" id="{}">{}</script>').format(name, Markup(text))  # noqa: S704 (escaped above)


def _heading(text: object) -> str:
    """Free text as a heading: a capital at the start, nothing hidden."""
    said = words.with_names(wording.visible(text, 160)).strip()
    return said[:1].upper() + said[1:]


def _sentence(text: object) -> str:
    """Free text as a sentence: a capital at the start, a full stop at the end, nothing hidden."""
    said = words.with_names(wording.visible(text)).strip()
    return said[:1].upper() + said[1:] + ("" if not said or said.endswith((".", "!", "?", ")")) else ".")


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        moment=words.moment,
        ago=words.ago,
        number=words.number,
        metric=words.metric_name,
        at=words.path_part,
        duration=wording.length,
        words=wording.words,
        names=wording.names,
        percent=wording.percent,
        visible=wording.visible,
        told=words.told,
        count=words.count,
        sentence=_sentence,
        heading=_heading,
    )
    env.globals.update(bars=charts.bars, gain=charts.gain, static=static, data_script=data_script)
    return env


TEMPLATES = _environment()
