"""End an execution that did not do what it was to do."""

from __future__ import annotations

import logging
from functools import partial

from agent.domain.errors import LeaseLost, Unavailable
from agent.domain.incident import IncidentEvent, IncidentState
from agent.domain.proposal import ProposalEvent
from agent.pipeline.locks import locked_incident
from agent.pipeline.pauses import owned, require_owned
from agent.pipeline.propose import ask_whether_to_promote
from agent.pipeline.services import Services
from agent.pipeline.stages import put_back
from agent.pipeline.work import Work
from agent.store import queries
from agent.store.changes import move_incident, move_proposal, promise
from agent.store.tables import Execution, Proposal

log = logging.getLogger(__name__)


def give_up(
    services: Services,
    execution: Execution,
    event: ProposalEvent,
    state: str,
    why: str,
    ask: Work | None = None,
) -> None:
    """End an execution that did not do what it was to do; the champion is as it was, and a person is told.

    A version that answers beside the champion does so no more. ask: the release stayed unclear, and whether its version
    is to answer is for a person to say. What is out of reach is left to whoever comes next.
    """
    try:
        with services.store.read() as session:
            model, version = execution.model, queries.released_version(session, execution)
        if version is not None:
            put_back(services, model, version, partial(require_owned, services, execution))
        _abandon(services, execution, event, state, why, ask)
    except LeaseLost as error:
        log.warning("execution %s: %s", execution.id, error)
    except Unavailable as error:
        log.warning("execution %s is ended when its lease has run out: %s", execution.id, error)


def _abandon(
    services: Services, execution: Execution, event: ProposalEvent, state: str, why: str, ask: Work | None
) -> None:
    try:
        with services.store.write() as session:
            row = owned(session, execution)
            proposal = session.get_one(Proposal, row.proposal_id)
            incident, now = locked_incident(session, proposal), services.now(session)
            row.state, row.finished_at, row.error = state, services.wall(), why
            move_proposal(session, proposal, event, at=now, actor=execution.worker or "", reason=why)
            if incident is not None and incident.state == IncidentState.ACTING:
                move_incident(session, incident, IncidentEvent.ABORT, at=now, actor="watchkeeper", reason=why)
            if ask is not None:
                ask_whether_to_promote(services, session, ask, incident, why)
            promise(
                session,
                key=f"abandoned:{proposal.id}",
                recipient=queries.spec_of(session, proposal.model).owner or "approvers",
                title=f"{proposal.model}: {proposal.kind} was not done",
                body=why,
                subject=proposal.id,
                at=now,
            )
    except LeaseLost as error:
        log.warning("execution %s: %s", execution.id, error)
