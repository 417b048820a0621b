"""Turn a diagnosis into one proposal with exact parameters, or record why none is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentEvent, IncidentState
from agent.domain.proposal import ProposalState
from agent.pipeline.release import seal
from agent.pipeline.services import Services
from agent.store import audit, queries
from agent.store.changes import move_incident, promise
from agent.store.tables import Diagnosis, Incident, Proposal
from ml.models.registry import CHAMPION
from ml.results import Window
from ml.spec import ModelSpec
from tools import actions
from tools.actions import CHARACTER, Action, ActionKind

ACTOR = "watchkeeper"


@dataclass(frozen=True, slots=True)
class Pins:
    """The world that a proposal is made for: which version answers, and how far the log goes."""

    champion: str
    data_version: str


def pin(services: Services, spec: ModelSpec) -> Pins:
    """The world as it is now. It asks the registry and the log, so never while a transaction writes."""
    return Pins(champion_of(services, spec.name), str(services.log.version(spec.name)))


def champion_of(services: Services, model: str) -> str:
    """The version that answers, empty where none does. It asks the registry: never while a transaction writes."""
    return services.registry.alias(model, CHAMPION) or ""


def may_propose(services: Services, session: Session, spec: ModelSpec, incident: Incident, at: datetime) -> bool:
    """Whether an incident is to be worked on now: nobody decides or acts on it, nothing of its model is live, and the
    cooldown after the last proposal is over."""
    if incident.state not in (IncidentState.OPEN, IncidentState.DIAGNOSED):
        return False
    if queries.live_proposal(session, spec.name) is not None:
        return False
    last = queries.last_ended(session, spec.name)
    return last is None or at >= last + services.policy().cooldown


def propose(
    services: Services, session: Session, spec: ModelSpec, incident: Incident, pins: Pins, at: datetime
) -> Proposal | None:
    """The proposal that follows from the latest diagnosis, or None where nothing is to be done now."""
    diagnosis = queries.latest_diagnosis(session, incident.id)
    if diagnosis is None:
        return None
    kind = ActionKind(diagnosis.action)
    if diagnosis.document["action"].get("escalate"):
        _ask_a_person(session, spec, incident, diagnosis, at)
        return None
    if kind is ActionKind.NO_ACTION:
        why = diagnosis.document["action"]["why"]
        move_incident(session, incident, IncidentEvent.STAND_DOWN, at=at, actor=ACTOR, reason=f"No action: {why}")
        return None
    if kind is ActionKind.WAIT_FOR_LABELS:
        return None
    if _was_rejected(session, incident, kind):
        return None
    action = _action(spec, diagnosis, pins)
    return file_proposal(services, session, spec, action, diagnosis, incident, at=at, requested_by=ACTOR)


def _was_rejected(session: Session, incident: Incident, kind: ActionKind) -> bool:
    """A person has said no to this action for this incident; the watch does not ask again."""
    rejected = select(Proposal.id).where(
        Proposal.incident_id == incident.id, Proposal.kind == kind, Proposal.state == ProposalState.REJECTED
    )
    return session.scalar(rejected) is not None


def _ask_a_person(session: Session, spec: ModelSpec, incident: Incident, diagnosis: Diagnosis, at: datetime) -> None:
    """The evidence does not carry one action: say so once for each incident, and leave the choice to a person."""
    promise(
        session,
        key=f"escalated:{incident.id}",
        recipient=spec.owner or "approvers",
        title=f"{spec.name}: a person should look at incident {incident.id}",
        body=f"{diagnosis.document['action']['why']}\nSee: watchkeeper incident show {incident.id}",
        subject=incident.id,
        at=at,
    )


def file_proposal(
    services: Services,
    session: Session,
    spec: ModelSpec,
    action: Action,
    diagnosis: Diagnosis | None,
    incident: Incident | None,
    *,
    at: datetime,
    requested_by: str,
    why: str = "",
    trial: Mapping[str, Any] | None = None,
) -> Proposal:
    """Put one action in the queue. Risk comes from the table, never from who proposes.

    The time to decide runs from now: a look at the past (`watch --at`) must not propose what has expired already.
    """
    policy = services.policy()
    document = diagnosis.document if diagnosis else {}
    proposal = Proposal(
        model=spec.name,
        incident_id=incident.id if incident else None,
        diagnosis_id=diagnosis.id if diagnosis else None,
        kind=action.kind,
        action=action.model_dump(mode="json"),
        digest=actions.digest(action),
        risk=CHARACTER[action.kind].risk,
        why=why or document.get("action", {}).get("why", ""),
        trial=dict(trial) if trial is not None else trial_of(document, action.kind),
        requested_by=requested_by,
        state="pending",
        created_at=at,
        approve_by=max(at, services.now(session)) + policy.approval_expiry,
    )
    session.add(proposal)
    session.flush()
    session.refresh(proposal)  # numbers as the database gives them back: that is what is sealed
    written = {"digest": proposal.digest, "action": proposal.action, "risk": proposal.risk}
    written["seal"] = seal(session, proposal)
    audit.append(session, at=at, actor=requested_by, event="proposal pending", subject=proposal.id, data=written)
    if incident is not None:
        move_incident(session, incident, IncidentEvent.PROPOSE, at=at, actor=ACTOR, reason=f"{action.kind} proposed")
    promise(
        session,
        key=f"proposal:{proposal.id}",
        recipient=spec.owner or "approvers",
        title=f"{spec.name}: {action.kind} waits for approval",
        body=f"{proposal.why}\nDecide: watchkeeper approve {proposal.id}, or reject {proposal.id} --reason …",
        subject=proposal.id,
        at=at,
    )
    return proposal


def trial_of(document: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """The trial of one kind of action, from a diagnosis document."""
    return next((trial for trial in document.get("trials", []) if trial.get("kind") == kind), None)


def _action(spec: ModelSpec, diagnosis: Diagnosis, pins: Pins) -> Action:
    """The typed action with every parameter pinned: versions as they are now, data as it is now."""
    given: Mapping[str, Any] = diagnosis.document["action"]["parameters"]
    kind = ActionKind(diagnosis.action)
    window = Window.before(
        diagnosis.window_end, max(spec.training.window, diagnosis.window_end - diagnosis.window_start)
    )
    pinned = {
        "expected_version": pins.champion,
        "data_version": pins.data_version,
        "window_start": window.start,
        "window_end": window.end,
    }
    if kind is ActionKind.RETRAIN:
        return actions.Retrain(model=spec.name, **pinned)
    if kind is ActionKind.RECALIBRATE:
        return actions.Recalibrate(model=spec.name, **pinned)
    if kind in (ActionKind.ROLLBACK, ActionKind.PROMOTE):
        chosen = actions.Rollback if kind is ActionKind.ROLLBACK else actions.Promote
        return chosen(model=spec.name, expected_version=pins.champion, to_version=str(given["to_version"]))
    if kind is ActionKind.REFRESH_REFERENCE:
        return actions.RefreshReference(
            model=spec.name, window_start=diagnosis.window_start, window_end=diagnosis.window_end
        )
    cause = diagnosis.document["causes"][0]
    return actions.FixData(
        model=spec.name,
        features=tuple(given.get("features") or cause["features"]),
        repair=str(given.get("repair") or diagnosis.document["action"]["why"]),
        onset=diagnosis.onset or diagnosis.window_start,
        window_end=diagnosis.window_end,
        notify=spec.owner_of_data,
    )


def overtaken_by(proposal: Proposal, champion: str | None) -> str | None:
    """Why a proposal no longer fits the world, or None while it does. `champion`: the version that answers now."""
    expected = proposal.action.get("expected_version")
    if expected is None or champion == expected:
        return None
    return f"the champion is version {champion or 'none'} now, not {expected or 'none'} as when this was proposed"


def waiting(session: Session) -> list[Proposal]:
    """The queue: proposals that wait for a decision, the one that expires first on top."""
    return list(session.scalars(select(Proposal).where(Proposal.state == "pending").order_by(Proposal.approve_by)))
