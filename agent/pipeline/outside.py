"""From alerts of other programs to incidents: one open incident for each key, one alert for each fingerprint.

An alert that names a model under watch (label `model`) joins that model's incident. Any other makes an incident without
a model. When the last alert of an incident resolves, so does the incident, unless somebody is acting on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.domain.alerting import worst
from agent.domain.incident import SEEKING, IncidentEvent, IncidentState
from agent.pipeline.inbox import Handler
from agent.pipeline.services import Services
from agent.store import audit, queries
from agent.store.changes import move_incident, promise
from agent.store.tables import Alert, Incident, Model

SOURCES = ("alertmanager", "grafana", "generic")
FORGOTTEN = timedelta(days=7)
"""An alert that its sender has not spoken of for so long is taken as over; senders repeat what fires."""


def take_in(services: Services, body: Mapping[str, Any], *, source: str) -> None:
    """Work on one kept notification: all its alerts in one transaction. The same again changes nothing more."""
    with services.store.write() as session:
        at = services.now(session)
        touched: dict[str, Incident] = {}
        for alert in body["alerts"]:
            incident = (
                _fire(session, source, alert, at) if alert["status"] == "firing" else _clear(session, source, alert, at)
            )
            if incident is not None:
                touched[incident.id] = incident
        session.flush()
        for incident in touched.values():
            _settle(session, incident, source, at)


HANDLERS: Mapping[str, Handler] = {source: partial(take_in, source=source) for source in SOURCES}


def _fire(session: Session, source: str, said: Mapping[str, Any], at: datetime) -> Incident | None:
    """Raise or refresh an alert; the incident that it belongs to, None for one that is over already."""
    model = said["model"] if said["model"] and session.get(Model, said["model"]) is not None else ""
    fingerprint, episode = _fingerprint(source, said), str(said["started"])
    mine = select(Alert).where(Alert.fingerprint == fingerprint, Alert.source == source)
    alert = session.scalar(mine.where(Alert.cleared_at.is_(None)).with_for_update())
    if alert is not None:
        alert.last_seen, alert.looks, alert.detail, alert.link = at, alert.looks + 1, _told(said), said["link"]
        incident = session.get_one(Incident, alert.incident_id)
        if said["severity"] != alert.severity:
            alert.severity = said["severity"]
            incident.severity = worst([incident.severity, alert.severity])
        return incident
    if episode and session.scalar(mine.where(Alert.episode == episode).limit(1)) is not None:
        return None  # told late: this very episode has resolved
    incident = _home(session, model, source, said, at)
    incident.severity = worst([incident.severity, said["severity"]])
    session.add(
        Alert(
            model=model,
            incident_id=incident.id,
            fingerprint=fingerprint,
            severity=said["severity"],
            monitor=f"outside.{source}",
            detail=_told(said),
            first_seen=at,
            last_seen=at,
            source=source,
            labels=said["labels"],
            link=said["link"],
            episode=episode,
        )
    )
    session.flush()
    return incident


def _clear(session: Session, source: str, said: Mapping[str, Any], at: datetime) -> Incident | None:
    wanted = select(Alert).where(
        Alert.fingerprint == _fingerprint(source, said), Alert.source == source, Alert.cleared_at.is_(None)
    )
    alert = session.scalar(wanted.with_for_update())
    if alert is None or (said["started"] and alert.episode and said["started"] < alert.episode):
        return None  # unknown, or an earlier episode's end that comes late
    alert.cleared_at = alert.last_seen = at
    return session.get_one(Incident, alert.incident_id)


def _home(session: Session, model: str, source: str, said: Mapping[str, Any], at: datetime) -> Incident:
    """The unresolved incident that an alert belongs to, else a new one, of which the owner is told."""
    key = "" if model else _key(source, said)
    known = select(Incident).where(Incident.model == model, Incident.state != IncidentState.RESOLVED)
    known = known.order_by(Incident.opened_at) if model else known.where(Incident.key == key)
    if (found := session.scalars(known.with_for_update()).first()) is not None:
        return found
    incident = Incident(
        model=model, key=key, state="open", severity=said["severity"], title=said["title"], opened_at=at
    )
    session.add(incident)
    session.flush()
    audit.append(
        session,
        at=at,
        actor=source,
        event="incident open",
        subject=incident.id,
        data={"model": model, "source": source, "key": said["key"], "detail": said["title"]},
    )
    owner = queries.spec_of(session, model).owner if model else ""
    promise(
        session,
        key=f"incident:{incident.id}",
        recipient=owner or "team",
        title=f"{model or source}: {said['severity']}: {said['title']}",
        body="\n".join(line for line in (said["detail"], f"See: watchkeeper incident show {incident.id}") if line),
        subject=incident.id,
        at=at,
    )
    return incident


def _settle(session: Session, incident: Incident, source: str, at: datetime) -> None:
    """An incident whose every alert has cleared stands down, where nobody has proposed or begun anything."""
    firing = select(func.count()).select_from(Alert).where(Alert.incident_id == incident.id, Alert.cleared_at.is_(None))
    if incident.state not in SEEKING or session.scalar(firing):
        return
    move_incident(session, incident, IncidentEvent.STAND_DOWN, at=at, actor=source, reason="Every alert has cleared.")
    promise(
        session,
        key=f"resolved:{incident.id}",
        recipient=(queries.spec_of(session, incident.model).owner if incident.model else "") or "team",
        title=f"{incident.model or source}: resolved: {incident.title}",
        body="Every alert has cleared.",
        subject=incident.id,
        at=at,
    )


def forget(services: Services) -> int:
    """Take as over what no sender has spoken of for long; how many alerts."""
    with services.store.read() as session:
        before = services.now(session) - FORGOTTEN
        old = (Alert.source != "", Alert.cleared_at.is_(None), Alert.last_seen < before)
        if session.scalar(select(Alert.id).where(*old).limit(1)) is None:
            return 0
    with services.store.write() as session:
        at, rows = services.now(session), session.scalars(select(Alert).where(*old).with_for_update()).all()
        for row in rows:
            row.cleared_at = at
        session.flush()
        for incident in {row.incident_id: row.source for row in rows}.items():
            _settle(session, session.get_one(Incident, incident[0]), incident[1], at)
        return len(rows)


def _told(said: Mapping[str, Any]) -> str:
    return f"{said['title']}: {said['detail']}" if said["detail"] else str(said["title"])


def _fingerprint(source: str, said: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{source}\x1f{said['fingerprint']}".encode()).hexdigest()[:16]


def _key(source: str, said: Mapping[str, Any]) -> str:
    return f"{source}:" + hashlib.sha256(str(said["key"]).encode()).hexdigest()[:16]
