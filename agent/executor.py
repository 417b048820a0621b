"""Carry approved proposals out, each exactly once: claim with lease and token -> step -> commit; resumed after a crash.

An execution is two transactions around each effect: the intent before it, the result after it. Every write carries the
token of the claim; a worker that wakes after its lease finds a newer token and writes nothing. Leases run on the real
clock, whatever clock the watch lives in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from agent.domain.deciding import When
from agent.domain.errors import Conflict, Held, LeaseLost, Refused, Superseded, Unavailable, WatchkeeperError
from agent.domain.incident import IncidentEvent, IncidentState
from agent.domain.proposal import ProposalEvent, ProposalState
from agent.pipeline.execute import STEPS, Work, finish
from agent.pipeline.freeze import held_back
from agent.pipeline.release import require_released, start_of
from agent.pipeline.services import Services
from agent.store import audit, queries
from agent.store.changes import move_incident, move_proposal, promise
from agent.store.tables import Execution, ExecutionStep, Incident, Proposal
from tools import actions
from tools.actions import ActionKind

LEASE = timedelta(seconds=30)
BEAT = 2.0
"""Seconds between two renewals of a lease: how soon a long step hears that it was cancelled, or has lost its lease."""
log = logging.getLogger(__name__)


def run_ready(services: Services, *, worker: str) -> int:
    """Execute everything that is ready, or was left behind by a worker whose lease ran out; how many were ended."""
    ended = 0
    while execution := claim(services, worker=worker):
        run(services, execution)
        ended += 1
    return ended


def claim(services: Services, *, worker: str) -> Execution | None:
    """Take the oldest execution that may go on now; None when there is none (kill switch, freeze, hourly bound)."""
    with services.store.write() as session:
        wall = services.wall()
        rows = session.scalars(
            select(Execution)
            .where(or_(Execution.state == "ready", and_(Execution.state == "running", Execution.lease_until < wall)))
            .order_by(Execution.created_at)
            .with_for_update(skip_locked=True)
        ).all()
        row = next((row for row in rows if _may_go_on(services, session, row)), None)
        if row is None:
            return None
        proposal = session.get_one(Proposal, row.proposal_id)
        row.worker, row.token, row.lease_until = worker, row.token + 1, wall + LEASE
        if row.state == "ready":
            row.state, row.started_at, proposal.started_at = "running", wall, services.now(session)
            move_proposal(session, proposal, ProposalEvent.START, at=services.now(session), actor=worker)
        else:
            audit.append(
                session,
                at=services.now(session),
                actor=worker,
                event="execution taken over",
                subject=proposal.id,
                data={"token": row.token},
            )
        return row


def _may_go_on(services: Services, session: Session, row: Execution) -> bool:
    """Whether policy and kill switch let an execution start, or be taken over, now.

    One that may have switched a version already is taken over in any case: what it did must be recorded.
    """
    held = bool(held_back(services, session, hold=True))
    if row.state == "running":
        return queries.may_have_switched(session, row) or not held
    if held:
        return False
    proposal = session.get_one(Proposal, row.proposal_id)
    if proposal.state != ProposalState.APPROVED:
        row.state, row.error = "superseded", f"its proposal is {proposal.state}, not approved"
        at = services.now(session)
        audit.append(
            session, at=at, actor="executor", event="execution dropped", subject=proposal.id, data={"why": row.error}
        )
        return False
    try:
        require_released(session, proposal)
    except Conflict:
        return True  # run finds the same, and ends it
    return start_of(services, session, proposal).when is not When.LATER


def run(services: Services, execution: Execution) -> None:
    """Run a claimed execution to its end. A lost lease ends it here without a trace: another worker has it.

    Where the database or the registry is out of reach, nobody knows yet what was done: it stays as it is, and is taken
    over when its lease has run out. Anything else that goes wrong ends it, and never the worker.
    """
    started = time.perf_counter()
    try:
        with services.store.read() as session:
            proposal = session.get_one(Proposal, execution.proposal_id)
            require_released(session, proposal)
            spec = queries.spec_of(session, proposal.model)
        action = actions.parse_action(proposal.action)
        with _heartbeat(services, execution) as stopped:
            work = Work(services, proposal, action, spec, services.now(), attempt=execution.token, stopped=stopped)
            for position, (name, step) in enumerate(STEPS[ActionKind(proposal.kind)]):
                done = _intend(services, execution, name, position)
                work.progress = partial(_note, services, execution, name)
                work.results[name] = done if done is not None else dict(step(work))
                if done is None:
                    with _recorded_or_later():
                        _record(services, execution, name, work.results[name])
        with _recorded_or_later():
            _end(services, execution, work, time.perf_counter() - started)
    except LeaseLost as error:
        log.warning("execution %s: %s", execution.id, error)
    except Unavailable as error:
        log.warning("execution %s is taken up again when its lease has run out: %s", execution.id, error)
    except Held as error:
        log.warning("execution %s waits, and is taken up again afterwards: %s", execution.id, error)
    except Superseded as error:
        _abandon(services, execution, ProposalEvent.SUPERSEDE, "superseded", str(error))
    except Refused as error:
        _abandon(services, execution, ProposalEvent.ABORT, "failed", str(error))
    except Exception as error:  # the edge of the job: a step may run a user's trainer
        log.exception("execution %s failed", execution.id)
        why = str(error) if isinstance(error, WatchkeeperError) else f"{type(error).__name__}: {error}"
        _abandon(services, execution, ProposalEvent.ABORT, "failed", why)


@contextmanager
def _recorded_or_later() -> Iterator[None]:
    """What was done but cannot be recorded is neither called done nor failed: whoever takes over records it."""
    try:
        yield
    except WatchkeeperError:
        raise
    except Exception as error:
        log.exception("what was done could not be recorded")
        raise Unavailable(f"what was done could not be recorded ({type(error).__name__})") from error


def _owned(session: Session, execution: Execution) -> Execution:
    """The execution, locked and still ours. Raises: LeaseLost."""
    row = session.scalar(select(Execution).where(Execution.id == execution.id).with_for_update())
    if row is None or row.state != "running" or row.token != execution.token:
        raise LeaseLost(
            f"execution {execution.id} was taken over after its lease; nothing was written by {execution.worker}"
        )
    return row


def _intend(services: Services, execution: Execution, name: str, position: int) -> dict[str, Any] | None:
    """Write down that a step is about to run; its result instead, when it ran before a crash.

    What `recheck` found before a crash is asked again, as long as no version can have been switched.
    """
    with services.store.write() as session:
        row = _owned(session, execution)
        row.lease_until = services.wall() + LEASE
        switched = queries.may_have_switched(session, row)
        if row.cancelled and not switched:
            raise Refused(f"cancelled {row.cancelled}")
        step = session.scalar(
            select(ExecutionStep).where(ExecutionStep.execution_id == row.id, ExecutionStep.name == name)
        )
        if step is None and (said := held_back(services, session, hold=True)):
            raise Held(said)
        stale = name == "recheck" and not switched
        if step is not None and step.state == "done" and not stale:
            return dict(step.result or {})
        if step is None:
            session.add(
                ExecutionStep(
                    execution_id=row.id,
                    name=name,
                    position=position,
                    state="intended",
                    token=row.token,
                    intended_at=services.wall(),
                )
            )
        else:
            step.token = row.token
        return None


def _note(services: Services, execution: Execution, name: str, phase: str) -> None:
    """What a long step is at, for those who wait; it must not stop the step."""
    try:
        with services.store.write() as session:
            _owned(session, execution)
            step = _step(session, execution, name)
            step.result = {"phase": phase, "since": services.wall().isoformat()}
    except (LeaseLost, Unavailable) as error:
        log.warning("execution %s: its progress could not be noted: %s", execution.id, error)


def _step(session: Session, execution: Execution, name: str) -> ExecutionStep:
    return session.scalars(
        select(ExecutionStep).where(ExecutionStep.execution_id == execution.id, ExecutionStep.name == name)
    ).one()


def _record(services: Services, execution: Execution, name: str, result: dict[str, Any]) -> None:
    with services.store.write() as session:
        _owned(session, execution)
        step = _step(session, execution, name)
        step.state, step.result, step.done_at = "done", result, services.wall()


def _end(services: Services, execution: Execution, work: Work, seconds: float) -> None:
    """State, our own effects, audit and outbox, committed together."""
    with services.store.write() as session:
        row = _owned(session, execution)
        proposal = session.get_one(Proposal, row.proposal_id)
        incident = _incident(session, proposal)
        finish(session, work)
        row.state, row.finished_at, row.seconds = "done", services.wall(), seconds
        move_proposal(
            session,
            proposal,
            ProposalEvent.FINISH,
            at=work.at,
            actor=execution.worker or "",
            data={"results": work.results},
        )
        move_proposal(session, proposal, ProposalEvent.WATCH, at=work.at, actor="watchkeeper")
        if incident is not None:
            move_incident(
                session,
                incident,
                IncidentEvent.EXECUTE,
                at=work.at,
                actor="watchkeeper",
                reason=f"{proposal.kind} done",
            )


def _incident(session: Session, proposal: Proposal) -> Incident | None:
    """The incident, locked before the audit is: in that order everybody takes them."""
    return session.get(Incident, proposal.incident_id, with_for_update=True) if proposal.incident_id else None


def _abandon(services: Services, execution: Execution, event: ProposalEvent, state: str, why: str) -> None:
    """End an execution that did not do what it was to do; the champion is as it was, and a person is told."""
    try:
        with services.store.write() as session:
            row = _owned(session, execution)
            proposal = session.get_one(Proposal, row.proposal_id)
            incident, now = _incident(session, proposal), services.now(session)
            row.state, row.finished_at, row.error = state, services.wall(), why
            move_proposal(session, proposal, event, at=now, actor=execution.worker or "", reason=why)
            if incident is not None and incident.state == IncidentState.ACTING:
                move_incident(session, incident, IncidentEvent.ABORT, at=now, actor="watchkeeper", reason=why)
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


@contextmanager
def _heartbeat(services: Services, execution: Execution) -> Iterator[Callable[[], WatchkeeperError | None]]:
    """Renew the lease while a long step runs; gives what such a step asks whether it is to go on."""
    stop = threading.Event()
    reasons: list[WatchkeeperError] = []

    def beat() -> None:
        while not stop.wait(BEAT):
            try:
                with services.store.write() as session:
                    row = _owned(session, execution)
                    row.lease_until = services.wall() + LEASE
                    if row.cancelled:
                        reasons.append(Refused(f"cancelled {row.cancelled}"))
            except LeaseLost as error:
                reasons.append(error)
                return
            except Unavailable as error:
                log.warning("execution %s: its lease could not be renewed: %s", execution.id, error)

    thread = threading.Thread(target=beat, name=f"lease-{execution.id}", daemon=True)
    thread.start()
    try:
        yield lambda: reasons[0] if reasons else None
    finally:
        stop.set()
        thread.join()
