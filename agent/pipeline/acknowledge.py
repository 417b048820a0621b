"""Somebody has seen an alert and looks after it. The alert goes on as it is; others need not look too."""

from __future__ import annotations

from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, InvalidInput, NotFound
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import Acknowledgement, Alert
from tools.clean import clean_text

LONGEST_NOTE = 500


def acknowledge(services: Services, session: Session, alert_id: str, *, person: str, note: str = "") -> Acknowledgement:
    """Take an alert on; the same person again changes the note. Raises: NotFound, Conflict when another has it."""
    alert = session.get(Alert, alert_id)
    if alert is None:
        raise NotFound(f"There is no alert {alert_id!r}.")
    note = clean_text(note).strip()
    if len(note) > LONGEST_NOTE:
        raise InvalidInput(f"note: {LONGEST_NOTE} characters at most.")
    known, at = session.get(Acknowledgement, alert_id, with_for_update=True), services.now(session)
    if known is not None and known.person != person:
        raise Conflict(f"{known.person} has taken this alert on already, at {known.at:%Y-%m-%d %H:%M} UTC.")
    if known is None:
        known = Acknowledgement(alert_id=alert_id, person=person, note=note, at=at)
        session.add(known)
    known.note = note
    data = {"model": alert.model, "note": note}
    audit.append(session, at=at, actor=person, event="alert acknowledged", subject=alert_id, data=data)
    return known
