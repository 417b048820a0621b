"""Rows are locked in one order, by everybody: execution, model, proposal, incident, audit. Who waits holds nothing that
somebody before them wants."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.store import queries
from agent.store.tables import Execution, Incident, Proposal


def locked(session: Session, wanted: str) -> Proposal:
    """A proposal that is ours until the end of the transaction, with its execution and its incident.

    Raises: NotFound, InvalidInput where the start of an id means several.
    """
    proposal = queries.by_id(session, Proposal, wanted)
    session.execute(select(Execution.id).where(Execution.proposal_id == proposal.id).with_for_update())
    session.refresh(proposal, with_for_update=True)
    if proposal.incident_id:
        session.execute(select(Incident.id).where(Incident.id == proposal.incident_id).with_for_update())
    return proposal


def lock_free(session: Session, ids: Iterable[str]) -> list[Proposal]:
    """Those of the proposals that nobody else is at work on, ours until the end of the transaction."""
    ids = list(ids)
    executions = select(Execution.id, Execution.proposal_id).where(Execution.proposal_id.in_(ids))
    theirs = {row.proposal_id for row in session.execute(executions)}
    ours = session.execute(executions.with_for_update(skip_locked=True)).all()
    free = [wanted for wanted in ids if wanted not in theirs - {row.proposal_id for row in ours}]
    query = select(Proposal).where(Proposal.id.in_(free)).order_by(Proposal.id)
    found = session.scalars(query.with_for_update(skip_locked=True).execution_options(populate_existing=True)).all()
    incidents = sorted({row.incident_id for row in found if row.incident_id})
    if incidents:
        session.execute(select(Incident.id).where(Incident.id.in_(incidents)).order_by(Incident.id).with_for_update())
    return list(found)


def execution_of(session: Session, proposal: Proposal) -> Execution | None:
    """The execution of a proposal that is `locked`, as it is now."""
    query = select(Execution).where(Execution.proposal_id == proposal.id)
    return session.scalar(query.execution_options(populate_existing=True))


def locked_incident(session: Session, proposal: Proposal) -> Incident | None:
    """The incident of a proposal, locked before the audit is."""
    return session.get(Incident, proposal.incident_id, with_for_update=True) if proposal.incident_id else None
