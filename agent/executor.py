"""Carry approved proposals out, each exactly once: claim with lease and token -> step -> commit; resumed after a crash.

An execution is two transactions around each effect: the intent before it, the result after it. Every write carries the
token of the claim; a worker that wakes after its lease finds a newer token and writes nothing. Leases run on the real
clock, whatever clock the watch lives in. A model has one execution running at a time; one that waits between two stages
of a release holds no lease, and lets only an undo and what changes no model go before it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import and_, or_, select, update

from agent.domain.errors import (
    Held,
    LeaseLost,
    Refused,
    Superseded,
    Unavailable,
    Unclear,
    Waits,
    WatchkeeperError,
)
from agent.domain.incident import IncidentEvent
from agent.domain.proposal import ProposalEvent
from agent.pipeline.abandon import give_up
from agent.pipeline.execute import STEPS, finish
from agent.pipeline.freeze import held_back
from agent.pipeline.locks import locked_incident
from agent.pipeline.pauses import owned, park, put_off, require_owned, step_of
from agent.pipeline.release import require_released
from agent.pipeline.services import Services
from agent.pipeline.stages import is_stage, with_stages
from agent.pipeline.turns import may_go_on
from agent.pipeline.work import Work
from agent.store import audit, queries
from agent.store.changes import move_incident, move_proposal, promise
from agent.store.tables import Execution, ExecutionStep, Proposal
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
        wall, now = services.wall(), services.now(session)
        rows = session.scalars(
            select(Execution)
            .where(
                or_(
                    Execution.state == "ready",
                    and_(Execution.state == "running", Execution.lease_until < wall),
                    and_(Execution.state == "running", Execution.worker.is_(None), Execution.cancelled != ""),
                    and_(Execution.state == "waiting", or_(Execution.resume_at <= now, Execution.cancelled != "")),
                )
            )
            .order_by(Execution.created_at)
            .with_for_update(skip_locked=True)
        ).all()
        row = next((row for row in rows if may_go_on(services, session, row)), None)
        if row is None:
            return None
        proposal = session.get_one(Proposal, row.proposal_id)
        before, left = row.state, row.worker
        row.worker, row.token, row.lease_until, row.resume_at = worker, row.token + 1, wall + LEASE, None
        row.state = "running"
        if before == "ready":
            row.started_at, proposal.started_at = wall, now
            move_proposal(session, proposal, ProposalEvent.START, at=now, actor=worker)
        elif before == "running":
            event = "execution taken over" if left else "execution tried again"
            audit.append(session, at=now, actor=worker, event=event, subject=proposal.id, data={"token": row.token})
        return row


def run(services: Services, execution: Execution) -> None:
    """Run a claimed execution to its end, or until it has to wait. A lost lease ends it here without a trace: another
    worker has it.

    Where the database or the registry is out of reach, nobody knows yet what was done: it is tried again after a while,
    by whoever is there. Anything else that goes wrong ends it, and never the worker.
    """
    at = _At()
    try:
        try:
            _carry_out(services, execution, at)
        except (LeaseLost, Unavailable, Held, Waits) as error:
            _let_go(services, execution, at, error)
    except LeaseLost as error:
        log.warning("execution %s: %s", execution.id, error)
    except Unavailable as error:
        log.warning("execution %s is taken up again when its lease has run out: %s", execution.id, error)
    except Superseded as error:
        give_up(services, execution, ProposalEvent.SUPERSEDE, "superseded", str(error))
    except Refused as error:
        ask = at.work if isinstance(error, Unclear) else None
        give_up(services, execution, ProposalEvent.ABORT, "failed", str(error), ask=ask)
    except Exception as error:  # the edge of the job: a step may run a user's trainer
        log.exception("execution %s failed", execution.id)
        why = str(error) if isinstance(error, WatchkeeperError) else f"{type(error).__name__}: {error}"
        give_up(services, execution, ProposalEvent.ABORT, "failed", why)


@dataclass
class _At:
    """Where an execution is: its work, the step that runs, and whether its version answers beside the champion."""

    work: Work | None = None
    step: str = ""
    released: bool = False


def _carry_out(services: Services, execution: Execution, at: _At) -> None:
    started = time.perf_counter()
    with services.store.read() as session:
        proposal = session.get_one(Proposal, execution.proposal_id)
        spec = queries.spec_of(session, proposal.model)
        at.released = queries.was_released(session, execution)
        require_released(session, proposal)
    action = actions.parse_action(proposal.action)
    with _heartbeat(services, execution) as stopped:
        work = Work(services, proposal, action, spec, services.now(), attempt=execution.token, stopped=stopped)
        work.confirm = partial(require_owned, services, execution)
        at.work = work
        for position, (name, step) in enumerate(with_stages(STEPS[ActionKind(proposal.kind)], work)):
            done = _intend(services, execution, name, position)
            at.step, at.released = name if done is None else "", at.released or is_stage(name)
            work.progress = partial(_note, services, execution, name)
            work.results[name] = done if done is not None else dict(step(work))
            at.step = ""
            if done is None:
                with _recorded_or_later():
                    _record(services, execution, name, work)
            _require_passed(name, work.results[name])
    with _recorded_or_later():
        _end(services, execution, work, time.perf_counter() - started)


def _require_passed(name: str, result: dict[str, Any]) -> None:
    """Raises: Refused, Unclear for a stage of a release that did not pass."""
    if is_stage(name) and result.get("verdict") in ("failed", "inconclusive"):
        kind = Refused if result["verdict"] == "failed" else Unclear
        raise kind(f"{result['stage']}: {result['statement']} The release was ended; the champion is as it was.")


def _let_go(services: Services, execution: Execution, at: _At, error: WatchkeeperError) -> None:
    """What cannot go on now is left to whoever comes next. Raises: Refused when it has been tried often enough."""
    if isinstance(error, Waits):
        park(services, execution, error.until, at.step, error.found)
    elif isinstance(error, Held) and at.released:
        log.info("execution %s waits, and goes on afterwards: %s", execution.id, error)
        park(services, execution, None)
    elif isinstance(error, Held):
        log.warning("execution %s waits, and is taken up again afterwards: %s", execution.id, error)
    elif isinstance(error, Unavailable) and at.step:
        log.warning("execution %s: %s is tried again: %s", execution.id, at.step, error)
        if given_up := put_off(services, execution, at.step, error):
            raise Refused(given_up) from error
    else:
        raise error


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


def _intend(services: Services, execution: Execution, name: str, position: int) -> dict[str, Any] | None:
    """Write down that a step is about to run; its result instead, when it ran before a crash.

    What `recheck` found before a crash is asked again, until a version is released; each stage asks anew what it needs.
    """
    with services.store.write() as session:
        row = owned(session, execution)
        row.lease_until = services.wall() + LEASE
        switched = queries.may_have_switched(session, row)
        if row.cancelled and not switched:
            raise Refused(f"cancelled {row.cancelled}")
        step = session.scalar(
            select(ExecutionStep).where(ExecutionStep.execution_id == row.id, ExecutionStep.name == name)
        )
        if step is None and (said := held_back(services, session, hold=True)):
            raise Held(said)
        stale = name == "recheck" and not switched and not queries.was_released(session, row)
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
            owned(session, execution)
            step = step_of(session, execution, name)
            step.result = {"phase": phase, "since": services.wall().isoformat()}
    except (LeaseLost, Unavailable) as error:
        log.warning("execution %s: its progress could not be noted: %s", execution.id, error)


def _record(services: Services, execution: Execution, name: str, work: Work) -> None:
    with services.store.write() as session:
        owned(session, execution)
        step, result = step_of(session, execution, name), work.results[name]
        step.state, step.result, step.done_at, step.error = "done", result, services.wall(), ""
        if not is_stage(name):
            return
        at, proposal = services.now(session), work.proposal
        audit.append(
            session, at=at, actor=execution.worker or "", event=f"release {name}", subject=proposal.id, data=result
        )
        if result.get("verdict") == "passed":
            promise(
                session,
                key=f"stage:{proposal.id}:{name}",
                recipient=work.spec.owner or "approvers",
                title=f"{proposal.model}: version {work.version} passed its stage {result['stage']}",
                body=f"{result['statement']} The release goes on; `watchkeeper cancel {proposal.id}` ends it.",
                subject=proposal.id,
                at=at,
            )


def _end(services: Services, execution: Execution, work: Work, seconds: float) -> None:
    """State, our own effects, audit and outbox, committed together."""
    with services.store.write() as session:
        row, now = owned(session, execution), services.now(session)
        waits = update(Execution).where(Execution.model == row.model, Execution.state == "waiting")
        session.execute(waits.values(resume_at=now))  # a release in the middle sees at once what changed
        proposal = session.get_one(Proposal, row.proposal_id)
        incident = locked_incident(session, proposal)
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


@contextmanager
def _heartbeat(services: Services, execution: Execution) -> Iterator[Callable[[], WatchkeeperError | None]]:
    """Renew the lease while a long step runs; gives what such a step asks whether it is to go on."""
    stop = threading.Event()
    reasons: list[WatchkeeperError] = []

    def beat() -> None:
        while not stop.wait(BEAT):
            try:
                with services.store.write() as session:
                    row = owned(session, execution)
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
