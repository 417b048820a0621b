"""What is done about an event of Slack's, once it is kept and acknowledged: the same for sockets and HTTP.

Each may be called again with the same event, so it is done once: decisions are recorded once, answers are kept under
the event's key, and what is sent to the outbox has a key too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.doors.slack.handle.asked import Asked, asked_by
from agent.doors.slack.handle.decide import act, needs_reason, submitted
from agent.doors.slack.handle.home import show_home
from agent.doors.slack.handle.talk import stopped, suggest, talk
from agent.doors.slack.handle.watch import command
from agent.pipeline.services import Services
from agent.pipeline.slack.modals import REJECT

Handled = Callable[[Services, Asked, dict[str, Any]], None]
HANDLERS: Mapping[str, Handled] = {
    "message": talk,
    "mention": talk,
    "home": show_home,
    "thread_started": suggest,
    "thread_context": suggest,
    "stopped": stopped,
    "action": act,
    "submission": submitted,
    "command": command,
}
CHECKS: dict[str, Callable[[Mapping[str, Any]], dict[str, str]]] = {REJECT: needs_reason}
"""What is asked of a modal before it is acknowledged."""


def handle(services: Services, event: dict[str, Any]) -> None:
    """Work on one event, as `agent.doors.slack.parse` gives it. Raises: Unavailable, and it is tried again."""
    handler = HANDLERS.get(str(event.get("kind")))
    if handler is not None:
        handler(services, asked_by(event), event.get("payload") or {})
