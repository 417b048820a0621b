"""Who did something in Slack, and where; and how they are answered so that only they see it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent.domain.errors import Unavailable
from agent.domain.notifying import SLACK
from agent.pipeline.services import Services

if TYPE_CHECKING:
    from slack_sdk import WebClient

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that somebody did. team: the one that the person belongs to, of the signed payload. thread: the ts of
    the thread that it was in. message: the ts of the message whose button it was. key: marks this very event."""

    team: str
    user: str
    channel: str = ""
    thread: str = ""
    message: str = ""
    trigger: str = ""
    response_url: str = ""
    is_bot: bool = False
    key: str = ""

    @property
    def identity(self) -> str:
        return f"{self.team}/{self.user}"

    def place(self) -> dict[str, str]:
        """What a modal keeps of where it was opened."""
        return {"channel": self.channel, "thread": self.thread or self.message}


def asked_by(event: Mapping[str, Any]) -> Asked:
    """From what the door hands over (`agent.doors.slack.parse`)."""
    payload = event.get("payload") or {}
    return Asked(
        team=str(event.get("team") or ""),
        user=str(event.get("user") or ""),
        channel=str(event.get("channel") or ""),
        thread=str(event.get("thread_ts") or ""),
        message=str(event.get("ts") or ""),
        trigger=str(payload.get("trigger_id") or ""),
        response_url=str(payload.get("response_url") or ""),
        is_bot=bool(payload.get("bot_id")),
        key=str(event.get("key") or ""),
    )


def client_of(services: Services) -> WebClient:
    """Raises: Unavailable where Slack is not set up."""
    channel: Any = services.channels.get(SLACK)
    if channel is None:
        raise Unavailable("Slack is not set up; set SLACK_BOT_TOKEN.")
    client: WebClient = channel.client
    return client


def call(services: Services, method: str, **arguments: Any) -> Mapping[str, Any]:
    """One call of the Web API for somebody who waits. Raises: Unavailable, Refusal."""
    from slack_sdk.errors import SlackApiError, SlackClientError

    try:
        answer = getattr(client_of(services), method)(**arguments)
    except SlackApiError as error:
        response: Any = error.response
        name = str(response.get("error") or "") if isinstance(response.data, Mapping) else ""
        if response.status_code >= 500 or response.status_code == 429 or name in ("", "ratelimited", "internal_error"):
            raise Unavailable(f"Slack: {method}: {name or response.status_code}.") from error
        raise Refusal(name) from error
    except (SlackClientError, OSError, ValueError) as error:
        raise Unavailable(f"Slack: {method}: {type(error).__name__}.") from error
    data: Any = answer.data
    return data if isinstance(data, Mapping) else {}


class Refusal(Exception):
    """Slack said no, and would again. `error` is its word for why."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def privately(services: Services, asked: Asked, text: str, blocks: Sequence[Mapping[str, Any]] = ()) -> None:
    """Say something that only this person sees, where they are. Raises: Unavailable."""
    body: dict[str, Any] = {"text": text, **({"blocks": list(blocks)} if blocks else {})}
    if asked.response_url and _respond(asked.response_url, {**body, "replace_original": False}):
        return
    if not asked.channel:
        asked = _direct(services, asked)
    try:
        thread = {"thread_ts": asked.thread} if asked.thread else {}
        call(services, "chat_postEphemeral", channel=asked.channel, user=asked.user, **thread, **body)
    except Refusal as error:
        log.warning("%s could not be told in %s: %s", asked.user, asked.channel, error)


def _direct(services: Services, asked: Asked) -> Asked:
    """From a page without a channel (App Home, a modal): the direct conversation."""
    answer = call(services, "conversations_open", users=asked.user)
    return replace(asked, channel=str((answer.get("channel") or {}).get("id", "")), thread="")


def _respond(url: str, body: dict[str, Any]) -> bool:
    """By the address that came with the click; it works in channels that the app is not in, and for half an hour."""
    from slack_sdk.webhook import WebhookClient

    try:
        answer = WebhookClient(url, timeout=10).send_dict({"response_type": "ephemeral", **body})
    except (OSError, ValueError):
        return False
    return answer.status_code == 200
