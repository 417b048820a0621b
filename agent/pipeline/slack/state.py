"""Answers to `/watch`: every model in a line, why one is in trouble, what waits. By code alone, without a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.wording import figure, shown
from agent.pipeline.freeze import held_back
from agent.pipeline.services import Services
from agent.pipeline.slack import blocks as kit
from agent.pipeline.slack.approval import fact_line
from agent.pipeline.slack.blocks import Block
from agent.pipeline.slack.home import decide_buttons, queue_lines, waiting_line
from agent.pipeline.slack.incident import SEVERITY, incident_card
from agent.pipeline.slack.records import read_incident
from agent.pipeline.slack.text import bold, code, said, when
from agent.store import queries
from agent.store.tables import Incident, MeasurementRow
from ml.spec import ModelSpec

MOST_MODELS, MOST_WAITING, MOST_FACTS = 30, 10, 6
Sees = Callable[[str], bool]


def status(services: Services, session: Session, sees: Sees) -> dict[str, Any]:
    """Every model in a line: what it does, since when, and what waits."""
    specs = [spec for name, spec in queries.specs(session).items() if sees(name)]
    lines = [_model(session, spec) for spec in specs[:MOST_MODELS]]
    parts: list[Block] = [kit.header("Status")]
    if frozen := held_back(services, session):
        parts.append(kit.section(f"🧊 {bold('Nothing is executed now')}: {said(frozen, 600)}"))
    parts += [kit.section("\n".join(lines[at : at + 5])) for at in range(0, len(lines), 5)]
    if len(specs) > MOST_MODELS:
        parts.append(kit.context(f"… and {len(specs) - MOST_MODELS} more; the console shows all."))
    if not specs:
        parts.append(kit.section("No model is watched yet; `watchkeeper model add SPEC.yaml` adds one."))
    waits = len(queue_lines(services, session, sees))
    parts.append(kit.context(f"{waits} waiting for a decision: `/watch approvals`"))
    return kit.document(f"{len(specs)} models, {waits} waiting for a decision", parts)


def _model(session: Session, spec: ModelSpec) -> str:
    run, incident = queries.latest_run(session, spec.name), queries.unresolved_incident(session, spec.name)
    latest = session.scalar(
        select(MeasurementRow)
        .where(
            MeasurementRow.model == spec.name,
            MeasurementRow.monitor == f"performance.{spec.metric}",
            MeasurementRow.feature.is_(None),
            MeasurementRow.segment.is_(None),
        )
        .order_by(MeasurementRow.window_end.desc(), MeasurementRow.id.desc())
        .limit(1)
    )
    icon = "⚪" if run is None else "🟢" if incident is None else SEVERITY.get(incident.severity, "🔵")
    parts = [f"{icon} {code(spec.name)}"]
    if latest is not None:
        parts.append(f"{said(spec.metric, 40)} {shown(figure(latest.value))}")
    if incident is not None:
        parts.append(f"incident {incident.id} ({incident.state})")
    parts.append(f"looked at {when(run.window_end)}" if run is not None else "not looked at yet")
    return " · ".join(parts)


def why(services: Services, session: Session, model: str) -> dict[str, Any]:
    """The incident that is open, or the last one, with its evidence. Raises: NotFound naming the models."""
    queries.spec_of(session, model)
    latest = select(Incident).where(Incident.model == model).order_by(Incident.opened_at.desc(), Incident.id).limit(1)
    incident = queries.unresolved_incident(session, model) or session.scalar(latest)
    if incident is None:
        text = f"Nothing has happened to {code(model)}: there was no incident yet."
        return kit.document(text, [kit.section(text)])
    view = read_incident(services, session, incident)
    document = incident_card(view, services.public_url)
    made = [part for part in document["blocks"] if part["type"] != "actions"]
    facts = view.diagnosis.document.get("evidence", []) if view.diagnosis is not None else []
    if facts:
        lines = [f"• {fact_line(fact)}" for fact in facts[:MOST_FACTS]]
        made.insert(-1, kit.section(f"{bold('Evidence')}\n" + "\n".join(lines)))
    return kit.document(document["text"], made)


def approvals(services: Services, session: Session, sees: Sees) -> dict[str, Any]:
    """What waits for a decision, with the buttons to decide."""
    views = queue_lines(services, session, sees)
    parts: list[Block] = [kit.header("Waits for a decision")]
    for view in views[:MOST_WAITING]:
        parts.append(kit.section(waiting_line(view, services.public_url)))
        parts.append(kit.actions(decide_buttons(view, services.public_url)))
    if len(views) > MOST_WAITING:
        parts.append(kit.context(f"… and {len(views) - MOST_WAITING} more; the console shows all."))
    if not views:
        parts.append(kit.section("Nothing waits for a decision."))
    return kit.document(f"{len(views)} waiting for a decision", parts)
