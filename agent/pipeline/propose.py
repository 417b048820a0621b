"""Turn a diagnosis into one proposal with exact parameters, or record why none is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.flapping import would_flap
from agent.domain.incident import SEEKING, IncidentEvent, IncidentState
from agent.domain.proposal import ProposalState
from agent.pipeline.release import seal
from agent.pipeline.services import Services
from agent.pipeline.work import Work
from agent.store import audit, queries
from agent.store.changes import move_incident, promise
from agent.store.tables import Diagnosis, Incident, Proposal
from ml.models.registry import CHAMPION
from ml.results import Window
from ml.spec import ModelSpec
from tools import actions
from tools.actions import CHARACTER, Action, ActionKind

ACTOR = "watchkeeper"
MACHINES = (ACTOR, "verification")
CHANGES_MODEL = tuple(kind for kind in ActionKind if CHARACTER[kind].changes_model)


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
    """Whether an incident is to be worked on now: nobody decides or acts on it, nothing of its model is live but for
    another incident, and the cooldown after the last proposal that changed it, or that the watch made, is over."""
    if incident.state not in SEEKING:
        return False
    if any(live.incident_id in (None, incident.id) for live in queries.live_proposals(session, spec.name)):
        return False
    last = queries.last_ended(session, spec.name, by=MACHINES, kinds=CHANGES_MODEL)
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
        _ask_a_person(session, spec, incident, diagnosis.document["action"]["why"], at)
        return None
    if kind is ActionKind.NO_ACTION:
        why = diagnosis.document["action"]["why"]
        move_incident(session, incident, IncidentEvent.STAND_DOWN, at=at, actor=ACTOR, reason=f"No action: {why}")
        return None
    if kind is ActionKind.WAIT_FOR_LABELS:
        return None
    if _was_rejected(session, incident, kind):
        return None
    if queries.live_proposal(session, spec.name, kind) is not None or (
        kind in CHANGES_MODEL and _another_is_acted_on(session, incident)
    ):
        return None  # one change of a model at a time: this incident is diagnosed anew when the other's is over
    action = _action(spec, diagnosis, pins)
    if flaps := would_bring_back(services, session, action, at):
        _ask_a_person(session, spec, incident, f"The diagnosis says {kind}, but {flaps}.", at)
        return None
    return file_proposal(services, session, spec, action, diagnosis, incident, at=at, requested_by=ACTOR)


def _another_is_acted_on(session: Session, incident: Incident) -> bool:
    """Whether another incident of the model is decided on, acted on, or watched after the action."""
    others = queries.unresolved_incidents(session, incident.model)
    return any(other.id != incident.id and other.state not in SEEKING for other in others)


def _was_rejected(session: Session, incident: Incident, kind: ActionKind) -> bool:
    """A person has said no to this action for this incident; the watch does not ask again."""
    rejected = select(Proposal.id).where(
        Proposal.incident_id == incident.id, Proposal.kind == kind, Proposal.state == ProposalState.REJECTED
    )
    return session.scalar(rejected) is not None


def would_bring_back(services: Services, session: Session, action: Action, at: datetime) -> str | None:
    """Why the watch may not propose an action itself: it would bring back a version that was taken away lately."""
    version = getattr(action, "to_version", None)
    if version is None:
        return None
    return would_flap(queries.deployments(session, action.model), version, at, services.policy().flap_window)


def _ask_a_person(session: Session, spec: ModelSpec, incident: Incident, why: str, at: datetime) -> None:
    """No one action can be proposed: say so once for each incident, and leave the choice to a person."""
    promise(
        session,
        key=f"escalated:{incident.id}",
        recipient=spec.owner or "approvers",
        title=f"{spec.name}: a person should look at incident {incident.id}",
        body=f"{why}\nSee: watchkeeper incident show {incident.id}",
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
    staged: bool = True,
) -> Proposal:
    """Put one action in the queue. Risk comes from the table, never from who proposes.

    staged: a new version is released in the stages that the spec asks for now; they are part of what is approved.

    The time to decide runs from now: a look at the past (`watch --at`) must not propose what has expired already.
    """
    policy = services.policy()
    action = _in_stages(action, spec) if staged else action
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


def _in_stages(action: Action, spec: ModelSpec) -> Action:
    if isinstance(action, actions.Retrain | actions.Recalibrate | actions.Promote) and spec.release.beside:
        return action.model_copy(update={"release": spec.release})
    return action


def ask_whether_to_promote(
    services: Services, session: Session, work: Work, incident: Incident | None, why: str
) -> None:
    """A release stayed unclear: a proposal to promote its version at once, for a person to take or to leave."""
    if work.expected is None or queries.live_proposal(session, work.spec.name, ActionKind.PROMOTE) is not None:
        return
    action = actions.Promote(model=work.spec.name, expected_version=work.expected, to_version=work.version)
    file_proposal(
        services,
        session,
        work.spec,
        action,
        None,
        incident if incident is not None and incident.state == IncidentState.DIAGNOSED else None,
        at=services.now(session),
        requested_by="verification",
        why=f"{why} A person should say whether version {work.version} is to answer.",
        staged=False,
    )


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
