"""Watch: every model with its state, what waits for a decision, and what happened lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.deciding import who_may_decide
from agent.domain.wording import in_order_to
from agent.doors.access import Principal, PrincipalDep, needs, within
from agent.doors.api.inputs import ServicesDep, Word
from agent.doors.console.page import Bar, read_bar, render
from agent.doors.console.stories import read_stories
from agent.doors.console.strip import Step, Story, steps
from agent.doors.console.watching import MOODS, Book, ModelRow
from agent.pipeline.propose import waiting
from agent.pipeline.release import request_of
from agent.pipeline.services import Services
from agent.store.tables import Incident, Proposal

PAGE = 50
RECENT = 8
MOST_WAITING = 12
SORTS = {"urgent": "what needs you first", "name": "name", "drift": "drift", "look": "oldest look first"}
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A proposal in the queue. mine: whoever looks may decide on it (everybody's, where nobody signs in)."""

    proposal: Proposal
    does: str
    mine: bool


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the list is shown."""

    q: str
    state: str
    sort: str
    page: int


@dataclass(frozen=True, slots=True)
class Watch:
    all: int
    moods: Counter[str]
    shown: Sequence[ModelRow]
    found: int
    pages: int
    filters: Filters
    waiting: Sequence[Waiting]
    more_waiting: int
    yours: int
    stories: Sequence[tuple[Story, list[Step]]]
    last: ModelRow | None
    top: Bar


def book_of(request: Request) -> Book:
    """The book of this application."""
    state = request.app.state
    book: Book | None = getattr(state, "watch", None)
    if book is None:
        book = state.watch = Book()
    return book


def read_watch(services: Services, session: Session, book: Book, principal: Principal, filters: Filters) -> Watch:
    """The whole page."""
    bar = read_bar(services, session, principal)
    rows = [row for row in book.read(session, bar.now, bar.replayed) if principal.sees(row.name)]
    found = _sorted([row for row in rows if _fits(row, filters)], filters.sort)
    pages = max(-(-len(found) // PAGE), 1)
    at = min(filters.page, pages)
    policy = services.policy()
    queue = [row for row in waiting(session) if principal.sees(row.model)] if bar.waiting else []
    here = principal.kind == "local"
    mine = [here or principal.name in who_may_decide(policy, request_of(row)) for row in queue]
    first = sorted(zip(queue, mine, strict=True), key=lambda one: not one[1])[:MOST_WAITING]
    shown = [Waiting(row, in_order_to(row.action), yours) for row, yours in first]
    recent = session.scalars(
        select(Incident)
        .where(within(principal, session, Incident.model))
        .order_by(Incident.opened_at.desc(), Incident.id)
        .limit(RECENT)
    ).all()
    looked = [row for row in rows if row.looked]
    return Watch(
        all=len(rows),
        moods=Counter(row.mood for row in rows),
        shown=found[(at - 1) * PAGE : at * PAGE],
        found=len(found),
        pages=pages,
        filters=Filters(filters.q, filters.state, filters.sort, at),
        waiting=shown,
        more_waiting=len(queue) - len(shown),
        yours=sum(mine),
        top=bar,
        stories=[(story, steps(story)) for story in read_stories(session, recent)],
        last=max(looked, key=lambda row: row.looked) if looked else None,  # type: ignore[arg-type,return-value]
    )


def _fits(row: ModelRow, filters: Filters) -> bool:
    words = filters.q.lower().split()
    text = f"{row.name} {row.owner} {row.metric} {row.task} {row.says} {row.moved}".lower()
    return all(word in text for word in words) and filters.state in ("", row.mood)


def _sorted(rows: list[ModelRow], by: str) -> list[ModelRow]:
    match by:
        case "name":
            return sorted(rows, key=lambda row: row.name)
        case "drift":
            return sorted(rows, key=lambda row: (-row.drifted, -(row.psi or 0.0), row.name))
        case "look":
            return sorted(rows, key=lambda row: (row.looked.timestamp() if row.looked else 0.0, row.name))
    return sorted(rows, key=lambda row: row.urgency)


@router.get("/", dependencies=[needs("viewer")])
def show_watch(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    q: Word = "",
    state: Word = "",
    sort: Word = "urgent",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    filters = Filters(q, state if state in MOODS else "", sort if sort in SORTS else "urgent", page)
    with services.store.read() as session:
        view = read_watch(services, session, book_of(request), principal, filters)
        return render(request, "watch.html", top=view.top, view=view, sorts=SORTS)
