"""App Home, drawn anew each time that somebody opens it."""

from __future__ import annotations

import logging
from typing import Any

from agent.doors.slack.handle.asked import Asked, Refusal, call
from agent.doors.slack.handle.who import Who, who_is
from agent.pipeline.services import Services
from agent.pipeline.slack.home import home_view

log = logging.getLogger(__name__)


def show_home(services: Services, asked: Asked, payload: dict[str, Any]) -> None:
    """Raises: Unavailable."""
    if payload.get("tab", "home") == "home":
        publish(services, who_is(services, asked))


def publish(services: Services, who: Who) -> None:
    """The page as it is now. Raises: Unavailable."""
    with services.store.read() as session:
        view = home_view(services, session, who.person, who.sees, who.refused)
    try:
        call(services, "views_publish", user_id=who.asked.user, view=view)
    except Refusal as error:
        log.warning("the home of %s could not be shown: %s", who.asked.user, error)
