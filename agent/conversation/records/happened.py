"""Incidents with their timeline and alerts, and what was made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.conversation.records.sight import Sight, cursor_of, page, timed
from agent.domain.incident import IncidentState
from agent.store import queries
from agent.store.tables import Alert, Diagnosis, Incident, Proposal
from ml.diagnosis.causes import MEANING, Cause
from tools.context import Found, Item, Span

Timeline = Callable[[Session, Sequence[str]], Sequence[Any]]
"""The events of some records as a story: values with `at`, `actor`, `event`, `text`."""


def incidents(sight: Sight, model: str | None, state: str | None, span: Span, cursor: str | None) -> Found:
    """Incidents that were opened in the span, newest first."""
    query = select(Incident).where(sight.within(Incident.model, model), *timed(Incident.opened_at, span))
    if state == "unresolved":
        query = query.where(Incident.state != IncidentState.RESOLVED)
    elif state is not None:
        query = query.where(Incident.state == state)
    rows, more = page(sight.session, query, (Incident.opened_at, Incident.id), cursor)
    if not rows:
        of = f" of {model}" if model else ""
        narrowed = " that fits" if state or span.since or span.until or cursor else ""
        return Found({"incidents": []}, missing=f"There is no incident{of}{narrowed} on record.")
    items = [Item(line(sight.session, row), cursor_of(row.opened_at, row.id), (row.id,)) for row in rows]
    return Found({}, items, lambda entries: {"incidents": entries}, more=more)


def line(session: Session, row: Incident) -> dict[str, Any]:
    """One incident as lists show it."""
    diagnosis = queries.latest_diagnosis(session, row.id)
    proposal = session.scalar(
        select(Proposal).where(Proposal.incident_id == row.id).order_by(Proposal.created_at.desc()).limit(1)
    )
    return {
        "id": row.id,
        "model": row.model,
        "state": row.state,
        "severity": row.severity,
        "title": row.title,
        "opened_at": row.opened_at,
        "resolved_at": row.resolved_at,
        "resolution": row.resolution,
        "cause": diagnosis.cause if diagnosis else None,
        "probability": diagnosis.probability if diagnosis else None,
        "onset": diagnosis.onset if diagnosis else None,
        "diagnosis": diagnosis.id if diagnosis else None,
        "action": proposal.kind if proposal else (diagnosis.action if diagnosis else None),
        "proposal": proposal.id if proposal else None,
        "proposal_state": proposal.state if proposal else None,
    }


def incident(sight: Sight, wanted: str, timeline: Timeline) -> Found:
    """One incident with its timeline and alerts."""
    row = sight.by_id(Incident, wanted)
    session = sight.session
    alerts = session.scalars(select(Alert).where(Alert.incident_id == row.id).order_by(Alert.first_seen, Alert.id))
    of_it = session.scalars(select(Proposal.id).where(Proposal.incident_id == row.id).order_by(Proposal.created_at))
    proposals = list(of_it)
    shown = line(session, row)
    data = {
        "incidents": [shown],
        "timeline": [
            {"at": entry.at, "actor": entry.actor, "event": entry.event, "text": entry.text}
            for entry in timeline(session, [row.id, *proposals])
        ],
        "alerts": [
            {
                name: getattr(alert, name)
                for name in (
                    *("monitor", "feature", "severity", "detail", "first_seen", "last_seen", "cleared_at", "looks"),
                )
            }
            for alert in alerts
        ],
        "proposals": proposals,
    }
    cited = [row.id, *([shown["diagnosis"]] if shown["diagnosis"] else []), *proposals]
    return Found(data, evidence=tuple(cited), window=(row.opened_at, row.resolved_at or sight.now))


def diagnosis(sight: Sight, wanted: str | None, model: str | None) -> Found:
    """The latest diagnosis of an incident; of a model: of its unresolved incident, else of its latest one."""
    session = sight.session
    if wanted is not None:
        found: Incident | None = sight.by_id(Incident, wanted)
    else:
        assert model is not None, "the tool asks for one of both"
        sight.spec(model)
        latest = select(Incident).where(Incident.model == model).order_by(Incident.opened_at.desc(), Incident.id)
        found = queries.unresolved_incident(session, model) or session.scalar(latest.limit(1))
    if found is None:
        return Found(missing=f"{model} has had no incident, so nothing was diagnosed.")
    row = queries.latest_diagnosis(session, found.id)
    if row is None:
        return Found(
            {"incident": found.id, "model": found.model, "title": found.title},
            missing=f"Incident {found.id} of {found.model} is not diagnosed yet: {found.title}",
            evidence=(found.id,),
        )
    return diagnosed(row, found)


def diagnosed(row: Diagnosis, of: Incident) -> Found:
    """A stored diagnosis; its facts are cited as `d-…/E3`."""
    document: Mapping[str, Any] = row.document
    action = document.get("action") or {}

    def cite(numbers: Sequence[Any]) -> list[str]:
        return [f"{row.id}/{number}" for number in numbers]

    evidence = [{**fact, "id": f"{row.id}/{fact.get('id')}"} for fact in document.get("evidence", [])]
    data = {
        "id": row.id,
        "incident": of.id,
        "incident_state": of.state,
        "model": of.model,
        "at": row.at,
        "verdict": row.verdict,
        "confidence": document.get("confidence"),
        "causes": [
            {
                "cause": cause.get("cause"),
                "meaning": MEANING[Cause(cause["cause"])] if cause.get("cause") in set(Cause) else "",
                "probability": cause.get("probability"),
                "onset": cause.get("onset"),
                "features": cause.get("features", []),
                "segment": cause.get("segment"),
                "supports": cite(cause.get("supports", [])),
                "contradicts": cite(cause.get("contradicts", [])),
            }
            for cause in document.get("causes", [])
        ],
        "action": {
            "kind": action.get("kind", row.action),
            "parameters": action.get("parameters", {}),
            "why": action.get("why", ""),
            "a_person_should_choose": bool(action.get("escalate")),
        },
        "evidence": evidence,
        "ruled_out": [
            {"what": one.get("what"), "why": one.get("why"), "evidence": cite(one.get("evidence", []))}
            for one in document.get("ruled_out", [])
        ],
        "not_checked": list(document.get("not_checked", [])),
        "trials": [{k: v for k, v in trial.items() if k != "loss"} for trial in document.get("trials", [])],
    }
    cited = (row.id, of.id, *(str(fact["id"]) for fact in evidence))
    return Found(data, evidence=cited, window=(row.window_start, row.window_end))
