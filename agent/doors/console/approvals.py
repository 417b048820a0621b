"""Approvals: the queue, one proposal with everything that a decision takes, and the forms by which a person decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, Expired
from agent.domain.proposal import ENDED, LIVE, ProposalState
from agent.doors import deciding
from agent.doors.access import Principal, PrincipalDep, needs, within
from agent.doors.api.inputs import RecordId, ServicesDep
from agent.doors.console import page
from agent.doors.console.forms import Form, person_of
from agent.pipeline import approve as decisions
from agent.pipeline.cancel import cancel
from agent.pipeline.card import Card, make_card
from agent.pipeline.explain import Explanation, explain
from agent.pipeline.progress import progress_of, steps_of
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Approval, Diagnosis, Execution, ExecutionStep, Proposal, Verification

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
LATELY = 15
CANCELLABLE = (ProposalState.APPROVED, ProposalState.EXECUTING)


@dataclass(frozen=True, slots=True)
class Entry:
    """A proposal that is decided: what it is at, or how it ended, and by whom."""

    proposal: Proposal
    by: str
    phase: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Queue:
    cards: list[Card]
    acting: list[Entry]
    lately: list[Entry]


@dataclass(frozen=True, slots=True)
class ProposalPage:
    card: Card
    policy: Explanation
    execution: Execution | None
    steps: list[ExecutionStep]
    phase: str
    effect: Verification | None
    may_cancel: bool


def read_queue(services: Services, session: Session, principal: Principal) -> Queue:
    """What waits, what is acted on, and what ended lately; a few queries, however long the queue is."""
    mine = within(principal, session, Proposal.model)
    live = select(Proposal).where(mine, Proposal.state.in_(LIVE)).order_by(Proposal.approve_by, Proposal.id)
    ended = select(Proposal).where(mine, Proposal.state.in_(ENDED)).order_by(Proposal.ended_at.desc(), Proposal.id)
    found = [*session.scalars(live), *session.scalars(ended.limit(LATELY))]
    ids = [row.id for row in found]
    said: dict[str, list[Approval]] = {wanted: [] for wanted in ids}
    for one in session.scalars(select(Approval).where(Approval.proposal_id.in_(ids)).order_by(Approval.at)):
        said[one.proposal_id].append(one)
    waiting = [row for row in found if row.state == ProposalState.PENDING]
    grounds = {row.diagnosis_id for row in waiting if row.diagnosis_id}
    known = {row.id: row for row in session.scalars(select(Diagnosis).where(Diagnosis.id.in_(grounds)))}
    policy = services.policy()
    rest = [_entry(session, row, said[row.id]) for row in found if row.state != ProposalState.PENDING]
    return Queue(
        cards=[make_card(policy, row, known.get(row.diagnosis_id or ""), said[row.id]) for row in waiting],
        acting=[entry for entry in rest if entry.proposal.ended_at is None],
        lately=[entry for entry in rest if entry.proposal.ended_at is not None],
    )


def _entry(session: Session, row: Proposal, said: list[Approval]) -> Entry:
    names = ", ".join(dict.fromkeys(one.person for one in said))
    phase = ""
    if row.state in (ProposalState.APPROVED, ProposalState.EXECUTING):
        run = session.scalar(select(Execution).where(Execution.proposal_id == row.id))
        phase = progress_of(run, steps_of(session, run)).says if run else ""
    return Entry(row, names, phase, row.ended_at or row.approved_at or row.created_at)


def read_proposal_page(services: Services, session: Session, wanted: str) -> ProposalPage:
    """Raises: NotFound; InvalidInput when several ids start like this."""
    row = queries.by_id(session, Proposal, wanted)
    found = session.get(Diagnosis, row.diagnosis_id) if row.diagnosis_id else None
    said = session.scalars(select(Approval).where(Approval.proposal_id == row.id).order_by(Approval.at)).all()
    run = session.scalar(select(Execution).where(Execution.proposal_id == row.id))
    steps = list(steps_of(session, run)) if run else []
    return ProposalPage(
        card=make_card(services.policy(), row, found, list(said)),
        policy=explain(services, session, row),
        execution=run,
        steps=steps,
        phase=progress_of(run, steps).says if run else "",
        effect=session.get(Verification, row.id),
        may_cancel=row.state in CANCELLABLE and (run is None or not queries.may_have_switched(session, run)),
    )


@router.get("/approvals", dependencies=[needs("viewer")])
def show_queue(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    with services.store.read() as session:
        queue = read_queue(services, session, principal)
        return page.render(request, "approvals.html", session=session, queue=queue)


@router.get("/approvals/{id}", dependencies=[needs("viewer")])
def show_proposal(request: Request, services: ServicesDep, id: RecordId) -> Response:
    return _shown(request, services, id)


def _shown(request: Request, services: Services, wanted: str, *, status: int = 200, notice: str = "") -> Response:
    with services.store.read() as session:
        found = read_proposal_page(services, session, wanted)
        return page.render(request, "approval.html", status=status, session=session, page=found, notice=notice)


@router.post("/proposals/{id}/approve", dependencies=[needs("approver", "decide")])
def approve_here(
    request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form
) -> Response:
    return _decided(
        request, services, id, form,
        lambda: deciding.approve(services, principal, id, said=person_of(principal, form), **_why(form)),
    )  # fmt: skip


@router.post("/proposals/{id}/reject", dependencies=[needs("approver", "decide")])
def reject_here(request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    return _decided(
        request, services, id, form,
        lambda: deciding.reject(services, principal, id, said=person_of(principal, form), **_why(form)),
    )  # fmt: skip


@router.post("/proposals/{id}/withdraw", dependencies=[needs("operator", "propose")])
def withdraw_here(
    request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form
) -> Response:
    person = person_of(principal, form)
    return _decided(
        request, services, id, form,
        lambda: decisions.withdraw(services, id, person=person, reason=form.get("reason", "")),
    )  # fmt: skip


@router.post("/proposals/{id}/cancel", dependencies=[needs("approver", "decide")])
def cancel_here(request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    person = person_of(principal, form)

    def end() -> None:
        with services.store.write() as session:
            cancel(services, session, id, person=person, reason=form.get("reason", ""))

    return _decided(request, services, id, form, end)


def _why(form: dict[str, str]) -> dict[str, str]:
    return {"reason": form.get("reason", ""), "digest": form.get("digest", "")}


def _decided(
    request: Request, services: Services, wanted: str, form: dict[str, str], act: Callable[[], object]
) -> Response:
    """Decide and go back to where it was asked. Who was too late sees the proposal as it is now, and why."""
    try:
        act()
    except (Conflict, Expired) as late:
        if not form.get("back"):
            raise
        return _shown(request, services, wanted, status=409, notice=str(late))
    if form.get("back"):
        return RedirectResponse(f"/approvals/{wanted}", 303)
    with services.store.read() as session:
        incident = queries.by_id(session, Proposal, wanted).incident_id
    return RedirectResponse(f"/incidents/{incident}" if incident else f"/approvals/{wanted}", 303)
