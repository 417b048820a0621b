"""One incident: steps, causes with evidence, what was ruled out or not looked at, trials, decision, effect, audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from agent.doors.console.stories import read_stories
from agent.doors.console.strip import Step, Story, steps
from agent.pipeline.card import Card, make_card
from agent.pipeline.services import Services
from agent.pipeline.trials import TrialView, read_trials
from agent.reports.shape import Happening
from agent.reports.timeline import timeline
from agent.store import queries
from agent.store.tables import Diagnosis, Incident, Verification
from ml.diagnosis.causes import MEANING, Cause


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
    unfinished: bool


def read_incident(services: Services, session: Session, wanted: str) -> IncidentPage:
    """Raises: NotFound; InvalidInput when several ids start like this."""
    incident = queries.by_id(session, Incident, wanted)
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
        unfinished=incident.state != "resolved",
    )


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
