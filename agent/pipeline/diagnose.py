"""Ask `ml.diagnosis` what happened, with what the agent knows: history, the deployment ledger, the versions."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentEvent
from agent.pipeline.reference import healthy_history, reference_of, without_harmed
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.changes import move_incident
from agent.store.tables import Diagnosis, Incident
from ml.results import Window
from ml.spec import ModelSpec

if TYPE_CHECKING:
    from ml.diagnosis import Diagnosis as Finding

ACTOR = "diagnosis"


def diagnose(services: Services, session: Session, spec: ModelSpec, incident: Incident, at: datetime) -> Finding:
    """Diagnose an incident on the rows of the last window (with the label delay before it), and store the answer."""
    import ml.diagnosis

    started = time.perf_counter()
    champion = services.registry.champion(spec.name)
    version = champion.version if champion else None
    window = Window(at - spec.label_delay - spec.window, at)
    previous = _previous_version(session, spec, version)
    finding = ml.diagnosis.diagnose(
        spec,
        reference_of(services, session, spec, version, at).frame,
        without_harmed(session, spec, services.log.read(spec, window, as_of=at)),
        history=healthy_history(services, session, spec, window.start),
        deployments=pd.DataFrame(
            queries.deployments(session, spec.name), columns=["timestamp", "version", "kind", "note"]
        ),
        model=services.registry.load(spec.name, version, spec) if version else None,
        previous_model=services.registry.load(spec.name, previous, spec) if previous else None,
        as_of=at,
    )
    document = finding.to_json()
    leading = finding.causes[0]
    session.add(
        Diagnosis(
            incident_id=incident.id,
            at=at,
            window_start=window.start,
            window_end=window.end,
            verdict=document["verdict"],
            cause=str(leading.cause),
            probability=leading.probability,
            onset=leading.onset,
            action=document["action"]["kind"],
            document=document,
            seconds=time.perf_counter() - started,
        )
    )
    incident.title = title_of(document)
    move_incident(session, incident, IncidentEvent.DIAGNOSE, at=at, actor=ACTOR, reason=incident.title)
    session.flush()
    return finding


def title_of(document: dict[str, object]) -> str:
    """One line for lists: the leading cause, its features, and the action."""
    cause = document["causes"][0]  # type: ignore[index]
    features = f" in {', '.join(cause['features'])}" if cause["features"] else ""
    return f"{cause['cause'].replace('_', ' ')}{features}"


def _previous_version(session: Session, spec: ModelSpec, champion: str | None) -> str | None:
    """The version that answered before the champion, by the ledger."""
    ledger = [entry["version"] for entry in queries.deployments(session, spec.name)]
    return next((version for version in reversed(ledger) if version != champion), None)
