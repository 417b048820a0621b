"""Did it help? Watch the rows after an execution, and say succeeded, failed or inconclusive, with the interval."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentEvent
from agent.domain.proposal import ProposalEvent, ProposalState
from agent.pipeline.locks import locked
from agent.pipeline.profiles import LOOK_ROWS
from agent.pipeline.propose import file_proposal, would_bring_back
from agent.pipeline.reference import reference_of
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.changes import move_incident, move_proposal, promise
from agent.store.tables import Deployment, Incident, Proposal, UnfitWindow, Verification
from ml.metrics import labelled, metric, row_loss
from ml.models.registry import CHAMPION
from ml.results import Status, Window
from ml.spec import ModelSpec
from tools import actions
from tools.actions import ActionKind

if TYPE_CHECKING:
    import pandas as pd

ACTOR = "verification"
DRAWS = 400
EVENTS = {"succeeded": ProposalEvent.SUCCEED, "failed": ProposalEvent.FAIL, "inconclusive": ProposalEvent.GIVE_UP}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the rows after an execution say; `document` is plain JSON for people and reports. proposal: what was judged.
    champion: the version that answered then (the registry is not asked while a transaction writes)."""

    verdict: str
    document: dict[str, Any]
    proposal: str = ""
    champion: str | None = None


def judge(services: Services, spec: ModelSpec, at: datetime) -> Finding | None:
    """Judge the execution that is being watched; None while there is none, or it is too early to say. Reads only."""
    with services.store.read() as session:
        proposal = _watched(session, spec.name)
        if proposal is None:
            return None
        finding = _judge(services, session, spec, proposal, session.get_one(Verification, proposal.id), at)
    if finding is None:
        return None
    return replace(finding, proposal=proposal.id, champion=_champion(services, spec))


def settle(services: Services, session: Session, spec: ModelSpec, finding: Finding, at: datetime) -> Proposal | None:
    """Record a verdict and what follows from it; the proposal that was judged."""
    proposal = locked(session, finding.proposal)
    if proposal.state != ProposalState.VERIFYING:
        return None
    watched = session.get_one(Verification, proposal.id)
    watched.verdict, watched.decided_at, watched.document = finding.verdict, at, finding.document
    move_proposal(session, proposal, EVENTS[finding.verdict], at=at, actor=ACTOR, data=finding.document)
    incident = session.get(Incident, proposal.incident_id) if proposal.incident_id else None
    said = finding.document["statement"]
    if incident is not None:
        recovered = finding.verdict == "succeeded"
        event = IncidentEvent.RECOVER if recovered else IncidentEvent.PERSIST
        move_incident(session, incident, event, at=at, actor=ACTOR, reason=finding.document["statement"])
        if recovered:
            for alert in queries.firing_alerts(session, spec.name):
                if alert.incident_id == incident.id:
                    alert.cleared_at = at
            _end_unfit_window(session, proposal, finding)
    if finding.verdict == "failed" and proposal.kind in (
        ActionKind.RETRAIN,
        ActionKind.RECALIBRATE,
        ActionKind.PROMOTE,
    ):
        said += _offer_rollback(services, session, spec, proposal, incident, finding, at)
    promise(
        session,
        key=f"verified:{proposal.id}",
        recipient=spec.owner or "approvers",
        title=f"{spec.name}: {proposal.kind} {finding.verdict}",
        body=said,
        subject=proposal.id,
        at=at,
    )
    session.flush()
    return proposal


def _watched(session: Session, model: str) -> Proposal | None:
    return session.scalar(
        select(Proposal)
        .where(Proposal.model == model, Proposal.state == ProposalState.VERIFYING)
        .order_by(Proposal.approved_at)
        .limit(1)
    )


def _judge(
    services: Services, session: Session, spec: ModelSpec, proposal: Proposal, watched: Verification, at: datetime
) -> Finding | None:
    """None while it is too early to say."""
    if proposal.kind == ActionKind.REFRESH_REFERENCE:
        statement = "The reference was replaced; no model changed, so there is no effect to wait for."
        return Finding("succeeded", {"statement": statement})
    if proposal.kind == ActionKind.SILENCE:
        return Finding("succeeded", {"statement": "The silence holds; no model changed, so nothing is to be seen."})
    if at <= watched.started_at:
        return None
    after = services.log.read(spec, Window(watched.started_at, at), as_of=at, most=LOOK_ROWS)
    if proposal.kind == ActionKind.FIX_DATA:
        return _judge_repair(services, session, spec, proposal, watched, after, at)
    return _judge_switch(services, spec, proposal, watched, labelled(after), at)


