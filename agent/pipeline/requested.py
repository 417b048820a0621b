"""Proposals that somebody asks for: the same queue, the same approvals, every parameter pinned by the server.

Bounded for each caller, over all kinds of action: `PER_MODEL` an hour for one model, `PER_CALLER` for all. Nothing but
the proposal changes: no incident moves by it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, InvalidInput, NotAllowed, NotFound
from agent.domain.policy import RESERVED, folded
from agent.pipeline.propose import Pins, file_proposal, pin
from agent.pipeline.services import Services
from agent.pipeline.what_if import last_seen
from agent.store import audit, queries
from agent.store.tables import AuditHead, Model, Proposal
from ml.results import Window
from ml.spec import ModelSpec
from tools import actions
from tools.actions import Action, ActionKind
from tools.clean import clean_text
from tools.context import Caller, Wanted

PER_MODEL, PER_CALLER = 3, 10
HOUR = timedelta(hours=1)
LONGEST_SILENCE = timedelta(days=30)
LONGEST_WHY = 2000
FAMILIES = ("quality", "drift", "performance", "estimation")


class Requests:
    """`tools.context.ProposalSink` over the queue."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def propose(self, wanted: Wanted, why: str, caller: Caller) -> dict[str, object]:
        """File one proposal as `caller`. Raises: NotAllowed, NotFound, InvalidInput, Conflict (also when the bound is
        reached, or one of this kind waits already)."""
        why = clean_text(why).strip()[:LONGEST_WHY]
        _require_right(caller, wanted.model)
        if not why:
            raise InvalidInput("why: say in a sentence why this should be done; the person who decides reads it.")
        with self.services.store.read() as session:
            spec, now = queries.spec_of(session, wanted.model), self.services.now(session)
            _require_room(session, caller, wanted.kind, spec, now)  # before anything slow
        action = _pinned(self.services, spec, wanted, pin(self.services, spec), now)
        with self.services.store.write() as session:
            session.execute(select(Model.name).where(Model.name == spec.name).with_for_update())
            session.execute(select(AuditHead.id).where(AuditHead.id == 1).with_for_update())  # one after the other
            _require_room(session, caller, wanted.kind, spec, now)
            row = file_proposal(
                self.services, session, spec, action, None, None, at=now, requested_by=caller.name, why=why
            )
            through = {"kind": caller.kind, "by": caller.through}
            audit.append(session, at=now, actor=caller.name, event="proposal requested", subject=row.id, data=through)
            return {
                "id": row.id,
                "model": row.model,
                "kind": row.kind,
                "action": row.action,
                "risk": row.risk,
                "state": row.state,
                "approve_by": row.approve_by,
                "digest": row.digest,
                "requested_by": row.requested_by,
            }


def _require_right(caller: Caller, model: str) -> None:
    if not caller.may_propose:
        raise NotAllowed(f"{caller.name!r} may read, but not propose.")
    if folded(caller.name) in RESERVED or not folded(caller.name):
        raise NotAllowed(f"{caller.name!r} is no name that a person or a token can have.")
    if not caller.sees(model):
        raise NotFound(f"There is no model {model[:80]!r} that you may see.")


def _require_room(session: Session, caller: Caller, kind: ActionKind, spec: ModelSpec, now: datetime) -> None:
    """Raises: Conflict when the caller has asked for enough in the last hour, or one of this kind is live."""
    live = queries.live_proposal(session, spec.name, kind)
    if live is not None:
        raise Conflict(f"Proposal {live.id} for {spec.name} ({kind}) is {live.state} already; decide on that one.")
    recent = Proposal.created_at > now - HOUR
    counts = select(Proposal.model, func.count()).where(Proposal.requested_by == caller.name, recent)
    asked = {model: count for model, count in session.execute(counts.group_by(Proposal.model))}  # noqa: C416 (rows)
    if asked.get(spec.name, 0) >= PER_MODEL:
        raise Conflict(
            f"{caller.name} has made {PER_MODEL} proposals for {spec.name} within an hour; that is the most."
        )
    if sum(asked.values()) >= PER_CALLER:
        raise Conflict(f"{caller.name} has made {PER_CALLER} proposals within an hour; that is the most.")


