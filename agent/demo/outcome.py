"""What came of each chapter, in the form of the contract: from the records, and from the rows that were logged."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.demo.replay import Stage, break_rows
from agent.demo.story import Chapter
from agent.store.tables import Approval, Diagnosis, Execution, Incident, Proposal, Verification
from ml.metrics import labelled, metric
from ml.results import Window
from tools.actions import ActionKind

if TYPE_CHECKING:
    import pandas as pd

ENOUGH_ROWS = 30


def outcome(stage: Stage, chapter: Chapter) -> dict[str, Any]:
    """One entry of `scenarios`."""
    with stage.services.store.read() as session:
        incident = session.scalar(
            select(Incident)
            .where(
                Incident.model == stage.model, Incident.opened_at >= chapter.start, Incident.opened_at <= chapter.end
            )
            .order_by(Incident.opened_at)
            .limit(1)
        )
        diagnosis, proposal = _worked_on(session, stage, chapter, incident)
        if proposal is not None and proposal.incident_id:
            incident = session.get(Incident, proposal.incident_id)
        execution = session.scalar(select(Execution).where(Execution.proposal_id == proposal.id)) if proposal else None
        verification = session.get(Verification, proposal.id) if proposal else None
        decider = (
            session.scalar(select(Approval.person).where(Approval.proposal_id == proposal.id)) if proposal else None
        )
    onset = diagnosis.onset if diagnosis and diagnosis.verdict == "incident" else None
    acted = verification.started_at if verification else None
    return {
        "name": chapter.name,
        "model": stage.model,
        "incident": incident and _incident(incident, diagnosis),
        "proposal": proposal
        and {
            "id": proposal.id,
            "action": proposal.kind,
            "parameters": proposal.action,
            "state": proposal.state,
            "reason": proposal.reason,
            "trial": proposal.trial,
            "decided_by": decider,
            "executed": int(execution is not None and execution.state == "done"),
            "seconds_to_execute": execution.seconds if execution else None,
        },
        "verification": verification.verdict if verification else None,
        "metric": _metric(stage, chapter, proposal, onset, acted),
    }


def _worked_on(
    session: Session, stage: Stage, chapter: Chapter, incident: Incident | None
) -> tuple[Diagnosis | None, Proposal | None]:
    """The chapter's first proposal to change a model or mend data, and the diagnosis it came from; without one, the
    first diagnosis of its incident."""
    query = select(Proposal).where(
        Proposal.model == stage.model, Proposal.created_at > chapter.start, Proposal.created_at <= chapter.end
    )
    proposals = session.scalars(query.order_by(Proposal.created_at)).all()
    proposal = next((p for p in proposals if p.kind != ActionKind.REFRESH_REFERENCE), next(iter(proposals), None))
    if proposal is not None and proposal.diagnosis_id:
        return session.get(Diagnosis, proposal.diagnosis_id), proposal
    if incident is None:
        return None, proposal
    first = select(Diagnosis).where(Diagnosis.incident_id == incident.id).order_by(Diagnosis.at).limit(1)
    return session.scalar(first), proposal


def _incident(incident: Incident, diagnosis: Diagnosis | None) -> dict[str, Any]:
    leading = diagnosis.document["causes"][0] if diagnosis else {}
    return {
        "id": incident.id,
        "opened_at": incident.opened_at,
        "state": incident.state,
        "cause": leading.get("cause"),
        "probability": leading.get("probability"),
        "onset": leading.get("onset"),
        "features": leading.get("features", []),
        "segment": leading.get("segment"),
        "why": diagnosis.document["action"]["why"] if diagnosis else incident.title,
    }


def _metric(
    stage: Stage, chapter: Chapter, proposal: Proposal | None, onset: datetime | None, acted: datetime | None
) -> dict[str, Any]:
    """The metric before the fault, during it, after the action, and on the same later rows had nothing been done."""
    spec = stage.spec
    rows = stage.services.log.read(spec, Window(chapter.start, chapter.end))
    began = onset or chapter.start + (chapter.end - chapter.start) / 2
    until = acted or chapter.end
    mended = stage.repaired_at.get(chapter.name or "", acted)
    before = _between(rows, chapter.start, began)
    if len(labelled(before)) < ENOUGH_ROWS:
        before = _reference(stage)
    after = _between(rows, mended, chapter.end) if mended else rows.iloc[0:0]
    nothing = _nothing_done(stage, chapter, proposal, after) if mended else _between(rows, began, chapter.end)
    return {
        "name": spec.metric,
        "better": "higher" if spec.higher_is_better else "lower",
        "before": _value(stage, before),
        "during": _value(stage, _between(rows, began, until)),
        "after": _value(stage, after),
        "do_nothing": _value(stage, nothing),
        "n": {"before": len(labelled(before)), "after": len(labelled(after))},
    }


def _reference(stage: Stage) -> pd.DataFrame:
    held_out = stage.services.registry.reference(stage.model, "1")
    assert held_out is not None, "the first version keeps its hold-out"
    return held_out


def _nothing_done(stage: Stage, chapter: Chapter, proposal: Proposal | None, after: pd.DataFrame) -> pd.DataFrame:
    """The very rows of `after`, answered by the version that was replaced, or arriving broken as before."""
    if proposal is None or after.empty:
        return after
    version = proposal.action.get("expected_version") or stage.champion().version
    rows = break_rows(stage, chapter, after, repaired=False)
    answers = stage.load(version).predict(rows)
    return rows.assign(prediction=answers["prediction"], score=answers["score"])


def _between(rows: pd.DataFrame, start: datetime | None, end: datetime) -> pd.DataFrame:
    return rows[(rows["timestamp"] >= (start or end)) & (rows["timestamp"] < end)]


def _value(stage: Stage, rows: pd.DataFrame) -> float | None:
    mature = labelled(rows)
    if mature.empty:
        return None
    value = metric(stage.spec, mature)
    return float(value) if np.isfinite(value) else None
