"""Write an incident's report when it closes: the facts are stored, every format is rendered from them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.pipeline.services import Services
from agent.reports.facts import incident_facts
from agent.store.changes import promise
from agent.store.tables import Incident, Report
from ml.spec import ModelSpec


def write_report(services: Services, session: Session, spec: ModelSpec, incident: Incident, at: datetime) -> Report:
    """The report of a resolved incident, written once."""
    known = session.scalar(select(Report).where(Report.incident_id == incident.id))
    if known is not None:
        return known
    facts = incident_facts(session, incident, at=at)
    report = Report(kind="incident", model=spec.name, incident_id=incident.id, created_at=at, facts=facts.to_json())
    session.add(report)
    session.flush()
    promise(
        session,
        key=f"report:{report.id}",
        recipient=spec.owner or "team",
        title=f"{spec.name}: report of incident {incident.id}",
        body=facts.summary,
        subject=report.id,
        at=at,
    )
    return report