def _judge_switch(
    services: Services, spec: ModelSpec, proposal: Proposal, watched: Verification, after: pd.DataFrame, at: datetime
) -> Finding | None:
    """The new version against the replaced one on the very same later rows, paired."""
    due = at >= watched.due_at
    if len(after) < spec.verification.rows and not due:
        return None
    if len(after) < 10:
        return Finding(
            "inconclusive",
            {
                "statement": f"Only {len(after)} labelled rows came in until {watched.due_at:%Y-%m-%d %H:%M} UTC.",
                "n": len(after),
            },
        )
    replaced = proposal.action["expected_version"]
    if not replaced:
        return Finding(
            "inconclusive", {"statement": "There was no version before this one to compare with.", "n": len(after)}
        )
    old = services.registry.load(spec.name, replaced, spec)
    nothing_done = after.assign(**{str(name): column for name, column in old.predict(after).items()})
    gain = row_loss(spec, nothing_done) - row_loss(spec, after)
    low, high = _interval(gain)
    numbers = {
        "n": len(after),
        "metric": spec.metric,
        "after": _finite(metric(spec, after)),
        "do_nothing": _finite(metric(spec, nothing_done)),
        "gain": float(gain.mean()),
        "interval": [low, high],
    }
    told = (
        f"{spec.metric} {_shown(numbers['after'])} on {len(after)} later rows, "
        f"where version {replaced} would have had {_shown(numbers['do_nothing'])}"
    )
    if low > 0:
        return Finding("succeeded", {"statement": f"It helped: {told}.", **numbers})
    if high < 0:
        return Finding("failed", {"statement": f"It made things worse: {told}.", **numbers})
    if not due:
        return None
    return Finding("inconclusive", {"statement": f"No clear difference: {told}. A person should look.", **numbers})


def _judge_repair(
    services: Services,
    session: Session,
    spec: ModelSpec,
    proposal: Proposal,
    watched: Verification,
    after: pd.DataFrame,
    at: datetime,
) -> Finding | None:
    """Do the repaired columns look like the reference again in the latest rows?"""
    from ml.monitors.drift import drift_of_frames

    latest = after.tail(spec.verification.rows)
    due = at >= watched.due_at
    if len(latest) < spec.verification.rows and not due:
        return None
    if len(latest) < 10:
        return Finding(
            "inconclusive",
            {
                "statement": f"Only {len(latest)} rows came in until {watched.due_at:%Y-%m-%d %H:%M} UTC.",
                "n": len(latest),
            },
        )
    reference = reference_of(services, session, spec, _champion(services, spec), watched.started_at).frame
    start = latest["timestamp"].iloc[0].to_pydatetime()
    columns = proposal.action["features"]
    measured = [m for m in drift_of_frames(spec, reference, latest, Window(start, at)) if m.feature in columns]
    broken = [m for m in measured if m.status is Status.BREACH]
    mature = labelled(latest)
    numbers: dict[str, Any] = {
        "n": len(latest),
        "metric": spec.metric,
        "after": _finite(metric(spec, mature)) if len(mature) else None,
    }
    names = ", ".join(columns)
    if broken:
        if not due:
            return None
        return Finding("failed", {"statement": f"{names} still arrives broken: {broken[0].detail}", **numbers})
    return Finding(
        "succeeded",
        {
            "clean_from": start.isoformat(),
            "statement": f"{names} looks like the reference again in the latest {len(latest)} rows.",
            **numbers,
        },
    )


def _end_unfit_window(session: Session, proposal: Proposal, finding: Finding) -> None:
    """A repaired source is trusted from its first clean row on, not from when it was reported."""
    marked = session.scalar(select(UnfitWindow).where(UnfitWindow.proposal_id == proposal.id))
    if marked is not None and "clean_from" in finding.document:
        marked.end = max(marked.end, datetime.fromisoformat(finding.document["clean_from"]))


def _offer_rollback(
    services: Services,
    session: Session,
    spec: ModelSpec,
    proposal: Proposal,
    incident: Incident | None,
    finding: Finding,
    at: datetime,
) -> str:
    """A rollback of what was just done, ready to approve; else the sentence that says why there is none."""
    before = proposal.action["expected_version"]
    made = session.scalar(select(Deployment.version).where(Deployment.proposal_id == proposal.id))
    if not before or made is None or finding.champion != made:
        return ""
    if queries.live_proposal(session, spec.name, ActionKind.ROLLBACK) is not None:
        return ""
    action = actions.Rollback(model=spec.name, expected_version=made, to_version=before)
    if flaps := would_bring_back(services, session, action, at):
        return f" No rollback is proposed: {flaps}."
    file_proposal(
        services,
        session,
        spec,
        action,
        None,
        incident,
        at=at,
        requested_by=ACTOR,
        why=finding.document["statement"],
        trial=finding.document,
    )
    return " A rollback is ready to be approved."


def _champion(services: Services, spec: ModelSpec) -> str | None:
    return services.registry.alias(spec.name, CHAMPION)


def _interval(values: np.ndarray[Any, np.dtype[np.float64]], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of a mean, over blocks of neighbours (the rows are in order of time)."""
    rng = np.random.default_rng(seed)
    blocks = np.array_split(values, max(int(np.sqrt(len(values))), 2))
    sums = np.array([block.sum() for block in blocks])
    sizes = np.array([len(block) for block in blocks])
    drawn = rng.integers(0, len(blocks), (DRAWS, len(blocks)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _shown(value: Any) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
