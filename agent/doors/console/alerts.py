"""Alerts: what is firing and who looks after it, what is silenced and until when, what was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import InvalidInput
from agent.doors.access import Principal, PrincipalDep, needs, within
from agent.doors.api.inputs import RecordId, ServicesDep, Word
from agent.doors.console import page
from agent.doors.console.forms import Form, person_of
from agent.pipeline import silence
from agent.pipeline.acknowledge import acknowledge
from agent.pipeline.requested import FAMILIES, Requests
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Acknowledgement, Alert, Incident, Silence
from ml.spec import parse_duration
from tools.actions import ActionKind
from tools.context import Wanted

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
MOST = 200
LIVES = (("1h", "1 hour"), ("4h", "4 hours"), ("24h", "1 day"), ("72h", "3 days"), ("7d", "1 week"))


@dataclass(frozen=True, slots=True)
class AlertLine:
    alert: Alert
    incident: Incident | None
    seen: Acknowledgement | None


@dataclass(frozen=True, slots=True)
class Alerts:
    firing: list[AlertLine]
    cleared: list[AlertLine]
    silences: list[Silence]
    models: list[str]


def read_alerts(services: Services, session: Session, principal: Principal, model: str) -> Alerts:
    mine = within(principal, session, Alert.model)
    chosen = mine if not model else mine & (Alert.model == model)
    firing = select(Alert).where(chosen, Alert.cleared_at.is_(None)).order_by(Alert.first_seen.desc(), Alert.id)
    cleared = select(Alert).where(chosen, Alert.cleared_at.is_not(None)).order_by(Alert.cleared_at.desc(), Alert.id)
    found = [*session.scalars(firing.limit(MOST)), *session.scalars(cleared.limit(50))]
    ids, incidents = [row.id for row in found], {row.incident_id for row in found}
    seen = {
        row.alert_id: row for row in session.scalars(select(Acknowledgement).where(Acknowledgement.alert_id.in_(ids)))
    }
    known = {row.id: row for row in session.scalars(select(Incident).where(Incident.id.in_(incidents)))}
    lines = [AlertLine(row, known.get(row.incident_id), seen.get(row.id)) for row in found]
    quiet = [row for row in silence.every(session, services.now(session)) if principal.sees(row.model)]
    return Alerts(
        [line for line in lines if line.alert.cleared_at is None],
        [line for line in lines if line.alert.cleared_at is not None],
        quiet,
        [name for name in queries.model_names(session) if principal.sees(name)],
    )


@router.get("/alerts", dependencies=[needs("viewer")])
def show_alerts(
    request: Request, services: ServicesDep, principal: PrincipalDep, model: Annotated[Word, Query()] = ""
) -> Response:
    with services.store.read() as session:
        found = read_alerts(services, session, principal, model)
        return page.render(
            request, "alerts.html", session=session, found=found, chosen=model, families=FAMILIES, lives=LIVES
        )


@router.post("/alerts/{id}/acknowledge", dependencies=[needs("operator", "propose")])
def acknowledge_here(services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    with services.store.write() as session:
        acknowledge(services, session, id, person=person_of(principal, form), note=form.get("note", ""))
    return RedirectResponse("/alerts", 303)


@router.post("/alerts/silence", dependencies=[needs("operator", "propose")])
def silence_here(services: ServicesDep, principal: PrincipalDep, form: Form) -> Response:
    """A silence is an action like others: it is proposed here, and decided on by whom the policy names."""
    person, life = person_of(principal, form), form.get("life", "")
    if life not in dict(LIVES):
        raise InvalidInput(f"life: choose one of {', '.join(dict(LIVES))}.")
    until = services.now() + parse_duration(life)
    features = (form["feature"],) if form.get("feature") else ()
    wanted = Wanted(
        kind=ActionKind.SILENCE, model=form.get("model", ""), monitor=form.get("monitor") or None, features=features,
        until=until,
    )  # fmt: skip
    caller = principal.caller
    if principal.kind == "local":
        caller = replace(caller, name=person)
    made = Requests(services).propose(wanted, form.get("reason", ""), caller)
    return RedirectResponse(f"/approvals/{made['id']}", 303)


@router.post("/silences/{id}/end", dependencies=[needs("operator", "propose")])
def end_here(services: ServicesDep, principal: PrincipalDep, id: RecordId, form: Form) -> Response:
    silence.end(services, id, person=person_of(principal, form), reason=form.get("reason", ""))
    return RedirectResponse("/alerts", 303)
