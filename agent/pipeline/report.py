"""Write an incident's report when it closes: the facts are stored, every format is rendered from them. A language model
may then write the paragraph on top, where one is configured."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.conversation.narrate import narrate
from agent.pipeline.desk import desk_of
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
    report = Report(
        kind="incident", model=spec.name, incident_id=incident.id, created_at=at, facts=facts.to_json(),
        period_start=incident.opened_at, period_end=incident.resolved_at,
    )  # fmt: skip
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
        kind="report",
        model=spec.name,
        files=({"report": report.id, "format": "pdf"},),
    )
    return report


def tell_reports(services: Services, model: str, at: datetime) -> None:
    """Let a language model write the summaries of the reports written at `at`; where it cannot, the template's stays.

    No transaction is open meanwhile. What was written is kept: a report says the same whenever it is printed.
    """
    if services.llm.offline:
        return
    fresh = select(Report).where(Report.model == model, Report.kind == "incident", Report.created_at == at)
    with services.store.read() as session:
        found = {row.id: row.facts for row in session.scalars(fresh) if not row.facts.get("summary_by")}
    for report, facts in found.items():
        told = narrate(desk_of(services), facts)
        with services.store.write() as session:
            row = session.get_one(Report, report)
            row.facts = {**row.facts, "summary": told.labelled, "summary_by": told.by}
