"""Charts where a picture answers better, as files for a thread."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from agent.domain.errors import WatchkeeperError
from agent.pipeline.services import Services
from agent.store.tables import Incident
from notifications.message import File

BEFORE, LONGEST = timedelta(days=30), timedelta(days=120)
log = logging.getLogger(__name__)


def of_incident(services: Services, session: Session, incident: Incident | None) -> list[File]:
    """The metric with its interval and the drift of the inputs, from before an incident until now."""
    if incident is None or not incident.model:
        return []
    until = incident.resolved_at or services.now(session)
    since = max(incident.opened_at - BEFORE, until - LONGEST)
    return of_model(session, incident.model, since, until, ("metric", "drift"))


def of_model(session: Session, model: str, since: datetime, until: datetime, wanted: tuple[str, ...]) -> list[File]:
    """Pictures by name (`metric`, `drift`); what has no data, or cannot be drawn, is left away."""
    from agent.reports.pictures import drift_heat_map, metric_over_time

    drawers = {"metric": metric_over_time, "drift": drift_heat_map}
    made = []
    for name in wanted:
        try:
            picture = drawers[name](session, model, since, until)
        except (WatchkeeperError, ValueError, ArithmeticError) as error:  # a card without its picture is still a card
            log.warning("%s of %s could not be drawn: %s", name, model, error)
            continue
        if picture is not None:
            made.append(File(f"{name}.png", "image/png", picture.png, picture.alt))
    return made
