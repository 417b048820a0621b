"""`/proposals` and `/executions`: the queue, a person's decision, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import NotFound
from agent.doors import deciding
from agent.doors.access import PrincipalDep, acting, needs, within
from agent.doors.api.inputs import CursorText, IdempotencyKey, Limit, Person, RecordId, ServicesDep, Text, Word
from agent.doors.api.paging import Page, page
from agent.doors.idempotency import ApiRoute
from agent.pipeline import approve as decisions
from agent.pipeline.cancel import cancel
from agent.pipeline.explain import explain
from agent.pipeline.progress import progress_of, steps_of
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Approval, Execution, Proposal, Verification

router = APIRouter(tags=["proposals"], route_class=ApiRoute)


class ApprovalOut(BaseModel):
    person: str
    decision: str = Field(examples=["approve"])
    reason: str
    at: datetime


class ProposalOut(BaseModel):
    """One action with its exact parameters. `digest` names these bytes: give it back with the decision."""

    id: str = Field(examples=["p-7k2m9xq4c1"])
    model: str
    incident_id: str | None
    kind: str = Field(examples=["retrain"])
    action: dict[str, Any]
    digest: str
    risk: str = Field(examples=["high"])
    why: str
    trial: dict[str, Any] | None = Field(description="the action tried off-line on recent labelled rows")
    requested_by: str
    state: str = Field(examples=["pending"])
    reason: str = Field(description="why it ended as it did")
    created_at: datetime
    approve_by: datetime
    approved_at: datetime | None
    execute_by: datetime | None
    ended_at: datetime | None


class VerificationOut(BaseModel):
    """The check after the execution; `verdict` is null while it runs."""

    started_at: datetime
    due_at: datetime
    verdict: str | None = Field(examples=["succeeded"])
    decided_at: datetime | None
    document: dict[str, Any]


class ProposalDetail(ProposalOut):
    """A proposal with the decisions on it, its execution and its verification."""

    undo: str
    blast_radius: str
    may_decide: list[str] = Field(description="who may approve or reject, by `approvals.yaml`")
    approvals_needed: int
    still_needed: int = Field(description="approvals that are missing while it is pending")
    approvals: list[ApprovalOut]
    execution_id: str | None
    phase: str = Field(description="what its execution is at; empty where none runs")
    verification: VerificationOut | None


class ExecutionStepOut(BaseModel):
    name: str = Field(examples=["switch"])
    state: str = Field(examples=["done"])
    intended_at: datetime
    done_at: datetime | None
    result: dict[str, Any] | None
    tries: int = Field(description="how often it failed because something was out of reach")
    error: str = Field(description="what it said the last time")


class ExecutionOut(BaseModel):
    """Carrying a proposal out, step by step."""

    id: str = Field(examples=["x-7k2m9xq4c1"])
    proposal_id: str
    state: str = Field(examples=["done"])
    phase: str = Field(examples=["train: fitting on 900 rows"], description="what it is at; empty when it is over")
    resume_at: datetime | None = Field(description="when it goes on, where it waits: between stages, before a retry")
    cancelled: str = Field(description="who asked that it be ended, and why")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    error: str
    steps: list[ExecutionStepOut]


class ApproveBody(BaseModel):
    """`digest`: what the person was shown."""

    person: Person | None = Field(
        None, examples=["ada"], description="who decides; where people sign in, who is signed in"
    )
    reason: Text = ""
    digest: Word | None = None


class RejectBody(BaseModel):
    person: Person | None = Field(
        None, examples=["ada"], description="who decides; where people sign in, who is signed in"
    )
    reason: Text = Field(min_length=1, examples=["the data team repairs it at the source tonight"])
    digest: Word | None = None


class PersonOut(BaseModel):
    allowed: bool
    reason: str = Field(examples=["'ann' has none of the roles lead; who may: grace."])
    said: str | None = Field(examples=["approve"])


class PolicyOut(BaseModel):
    """What `approvals.yaml`, as it is now, says about a proposal."""

    proposal: str
    state: str
    risk: str
    rule: str = Field(examples=["risk.high"], description="the part of the policy that decides")
    roles: list[str]
    reason_required: bool
    approvals_needed: int
    rejections_needed: int
    approved_by: list[str] = Field(description="whose approval counts now")
    still_needed: int
    says: str
    held_back: str = Field(description="why it would not start now; empty where nothing holds it back")
    held_back_until: datetime | None
    people: dict[str, PersonOut]
    policy: str = Field(description="SHA-256 of approvals.yaml")


def read_proposal(services: Services, session: Session, row: Proposal) -> ProposalDetail:
    from agent.domain.deciding import who_may_decide
    from agent.pipeline.release import request_of, standing_of
    from tools.actions import CHARACTER, ActionKind

    policy, request = services.policy(), request_of(row)
    character = CHARACTER[ActionKind(row.kind)]
    approvals = session.scalars(select(Approval).where(Approval.proposal_id == row.id).order_by(Approval.at)).all()
    verification = session.get(Verification, row.id)
    execution = session.scalar(select(Execution).where(Execution.proposal_id == row.id))
    return ProposalDetail(
        **ProposalOut.model_validate(row, from_attributes=True).model_dump(),
        undo=character.undo,
        blast_radius=character.blast_radius,
        may_decide=who_may_decide(policy, request),
        approvals_needed=policy.rule(request.kind, request.risk).approvals,
        still_needed=standing_of(services, session, row).missing if row.state == "pending" else 0,
        approvals=[ApprovalOut.model_validate(a, from_attributes=True) for a in approvals],
        execution_id=execution and execution.id,
        phase=progress_of(execution, steps_of(session, execution)).says if execution else "",
        verification=VerificationOut.model_validate(verification, from_attributes=True) if verification else None,
    )


@router.get(
    "/proposals", dependencies=[needs("viewer")], summary="Proposals, newest first; `state=pending` is the queue"
)
def list_proposals(
    services: ServicesDep,
    principal: PrincipalDep,
    state: Annotated[Word | None, Query(examples=["pending"])] = None,
    model: Annotated[Word | None, Query()] = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[ProposalOut]:
    query = select(Proposal)
    if state is not None:
        query = query.where(Proposal.state == state)
    if model is not None:
        query = query.where(Proposal.model == model)
    with services.store.read() as session:
        query = query.where(within(principal, session, Proposal.model))
        rows, after = page(session, query, (Proposal.created_at, Proposal.id), cursor, limit)
        return Page(items=[ProposalOut.model_validate(row, from_attributes=True) for row in rows], next=after)


@router.get("/proposals/{id}", dependencies=[needs("viewer")], summary="One proposal")
def show_proposal(services: ServicesDep, id: RecordId) -> ProposalDetail:
    with services.store.read() as session:
        return read_proposal(services, session, queries.by_id(session, Proposal, id))


@router.get(
    "/proposals/{id}/policy",
    dependencies=[needs("viewer")],
    summary="Who may decide on it, how many are still needed, and why",
)
def explain_proposal(
    services: ServicesDep,
    id: RecordId,
    person: Annotated[Word | None, Query(description="only this person: why, or why not")] = None,
) -> PolicyOut:
    with services.store.read() as session:
        found = explain(services, session, queries.by_id(session, Proposal, id), person)
    return PolicyOut(
        proposal=found.proposal,
        state=found.state,
        risk=found.risk,
        rule=found.rule_from,
        roles=list(found.rule.roles),
        reason_required=found.rule.reason,
        approvals_needed=found.rule.approvals,
        rejections_needed=found.rule.rejections,
        approved_by=list(found.standing.counted),
        still_needed=found.still_needed,
        says=found.says,
        held_back=found.held_back,
        held_back_until=found.until,
        people={name: PersonOut(**asdict(word)) for name, word in found.people.items()},
        policy=found.policy,
    )


@router.post(
    "/proposals/{id}/approve",
    dependencies=[needs("approver", "decide")],
    summary="Approve; the approval that completes the quorum releases it",
)
def approve_proposal(
    services: ServicesDep,
    principal: PrincipalDep,
    id: RecordId,
    body: ApproveBody,
    idempotency_key: IdempotencyKey = None,
) -> ProposalDetail:
    row = deciding.approve(services, principal, id, said=body.person, reason=body.reason, digest=body.digest)
    return show_proposal(services, row.id)


@router.post(
    "/proposals/{id}/reject",
    dependencies=[needs("approver", "decide")],
    summary="Turn it down; with enough rejections it never runs",
)
def reject_proposal(
    services: ServicesDep,
    principal: PrincipalDep,
    id: RecordId,
    body: RejectBody,
    idempotency_key: IdempotencyKey = None,
) -> ProposalDetail:
    row = deciding.reject(services, principal, id, said=body.person, reason=body.reason, digest=body.digest)
    return show_proposal(services, row.id)


@router.post(
    "/proposals/{id}/withdraw",
    dependencies=[needs("operator", "propose")],
    summary="Take it back while it waits for a decision",
)
def withdraw_proposal(
    services: ServicesDep,
    principal: PrincipalDep,
    id: RecordId,
    body: RejectBody,
    idempotency_key: IdempotencyKey = None,
) -> ProposalDetail:
    row = decisions.withdraw(services, id, person=acting(principal, body.person), reason=body.reason)
    return show_proposal(services, row.id)


@router.post(
    "/proposals/{id}/cancel",
    dependencies=[needs("approver", "decide")],
    summary="End what is approved or runs; never in the middle of a switch",
)
def cancel_proposal(
    services: ServicesDep,
    principal: PrincipalDep,
    id: RecordId,
    body: RejectBody,
    idempotency_key: IdempotencyKey = None,
) -> ProposalDetail:
    with services.store.write() as session:
        row = cancel(services, session, id, person=acting(principal, body.person), reason=body.reason)
    return show_proposal(services, row.id)


@router.get(
    "/executions/{id}", dependencies=[needs("viewer")], tags=["executions"], summary="One execution with its steps"
)
def show_execution(services: ServicesDep, id: RecordId) -> ExecutionOut:
    with services.store.read() as session:
        row = session.get(Execution, id)
        if row is None:
            raise NotFound(f"There is no execution {id!r}; a proposal names its own as `execution_id`.")
        steps = steps_of(session, row)
        progress = progress_of(row, steps)
        return ExecutionOut(
            phase=progress.says,
            resume_at=progress.resume_at,
            cancelled=row.cancelled,
            id=row.id,
            proposal_id=row.proposal_id,
            state=row.state,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            seconds=row.seconds,
            error=row.error,
            steps=[ExecutionStepOut.model_validate(step, from_attributes=True) for step in steps],
        )
