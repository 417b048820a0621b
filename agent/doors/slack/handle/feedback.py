"""What somebody thinks of an answer: stored with it, and for a bad one the reason, where they give one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from agent.conversation import turns
from agent.domain.errors import InvalidInput, NotFound
from agent.doors.slack.handle.asked import Refusal, call, privately
from agent.doors.slack.handle.who import Who
from agent.pipeline.services import Services
from agent.pipeline.slack.modals import bad_answer_modal

log = logging.getLogger(__name__)
THANKS = "Thank you. It is stored with the answer, and counted in the reports."


def judge(services: Services, who: Who, value: str, payload: Mapping[str, Any]) -> None:
    """A thumb. Raises: Unavailable."""
    thumb, _, message = value.partition(":")
    if not _store(services, who, message, thumb, ""):
        return
    if thumb == "down" and who.asked.trigger:
        try:
            call(
                services, "views_open", trigger_id=who.asked.trigger, view=bad_answer_modal(message, who.asked.place())
            )
            return
        except Refusal as error:
            log.warning("no window for the reason of a bad answer: %s", error)
    privately(services, who.asked, THANKS)


def reasoned(services: Services, who: Who, message: str, reason: str) -> None:
    """Why an answer was bad. Raises: Unavailable."""
    if _store(services, who, message, "down", reason):
        privately(services, who.asked, THANKS)


def _store(services: Services, who: Who, message: str, thumb: str, reason: str) -> bool:
    if who.refused:
        privately(services, who.asked, who.refused)
        return False
    try:
        with services.store.write() as session:
            turns.judged(session, message, who.caller(), thumb, reason, services.now(session))
    except (NotFound, InvalidInput) as error:
        log.info("feedback of %s: %s", who.asked.user, error)
        privately(services, who.asked, "This answer is not kept any more.")
        return False
    return True
