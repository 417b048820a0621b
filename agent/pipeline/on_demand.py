"""A report that somebody asks for now, over a period; its facts are kept, as those of any report."""

from __future__ import annotations

from datetime import timedelta

from agent.pipeline.services import Services
from agent.reports.facts import period_facts
from agent.store.tables import Report


def write_period_report(services: Services, model: str | None, span: timedelta) -> str:
    """The id of a report over the time until now, of one model or of all. Raises: NotFound."""
    with services.store.read() as session:
        at = services.now(session)
        facts = period_facts(session, model=model, start=at - span, end=at).to_json()
    with services.store.write() as session:
        row = Report(kind="period", model=model, incident_id=None, created_at=at, facts=facts)
        session.add(row)
        session.flush()
        return row.id
