"""Ask `ml.diagnosis` what happened, with what the agent knows: history, the deployment ledger, the versions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentEvent
from agent.pipeline.profiles import LOOK_ROWS
from agent.pipeline.reference import healthy_history, reference_of, without_harmed
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.changes import move_incident
from agent.store.tables import Diagnosis, Incident
from ml.models.registry import CHAMPION
from ml.results import Window
from ml.spec import ModelSpec

if TYPE_CHECKING:
    from ml.diagnosis import Diagnosis as Finding

ACTOR = "diagnosis"


@dataclass(frozen=True, slots=True)
class Investigated:
    """A finding, the window that it is about, and how long it took."""

    finding: Finding
    window: Window
    seconds: float


def investigate(services: Services, spec: ModelSpec, at: datetime) -> Investigated:
    """Diagnose a model on the rows of the last window (with the label delay before it). Reads only."""
    import ml.diagnosis

    started = time.perf_counter()
    version = services.registry.alias(spec.name, CHAMPION)
    window = Window(at - spec.label_delay - spec.window, at)
    with services.store.read() as session:
        ledger = queries.deployments(session, spec.name)
        previous = _previous_version(ledger, version)
        finding = ml.diagnosis.diagnose(
            spec,
            reference_of(services, session, spec, version, at).frame,
            without_harmed(session, spec, services.log.read(spec, window, as_of=at, most=LOOK_ROWS)),
            history=healthy_history(services, session, spec, window.start),
            deployments=pd.DataFrame(ledger, columns=["timestamp", "version", "kind", "note"]),
            model=services.registry.load(spec.name, version, spec) if version else None,
            previous_model=services.registry.load(spec.name, previous, spec) if previous else None,
            as_of=at,
            window=window,
        )
    return Investigated(finding, window, time.perf_counter() - started)


def diagnose(
    session: Session, incident: Incident, investigated: Investigated, document: dict[str, Any], at: datetime
) -> None:
    """Store what was found with its incident. `document`: the finding as JSON, with its narrative (`further`)."""
    leading = document["causes"][0]
    session.add(
        Diagnosis(
            incident_id=incident.id,
            at=at,
            window_start=investigated.window.start,
            window_end=investigated.window.end,
            verdict=document["verdict"],
            cause=leading["cause"],
            probability=leading["probability"],
            onset=datetime.fromisoformat(leading["onset"]) if leading["onset"] else None,
            action=document["action"]["kind"],
            document=document,
            seconds=investigated.seconds,
        )
    )
    incident.title = title_of(document)
    move_incident(session, incident, IncidentEvent.DIAGNOSE, at=at, actor=ACTOR, reason=incident.title)


def title_of(document: Mapping[str, Any]) -> str:
    """One line for lists: the leading cause, its features, and the action."""
    cause = document["causes"][0]
    features = f" in {', '.join(cause['features'])}" if cause["features"] else ""
    return f"{cause['cause'].replace('_', ' ')}{features}"


def _previous_version(ledger: Sequence[Mapping[str, Any]], champion: str | None) -> str | None:
    """The version that answered before the champion, by the ledger."""
    return next((entry["version"] for entry in reversed(ledger) if entry["version"] != champion), None)
