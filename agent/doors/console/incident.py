"""Incidents: the list, and one with its causes and their evidence, what was ruled out, trials, decision and effect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.incident import IncidentState
from agent.doors.access import Principal, PrincipalDep, needs, require_sight, within
from agent.doors.api.inputs import CursorText, RecordId, ServicesDep, Word
from agent.doors.api.paging import page as page_of
from agent.doors.console import chart_data
from agent.doors.console.page import render
from agent.doors.console.stories import read_stories
from agent.doors.console.strip import Step, Story, steps
from agent.doors.console.words import metric_name
from agent.pipeline.card import Card, make_card
from agent.pipeline.services import Services
from agent.pipeline.trials import TrialView, read_trials
from agent.reports.shape import Happening
from agent.reports.timeline import timeline
from agent.store import queries
from agent.store.tables import Diagnosis, Incident, Verification
from ml.diagnosis.causes import MEANING, Cause

EACH = 25
LOOKS = 400
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class CauseView:
    """One ranked cause, with the facts for and against it."""

    name: str
    meaning: str
    probability: float
    onset: str | None
    features: list[str]
    segment: str | None
    supports: list[dict[str, Any]]
    contradicts: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class IncidentPage:
    story: Story
    steps: list[Step]
    causes: list[CauseView]
    document: dict[str, Any]
    trials: list[TrialView]
    scale: float
    cards: list[Card]
    effect: Verification | None
    timeline: list[Happening]
    chart: tuple[dict[str, Any], str] | None
    effect_chart: tuple[dict[str, Any], str] | None
    narrative: dict[str, Any]


def read_incident(services: Services, session: Session, wanted: str, principal: Principal) -> IncidentPage:
    """Raises: NotFound; InvalidInput when several ids start like this."""
    incident = queries.by_id(session, Incident, wanted)
    require_sight(principal, incident.model, f"There is no incident {wanted!r}; the list of incidents shows them.")
    story = read_stories(session, [incident])[0]
    document = story.diagnosis.document if story.diagnosis else {}
    trials, scale = read_trials(document)
    policy = services.policy()
    cards = []
    for proposal in reversed(story.proposals):
        found = session.get(Diagnosis, proposal.diagnosis_id) if proposal.diagnosis_id else None
        cards.append(make_card(policy, proposal, found, story.approvals.get(proposal.id, [])))
    effect = story.verifications.get(story.proposal.id) if story.proposal else None
    return IncidentPage(
        story=story,
        steps=steps(story),
        causes=[_cause(cause, document) for cause in document.get("causes", [])],
        document=document,
        trials=trials,
        scale=scale,
        cards=cards,
        effect=effect,
        timeline=timeline(session, [incident.id, *(proposal.id for proposal in story.proposals)]),
        chart=_around(session, story),
        effect_chart=_effect(effect),
        narrative=document.get("narrative") or {},
    )


def _around(session: Session, story: Story) -> tuple[dict[str, Any], str] | None:
    """The metric from before the harm began until after it was over, with what happened marked on it."""
    incident = story.incident
    spec = queries.spec_of(session, incident.model)
    onset = story.diagnosis.onset if story.diagnosis else None
    proposal = story.proposal
    start, end = min(onset or incident.opened_at, incident.opened_at), incident.resolved_at
    room = max(6 * spec.window, ((end or incident.opened_at) - start) / 2, timedelta(days=1))
    rows = chart_data.metric_series(
        session, spec, f"performance.{spec.metric}", LOOKS, until=None if end is None else end + room
    )
    marks: list[tuple[datetime | None, str]] = [(onset, "onset"), (incident.opened_at, "opened")]
    if proposal is not None and proposal.approved_at is not None:
        marks.append((proposal.approved_at, "approved"))
    return chart_data.series(
        [row for row in rows if row.window_end >= start - room],
        name=metric_name(spec.metric),
        better="higher" if spec.higher_is_better else "lower",
        ledger=queries.deployments(session, spec.name),
        incidents=[incident],
        marks=[(at, text) for at, text in marks if at is not None],
    )


def _effect(check: Verification | None) -> tuple[dict[str, Any], str] | None:
    """What was measured after the action beside what doing nothing would have given."""
    document = check.document if check else {}
    after, nothing = document.get("after"), document.get("do_nothing")
    if not isinstance(after, (int, float)) or not isinstance(nothing, (int, float)):
        return None
    name = metric_name(str(document.get("metric", "metric")))
    data = {
        "names": ["with the action", "had nothing been done"],
        "now": [chart_data.plain(after), chart_data.plain(nothing)],
        "then": [],
        "unit": "",
    }
    return data, f"{name} on {document.get('n', '?')} later rows: {after:.3g}, where it would have been {nothing:.3g}."


def _cause(cause: dict[str, Any], document: dict[str, Any]) -> CauseView:
    facts = {fact["id"]: fact for fact in document.get("evidence", [])}

    def cited(key: str) -> list[dict[str, Any]]:
        return [facts[number] for number in dict.fromkeys(cause.get(key, [])) if number in facts]

    known = cause["cause"] in set(Cause)
    return CauseView(
        name=cause["cause"],
        meaning=MEANING[Cause(cause["cause"])] if known else "",
        probability=cause["probability"],
        onset=cause.get("onset"),
        features=list(cause.get("features") or []),
        segment=cause.get("segment"),
        supports=cited("supports"),
        contradicts=cited("contradicts"),
    )


@router.get("/incidents", dependencies=[needs("viewer")])
def show_incidents(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    model: Word = "",
    state: Word = "",
    cursor: CursorText = None,
) -> Response:
    with services.store.read() as session:
        query = select(Incident).where(within(principal, session, Incident.model))
        if model:
            query = query.where(Incident.model == model)
        if state == "open":
            query = query.where(Incident.state != IncidentState.RESOLVED)
        elif state in set(IncidentState):
            query = query.where(Incident.state == state)
        rows, after = page_of(session, query, (Incident.opened_at, Incident.id), cursor or None, EACH)
        stories = [(story, steps(story)) for story in read_stories(session, rows)]
        models = [name for name in queries.model_names(session) if principal.sees(name)]
        more = str(request.url.include_query_params(cursor=after).query) if after else ""
        states = ["open", *IncidentState]
        return render(
            request, "incidents.html", session=session, stories=stories, models=models, states=states,
            model=model, state=state, more=more,
        )  # fmt: skip


@router.get("/incidents/{id}", dependencies=[needs("viewer")])
def show_incident(request: Request, services: ServicesDep, principal: PrincipalDep, id: RecordId) -> Response:
    with services.store.read() as session:
        found = read_incident(services, session, id, principal)
        return render(request, "incident.html", session=session, page=found)
