"""From an event to its deliveries: by `notifications.yaml`, and by what each person wants to be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.alerting import worst
from agent.domain.notifying import (
    CHANNELS,
    DECISIONS,
    JOURNAL,
    SLACK,
    UPDATE,
    Notifications,
    Route,
    grave_enough,
    matches,
    slack_place,
)
from agent.domain.quiet import next_digest, quiet_until
from agent.pipeline import people, storm
from agent.pipeline.services import Services
from agent.store import queries
from agent.store.tables import Delivery, Incident, Model, Outbox, Preference, Proposal, Report, Unsubscribed

Listener = tuple[Preference, tuple[str, ...]]
BATCH = 100
UNCONFIGURED = {
    SLACK: "Slack is not set up; set SLACK_BOT_TOKEN",
    "mail": "mail is not set up; set WATCHKEEPER_SMTP_URL",
    "push": "web push is not set up; open the console's settings",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One address that an event goes to, and until when it is kept back, and why."""

    channel: str
    address: str
    person: str = ""
    until: datetime | None = None
    why: str = ""


def route_due(services: Services) -> int:
    """Fan out every event that was promised since; how many."""
    settings, routed = services.notifications(), 0
    while count := _route_some(services, settings):
        routed += count
    return routed


def _route_some(services: Services, settings: Notifications) -> int:
    with services.store.read() as session:
        if session.scalar(select(Outbox.id).where(Outbox.routed_at.is_(None)).limit(1)) is None:
            return 0
    with services.store.write() as session:
        wall = services.wall()
        waiting = select(Outbox).where(Outbox.routed_at.is_(None)).order_by(Outbox.id).limit(BATCH)
        rows = session.scalars(waiting.with_for_update(skip_locked=True)).all()
        listeners = _listeners(session)
        silent = {(c, a) for c, a in session.execute(select(Unsubscribed.channel, Unsubscribed.address))}
        for row in rows:
            _know(session, row)
            for target in _targets(session, services, settings, row, listeners, wall):
                if (target.channel, target.address) not in silent:
                    _deliver(session, services, settings, row, target, wall)
            row.routed_at = wall
            session.flush()
        return len(rows)


def _know(session: Session, row: Outbox) -> None:
    """What the event is about, from the record that it names: its model, its severity, its incident."""
    kind, found = row.subject.partition("-")[0], None
    if kind == "p" and (proposal := session.get(Proposal, row.subject)) is not None:
        row.model, found = row.model or proposal.model, proposal.incident_id
    elif kind == "t" and (report := session.get(Report, row.subject)) is not None:
        row.model, found = row.model or report.model or "", report.incident_id
    elif kind == "i":
        found = row.subject
    incident = session.get(Incident, found) if found else None
    if incident is not None:
        row.model = row.model or incident.model
    row.topic = row.topic or (incident.id if incident is not None else row.subject)
    row.severity = row.severity or (incident.severity if incident is not None and row.kind != "report" else "info")
    if row.kind in DECISIONS:
        row.severity = worst([row.severity, "warning"])


def _targets(
    session: Session,
    services: Services,
    settings: Notifications,
    row: Outbox,
    listeners: Sequence[Listener],
    wall: datetime,
) -> list[Target]:
    """Each address once; a person's own wish goes before a route to the same address."""
    if row.kind == UPDATE:
        return [Target(SLACK, row.recipient)] if SLACK in services.channels else []
    found = {(JOURNAL, ""): Target(JOURNAL, "")}
    for person, seen in listeners:
        for target in _wanted_by(person, row, wall) if matches(seen, row.model) else ():
            found.setdefault((target.channel, target.address), target)
    owner = _owner(session, row.model) if any(r.to == SLACK and not r.address for r in settings.routes) else ""
    for route in settings.routes:
        if not _matches(route, row) or (
            route.to not in services.channels and "routes" not in settings.model_fields_set
        ):
            continue
        address = route.address or slack_place(row.recipient, owner, settings)
        until = next_digest(wall, route.digest, "UTC") if route.digest and _may_wait(row) else None
        if address:
            found.setdefault((route.to, address), Target(route.to, address, "", until, "digest" if until else ""))
    return list(found.values())


def _listeners(session: Session) -> list[Listener]:
    """Who wants to be told something, with the models that they may see; nobody who is no longer let in."""
    found = []
    for wishes in session.scalars(select(Preference).order_by(Preference.person)):
        person = people.found(session, wishes.person)
        if person is None or person.active:
            found.append((wishes, tuple(map(str, person.models)) if person is not None and person.models else ("*",)))
    return found


def _wanted_by(person: Preference, row: Outbox, wall: datetime) -> list[Target]:
    """What one person is to be told of an event, and when: what is critical comes at once, at any hour."""
    named = person.person in (row.recipient, row.document.get("person"))
    about = matches(person.models, row.model) and matches(person.kinds, row.kind)
    if not named and not (about and grave_enough(row.severity, person.severity)):
        return []
    until, why = None, ""
    if row.severity != "critical":
        if person.digest and _may_wait(row):
            until, why = next_digest(wall, timedelta(seconds=person.digest), person.time_zone), "digest"
        quiet = quiet_until(until or wall, person.quiet_from, person.quiet_to, person.time_zone)
        until, why = (quiet, why or "quiet hours") if quiet else (until, why)
    return [Target(c, str(a), person.person, until, why) for c, a in person.channels.items() if c in CHANNELS and a]


def _matches(route: Route, row: Outbox) -> bool:
    about = matches(route.kinds, row.kind) and matches(route.models, row.model)
    return about and grave_enough(row.severity, route.severity)


def _may_wait(row: Outbox) -> bool:
    return row.severity != "critical" and row.kind not in DECISIONS


def _owner(session: Session, model: str) -> str:
    return queries.spec_of(session, model).owner or "" if model and session.get(Model, model) is not None else ""


def _deliver(
    session: Session, services: Services, settings: Notifications, row: Outbox, target: Target, wall: datetime
) -> None:
    until, why = target.until, target.why
    if until is None and (over := storm.held_until(session, settings.storm, row, target.channel, target.address, wall)):
        until, why = over, storm.STORM
    known = target.channel == JOURNAL or target.channel in services.channels
    session.add(
        Delivery(
            event_id=row.id,
            channel=target.channel,
            address=target.address,
            person=target.person,
            state=("held" if until else "waiting") if known else "failed",
            why=why,
            next_try_at=until,
            error="" if known else UNCONFIGURED.get(target.channel, f"{target.channel} is not set up"),
            created_at=wall,
        )
    )
