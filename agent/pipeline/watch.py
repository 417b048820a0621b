"""One turn of the watch for one model: look, triage, diagnose, propose; and judge what was done before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from agent.domain.incident import IncidentState
from agent.pipeline.approve import expire
from agent.pipeline.diagnose import diagnose
from agent.pipeline.monitor import look
from agent.pipeline.propose import propose
from agent.pipeline.report import write_report
from agent.pipeline.services import Services
from agent.pipeline.triage import triage
from agent.pipeline.verify import verify
from agent.store import queries
from agent.store.tables import Diagnosis, Incident, Proposal
from ml.results import Measurement
from ml.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of the watch did. `looked` is False when this window had been looked at before."""

    model: str
    at: datetime
    looked: bool
    measurements: tuple[Measurement, ...] = ()
    incident: Incident | None = None
    diagnosis: Diagnosis | None = None
    proposal: Proposal | None = None
    verified: Proposal | None = None


def watch(services: Services, model: str, at: datetime) -> Turn:
    """Take one turn for one model at `at`, in one transaction."""
    with services.store.write() as session:
        spec = queries.spec_of(session, model)
        expire(services, session)
        seen = look(services, session, spec, at)
        if seen is None:
            return Turn(model, at, looked=False, incident=queries.unresolved_incident(session, model))
        verified = verify(services, session, spec, at)
        incident = triage(session, spec, seen, at)
        proposal = None
        if incident is not None and incident.state in (IncidentState.OPEN, IncidentState.DIAGNOSED):
            proposal = _work_on(services, session, spec, incident, at)
        for done in (incident, session.get(Incident, verified.incident_id) if verified and verified.incident_id else None):
            if done is not None and done.state == IncidentState.RESOLVED:
                write_report(services, session, spec, done, at)
        diagnosis = queries.latest_diagnosis(session, incident.id) if incident else None
        return Turn(model, at, True, tuple(seen.measurements), incident, diagnosis, proposal, verified)


def _work_on(services: Services, session: Session, spec: ModelSpec, incident: Incident, at: datetime) -> Proposal | None:
    """Diagnose and propose; a diagnosed incident is diagnosed again only once the cooldown lets something be proposed."""
    last = queries.last_ended(session, spec.name)
    cooling = last is not None and at < last + services.policy().cooldown
    if incident.state == IncidentState.DIAGNOSED and cooling:
        return None
    diagnose(services, session, spec, incident, at)
    return propose(services, session, spec, incident, at)
