"""From measurements to alerts, and from alerts to the incidents that they belong to: one for each cause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.alerting import SEVERITIES, fingerprint, judge, worst
from agent.domain.incident import SEEKING, IncidentEvent, IncidentState
from agent.domain.proposal import ProposalState
from agent.pipeline.monitor import Look
from agent.pipeline.silence import note, silences
from agent.store import audit, queries
from agent.store.changes import move_incident, promise
from agent.store.tables import Alert, Diagnosis, Incident, MeasurementRow, Outbox, Proposal
from ml.results import Measurement, Status
from ml.spec import ModelSpec
from tools.actions import CHARACTER, ActionKind

ACTOR = "watch"


def triage(session: Session, spec: ModelSpec, look: Look, at: datetime) -> list[Incident]:
    """Raise, refresh and clear alerts; the model's incidents that are not over, and those that this look ended.

    An alert belongs to the incident that still asks for its cause, else to the one whose known cause explains it, else
    it opens one of its own. An alert that was told harmless stays with that incident. One graver than `info` that still
    fires a window later opens a new incident: what was harmless then may not be so now. What is silenced raises
    nothing, and its measurement says so.
    """
    firing = {alert.fingerprint: alert for alert in queries.firing_alerts(session, spec.name)}
    incidents, quiet = list(queries.unresolved_incidents(session, spec.name)), silences(session, spec.name, at)
    still = {incident.id for incident in incidents}
    for measurement in look.measurements:
        key = fingerprint(spec.name, measurement)
        before = _breaches_before(session, spec, measurement) if measurement.status is Status.BREACH else 0
        verdict = judge(spec, measurement, before)
        alert = firing.get(key)
        if verdict.outcome == "clear" and alert is not None:
            alert.cleared_at = at
        elif verdict.outcome == "raise" and (held := next((q for q in quiet if q.covers(measurement, at)), None)):
            note(session, spec, measurement, held)
        elif verdict.outcome == "raise":
            home = _home(session, incidents, measurement, verdict.severity, key)
            if alert is None:
                home = home or _told_harmless(session, spec, verdict.severity, at)
                home = home or _open(session, spec, measurement, verdict.severity, at, beside=incidents)
                if home.state != IncidentState.RESOLVED:
                    home.severity = worst([home.severity, verdict.severity])
                session.add(
                    Alert(
                        model=spec.name,
                        incident_id=home.id,
                        fingerprint=key,
                        severity=verdict.severity,
                        monitor=measurement.monitor,
                        feature=measurement.feature,
                        detail=measurement.detail,
                        first_seen=at,
                        last_seen=at,
                    )
                )
            else:
                alert.last_seen, alert.looks, alert.detail = at, alert.looks + 1, measurement.detail
                if home is None and _still_grave(session, spec, alert, at):
                    home = _open(session, spec, measurement, verdict.severity, at, beside=incidents)
                if home is not None and alert.incident_id not in still:
                    alert.incident_id = home.id
    session.flush()
    for incident in incidents:
        if incident.state in SEEKING and _all_cleared(session, incident):
            move_incident(
                session, incident, IncidentEvent.STAND_DOWN, at=at, actor=ACTOR, reason="Every alert has cleared."
            )
    return incidents


def tell_owner(session: Session, spec: ModelSpec, incident: Incident, at: datetime) -> None:
    """Tell the owner once of an incident that goes on, and is graver than `info`, unless a proposal or an escalation
    told them already: whose data it is where only inputs are broken, else whose model."""
    if incident.severity == "info" or incident.state not in SEEKING:
        return
    told = select(Outbox.id).where(Outbox.subject == incident.id)
    proposed = select(Proposal.id).where(Proposal.incident_id == incident.id)
    if session.scalar(told.limit(1)) is not None or session.scalar(proposed.limit(1)) is not None:
        return
    alerts = session.scalars(select(Alert).where(Alert.incident_id == incident.id, Alert.cleared_at.is_(None))).all()
    inputs = bool(alerts) and all(alert.monitor.startswith("quality.") for alert in alerts if alert.severity != "info")
    worst_first = sorted(alerts, key=lambda alert: (-SEVERITIES.index(alert.severity), alert.first_seen, alert.monitor))
    promise(
        session,
        key=f"incident:{incident.id}",
        recipient=(spec.owner_of_data if inputs else spec.owner) or "team",
        title=f"{spec.name}: {incident.severity}: {incident.title}",
        body="\n".join([*(alert.detail for alert in worst_first[:5]), f"See: watchkeeper incident show {incident.id}"]),
        subject=incident.id,
        at=at,
    )


def fold(session: Session, incident: Incident, at: datetime) -> Incident | None:
    """Give the alerts of an incident to an earlier one that the evidence gives the same cause, and end it; that one."""
    mine = queries.latest_diagnosis(session, incident.id)
    for other in queries.unresolved_incidents(session, incident.model):
        if other.id == incident.id:
            return None
        theirs = queries.latest_diagnosis(session, other.id)
        if mine is None or theirs is None or mine.cause != theirs.cause:
            continue
        here, there = _features(mine), _features(theirs)
        if here & there or not here or not there:
            for alert in session.scalars(select(Alert).where(Alert.incident_id == incident.id)):
                alert.incident_id = other.id
            other.severity = worst([other.severity, incident.severity])
            why = f"The same cause as incident {other.id}, where it goes on."
            move_incident(session, incident, IncidentEvent.STAND_DOWN, at=at, actor=ACTOR, reason=why)
            return other
    return None


def _home(
    session: Session, incidents: Sequence[Incident], measurement: Measurement, severity: str, key: str
) -> Incident | None:
    """The incident that a breach belongs to, of those that are not over; None where it needs one of its own. One that
    opened an incident, cleared and fires again while that is acted on belongs to it still."""
    if found := next((incident for incident in incidents if incident.state in SEEKING), None):
        return found
    if severity == "info":
        return next(iter(incidents), None)
    opened = next((incident for incident in incidents if incident.key == key), None)
    return opened or next((incident for incident in incidents if _explains(session, incident, measurement)), None)


def _explains(session: Session, incident: Incident, measurement: Measurement) -> bool:
    """Whether a breach may follow from the cause that an incident is acted on for: all but an input that is broken
    and that the cause does not name. While the effect of a new version is watched, its reference is as new as it is,
    so that what differs from it says little: that stays with the incident until the verdict."""
    diagnosis = queries.latest_diagnosis(session, incident.id)
    if diagnosis is None or measurement.family != "quality" or measurement.feature is None:
        return True
    kinds = select(Proposal.kind).where(Proposal.incident_id == incident.id, Proposal.state == ProposalState.VERIFYING)
    if any(CHARACTER[ActionKind(kind)].changes_model for kind in session.scalars(kinds)):
        return True
    return measurement.feature in _features(diagnosis)


def _features(diagnosis: Diagnosis) -> frozenset[str]:
    causes = diagnosis.document.get("causes") or [{}]
    return frozenset(causes[0].get("features", ()))


def _still_grave(session: Session, spec: ModelSpec, alert: Alert, at: datetime) -> bool:
    """Whether an alert graver than `info` has gone on for a window since its incident was closed."""
    closed = session.get_one(Incident, alert.incident_id).resolved_at
    return alert.severity != "info" and closed is not None and closed <= at - spec.window


def _all_cleared(session: Session, incident: Incident) -> bool:
    """Whether an incident had alerts and none fires any more; one that came without alerts waits for a person."""
    cleared = session.scalars(select(Alert.cleared_at).where(Alert.incident_id == incident.id)).all()
    return bool(cleared) and all(moment is not None for moment in cleared)


def _told_harmless(session: Session, spec: ModelSpec, severity: str, at: datetime) -> Incident | None:
    """The incident that told the recent drift harmless: more of the same within a window is noted with it, and asks
    nobody again. Anything graver than `info` opens a new incident."""
    if severity != "info":
        return None
    latest = session.scalar(
        select(Incident).where(Incident.model == spec.name).order_by(Incident.opened_at.desc()).limit(1)
    )
    if latest is None or latest.resolved_at is None or latest.resolved_at < at - spec.window:
        return None
    diagnosis = queries.latest_diagnosis(session, latest.id)
    return latest if diagnosis is not None and diagnosis.verdict != "incident" else None


def _open(
    session: Session,
    spec: ModelSpec,
    measurement: Measurement,
    severity: str,
    at: datetime,
    *,
    beside: list[Incident],
) -> Incident:
    """A new incident, which joins those that are not over."""
    incident = Incident(
        model=spec.name,
        key=fingerprint(spec.name, measurement) if beside else "",
        state="open",
        severity=severity,
        title=measurement.detail or measurement.monitor,
        opened_at=at,
    )
    session.add(incident)
    session.flush()
    beside.append(incident)
    audit.append(
        session,
        at=at,
        actor=ACTOR,
        event="incident open",
        subject=incident.id,
        data={
            "model": spec.name,
            "monitor": measurement.monitor,
            "feature": measurement.feature,
            "detail": measurement.detail,
        },
    )
    return incident


def _breaches_before(session: Session, spec: ModelSpec, measurement: Measurement) -> int:
    """How many looks directly before this one breached the same measurement."""
    rule = getattr(spec.alerts, measurement.family, None)
    if rule is None or rule.hysteresis == 1:
        return 0
    statuses = session.scalars(
        select(MeasurementRow.status)
        .where(
            MeasurementRow.model == spec.name,
            MeasurementRow.monitor == measurement.monitor,
            MeasurementRow.feature.is_not_distinct_from(measurement.feature),
            MeasurementRow.segment.is_not_distinct_from(measurement.segment),
            MeasurementRow.window_end < measurement.window.end,
        )
        .order_by(MeasurementRow.window_end.desc())
        .limit(rule.hysteresis)
    ).all()
    count = 0
    for status in statuses:
        if status != Status.BREACH:
            break
        count += 1
    return count