def _pinned(services: Services, spec: ModelSpec, wanted: Wanted, pins: Pins, now: datetime) -> Action:
    """The typed action with every parameter exact. Raises: InvalidInput, NotFound: why it makes no sense now."""
    match wanted.kind:
        case ActionKind.RETRAIN | ActionKind.RECALIBRATE:
            return _learning(services, spec, wanted.kind, pins, now)
        case ActionKind.ROLLBACK | ActionKind.PROMOTE:
            return _switching(services, spec, wanted, pins)
        case ActionKind.REFRESH_REFERENCE:
            window = _past(wanted, now)
            if not services.log.count(spec, window)[0]:
                raise InvalidInput(f"The log of {spec.name} has no rows from {window}; choose a time that has.")
            return actions.RefreshReference(model=spec.name, window_start=window.start, window_end=window.end)
        case ActionKind.FIX_DATA:
            window = _past(wanted, now)
            return actions.FixData(
                model=spec.name,
                features=_columns(spec, wanted.features),
                repair="to be found by the owner of the data",
                onset=window.start,
                window_end=window.end,
                notify=spec.owner_of_data,
            )
        case ActionKind.SILENCE:
            return _silencing(spec, wanted, now)
    raise InvalidInput(f"{wanted.kind} is nothing that can be asked for.")


def _learning(services: Services, spec: ModelSpec, kind: ActionKind, pins: Pins, now: datetime) -> Action:
    with services.store.read() as session:
        seen = last_seen(services, session, spec)
    window = Window.before(seen, spec.training.window)
    labels = services.log.count(spec, window, as_of=now)[1]
    if labels < spec.training.min_labels:
        raise InvalidInput(
            f"{spec.name} has {labels} labelled rows in its window of training; {spec.training.min_labels} are needed."
        )
    pinned = {
        "expected_version": pins.champion,
        "data_version": pins.data_version,
        "window_start": window.start,
        "window_end": window.end,
    }
    if kind is ActionKind.RETRAIN:
        return actions.Retrain(model=spec.name, **pinned)
    if spec.task != "binary":
        raise InvalidInput(f"{spec.name} is not a binary model; only the scores of one can be recalibrated.")
    if not pins.champion:
        raise InvalidInput(f"{spec.name} has no champion to recalibrate.")
    return actions.Recalibrate(model=spec.name, **pinned)


def _switching(services: Services, spec: ModelSpec, wanted: Wanted, pins: Pins) -> Action:
    target = wanted.to_version or ""
    known = {info.version for info in services.registry.versions(spec.name)}
    if target not in known:
        there = ", ".join(sorted(known, key=int)) or "none"
        raise NotFound(f"{spec.name} has no version {target[:40]!r}; it has {there}.")
    if target == pins.champion:
        raise InvalidInput(f"Version {target} of {spec.name} is the champion already.")
    if wanted.kind is ActionKind.PROMOTE:
        return actions.Promote(model=spec.name, expected_version=pins.champion, to_version=target)
    with services.store.read() as session:
        answered = {entry["version"] for entry in queries.deployments(session, spec.name)}
    if target not in answered:
        raise InvalidInput(f"Version {target} of {spec.name} has never answered; propose to promote it instead.")
    return actions.Rollback(model=spec.name, expected_version=pins.champion, to_version=target)


def _past(wanted: Wanted, now: datetime) -> Window:
    if wanted.since is None or wanted.until is None:
        raise InvalidInput("Give `since` and `until`.")
    if wanted.until > now:
        raise InvalidInput(f"until: {wanted.until:%Y-%m-%d %H:%M} UTC is still to come; a window is of the past.")
    return Window(wanted.since, wanted.until)


def _columns(spec: ModelSpec, names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in spec.features]
    if unknown or not names:
        said = unknown[0] if unknown else ""
        raise InvalidInput(f"{spec.name} has no feature {said[:60]!r}; it has {', '.join(list(spec.features)[:40])}.")
    return names


def _silencing(spec: ModelSpec, wanted: Wanted, now: datetime) -> Action:
    if wanted.until is None or wanted.until <= now:
        raise InvalidInput("until: a silence ends at a time that is still to come, such as 24h from now.")
    if wanted.until > now + LONGEST_SILENCE:
        raise InvalidInput(f"until: a silence lasts {LONGEST_SILENCE.days} days at most.")
    if wanted.monitor is not None and wanted.monitor.partition(".")[0] not in FAMILIES:
        raise InvalidInput(
            f"monitor: {wanted.monitor[:60]!r} is none; write a family ({', '.join(FAMILIES)}) or drift.psi."
        )
    feature = _columns(spec, wanted.features)[0] if wanted.features else None
    return actions.Silence(model=spec.name, monitor=wanted.monitor, feature=feature, until=wanted.until)
