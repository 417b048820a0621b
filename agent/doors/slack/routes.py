"""Which function takes which kind of event; the transport knows no more than this.

A handler is `handle(services, event) -> None`; the shape of `event` is in `agent.doors.slack.parse`. It is called at
least once for an event, in order within a thread or a person's clicks. What it refuses it tells the person itself.
Kinds other than message and mention run beside those that wait for a language model, and must not wait for one:
`views.open` has three seconds from the click. What takes longer is put into the inbox anew, as a message.

CHECKS are asked before a modal's submission is acknowledged: values that are wrong, by block, with what to correct.
They see the payload only (no database), because the person's modal waits for the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from agent.doors.slack.handle import dispatch
from agent.pipeline.inbox import Handler
from agent.pipeline.services import Services

SOURCE = "slack"
KINDS = (
    *("message", "mention", "stopped", "home", "thread_started", "thread_context"),
    *("action", "submission", "closed", "command"),
)
Check = Callable[[Mapping[str, Any]], dict[str, str]]
log = logging.getLogger(__name__)


def not_handled(services: Services, event: dict[str, Any]) -> None:
    """What nobody has asked for."""
    log.info("Slack: %s is not handled", event.get("kind") or "an event of another kind")


HANDLERS: dict[str, Handler] = dict.fromkeys(KINDS, dispatch.handle)
CHECKS: dict[str, Check] = dispatch.CHECKS


def handle(services: Services, event: dict[str, Any]) -> None:
    """Hand an event on to whoever takes its kind."""
    HANDLERS.get(str(event.get("kind")), not_handled)(services, event)


def wrong_values(payload: Mapping[str, Any]) -> dict[str, str]:
    """What is to be corrected in a submitted modal, by block."""
    view = payload.get("view")
    check = CHECKS.get(str(view.get("callback_id"))) if isinstance(view, Mapping) else None
    return check(payload) if check is not None else {}
