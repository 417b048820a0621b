"""Activity: the audit as people read it, filtered and paged; whether its chain is whole; and all of it as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from sqlalchemy import Select, select

from agent.domain.errors import InvalidInput
from agent.doors.access import PrincipalDep, needs
from agent.doors.api.audit import require_whole_sight
from agent.doors.api.inputs import CursorText, ServicesDep, Word
from agent.doors.api.paging import page as page_of
from agent.doors.console import page
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.audit import Finding
from agent.store.tables import AuditEvent, AuditHead

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
EACH = 60
PAGES = {"p": "/approvals/", "i": "/incidents/", "t": "/reports/"}


@dataclass(frozen=True, slots=True)
class Line:
    """One event as it is shown."""

    event: AuditEvent
    link: str
    says: str


@dataclass(frozen=True, slots=True)
class Filters:
    actor: str = ""
    subject: str = ""
    event: str = ""
    since: str = ""

    @property
    def any(self) -> bool:
        return bool(self.actor or self.subject or self.event or self.since)


class Verified:
    """The last walk along the chain, kept for as long as its end is where it was."""

    def __init__(self) -> None:
        self._lock, self._known = Lock(), ((-1, ""), None)  # type: tuple[Any, Any]

    def find(self, services: Services) -> tuple[Finding, bool]:
        """What was found, and whether it was looked at again for it."""
        with self._lock, services.store.read() as session:
            head = session.get(AuditHead, 1)
            end = (head.seq, head.hash) if head else (-1, "")
            known, found = self._known
            if found is not None and known == end:
                return found, False
            found = audit.verify(session)
            self._known = (end, found)
            return found, True


def _filtered(filters: Filters) -> Select[Any]:
    query = select(AuditEvent)
    if filters.actor:
        query = query.where(AuditEvent.actor == filters.actor)
    if filters.subject:
        query = query.where(AuditEvent.subject.startswith(filters.subject, autoescape=True))
    if filters.event:
        query = query.where(AuditEvent.event.contains(filters.event, autoescape=True))
    if filters.since:
        try:
            query = query.where(AuditEvent.at >= datetime.fromisoformat(filters.since).replace(tzinfo=UTC))
        except ValueError:
            raise InvalidInput(f"since: {filters.since[:40]!r} is no day; write it like 2026-03-01.") from None
    return query


def _line(event: AuditEvent) -> Line:
    data = {key: value for key, value in event.data.items() if value not in ("", None, [], {})}
    reason = str(data.get("reason") or data.get("why") or "")
    moved = f"{data['from']} → {data['to']}" if {"from", "to"} <= set(data) else ""
    kind = event.subject.partition("-")[0] if event.subject[1:2] == "-" else ""
    link = PAGES[kind] + event.subject if kind in PAGES else ""
    return Line(event, link, ". ".join(part for part in (moved, reason) if part))


@router.get("/activity", dependencies=[needs("viewer")])
def show_activity(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    actor: Annotated[Word, Query()] = "",
    subject: Annotated[Word, Query()] = "",
    event: Annotated[Word, Query()] = "",
    since: Annotated[Word, Query()] = "",
    cursor: CursorText = None,
) -> Response:
    require_whole_sight(principal)
    filters = Filters(actor, subject, event, since)
    with services.store.read() as session:
        rows, after = page_of(session, _filtered(filters), (AuditEvent.seq,), cursor or None, EACH)
        actors = list(session.scalars(select(AuditEvent.actor).distinct().order_by(AuditEvent.actor).limit(200)))
        lines = [_line(row) for row in rows]
        more = str(request.url.include_query_params(cursor=after).query) if after else ""
        return page.render(
            request, "activity.html", session=session, lines=lines, filters=filters, actors=actors, more=more,
            first=cursor is None,
        )  # fmt: skip


@router.get("/activity/verified", dependencies=[needs("viewer")])
def show_verified(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """A fragment: the walk takes a moment where the chain is long."""
    require_whole_sight(principal)
    kept: Verified | None = getattr(request.app.state, "verified", None)
    if kept is None:
        kept = request.app.state.verified = Verified()
    found, _ = kept.find(services)
    return page.fragment(request, "verified.html", found=found)


@router.get("/activity/export", dependencies=[needs("viewer")])
def export(services: ServicesDep, principal: PrincipalDep) -> Response:
    """Every event as a line of JSON; `watchkeeper audit verify --against FILE` compares it later."""
    require_whole_sight(principal)

    def lines() -> Iterator[str]:
        with services.store.read() as session:
            for line in audit.export(session):
                yield line + "\n"

    name = f"watchkeeper-audit-{services.wall():%Y-%m-%d}.jsonl"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)
