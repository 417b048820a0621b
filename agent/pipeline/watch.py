"""One turn of the watch for one model: look, triage, diagnose, propose; and judge what was done before.

What takes long (measuring, diagnosing, judging) only reads; each result is then stored in a short transaction, so that
nobody's approval waits for a computation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agent.domain.incident import IncidentState
from agent.pipeline.approve import auto_approve, expire, supersede_overtaken
from agent.pipeline.diagnose import diagnose, investigate
from agent.pipeline.further import narrated
from agent.pipeline.monitor import keep, look
from agent.pipeline.propose import may_propose, pin, propose
from agent.pipeline.report import tell_reports, write_report
from agent.pipeline.services import Services
from agent.pipeline.triage import fold, tell_owner, triage
from agent.pipeline.verify import judge, settle
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
    """Take one turn for one model at `at`."""
    with services.store.write() as session:
        spec = queries.spec_of(session, model)
        expire(services, session)
    supersede_overtaken(services, model)
    verified = _verify(services, spec, at)
    seen = look(services, spec, at)
    with services.store.write() as session:
        if seen is not None:
            keep(session, seen)
            incidents = triage(session, spec, seen, at)
        else:
            incidents = list(queries.unresolved_incidents(session, model))
        work = [incident for incident in incidents if may_propose(services, session, spec, incident, at)]
        if seen is None:  # looked at before; what a crash left undiagnosed is still gone on with
            work = [incident for incident in work if incident.state == IncidentState.OPEN]
        for incident in incidents:
            if incident.state == IncidentState.RESOLVED:
                write_report(services, session, spec, incident, at)
            elif incident not in work:
                tell_owner(session, spec, incident, at)
    told, diagnosis, proposal = next(iter(work or incidents), None), None, None
    if work:
        investigated, pins = investigate(services, spec, at), pin(services, spec)
        document = narrated(services, spec, work[0].id, investigated.finding.to_json())
        with services.store.write() as session:
            for known in work:
                incident = session.get_one(Incident, known.id)
                if may_propose(services, session, spec, incident, at):
                    diagnose(session, incident, investigated, document, at)
                    session.flush()
                    diagnosis = queries.latest_diagnosis(session, incident.id)
                    if fold(session, incident, at) is None:
                        proposal = propose(services, session, spec, incident, pins, at) or proposal
                        if incident.state == IncidentState.RESOLVED:
                            write_report(services, session, spec, incident, at)
                tell_owner(session, spec, incident, at)
                told = incident if known is work[0] else told
    released = auto_approve(services, model)
    proposal = released[0] if released else proposal
    tell_reports(services, model, at)
    measurements = tuple(seen.measurements) if seen is not None else ()
    return Turn(model, at, seen is not None, measurements, told, diagnosis, proposal, verified)


def _verify(services: Services, spec: ModelSpec, at: datetime) -> Proposal | None:
    finding = judge(services, spec, at)
    if finding is None:
        return None
    with services.store.write() as session:
        verified = settle(services, session, spec, finding, at)
        if verified is not None and verified.incident_id:
            incident = session.get_one(Incident, verified.incident_id)
            if incident.state == IncidentState.RESOLVED:
                write_report(services, session, spec, incident, at)
        return verified
