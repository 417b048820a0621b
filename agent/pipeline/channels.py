"""The channels that are set up. Each is light to make: its library is imported when the first message goes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.errors import InvalidInput
from agent.domain.notifying import APPRISE, MAIL, PUSH, SLACK, WEBHOOK, Notifications
from agent.pipeline.routes_file import secret_text
from notifications.apprise import Apprise
from notifications.message import Channel, DeliveryFailed, Message, Receipt
from notifications.slack import Slack
from notifications.smtp import Mail, parse_server
from notifications.webhook import Hook, Webhook

if TYPE_CHECKING:
    from slack_sdk import WebClient


def channels(
    home: Path,
    routes: Callable[[], Notifications],
    wall: Callable[[], datetime],
    *,
    slack_token: str = "",
    slack_url: str = "",
    smtp_url: str = "",
    smtp_from: str = "",
    webhook_secret: str = "",
    devices: Channel | None = None,
) -> dict[str, Channel]:
    """Every channel that something can be sent through, by name. Raises: InvalidInput for what is no mail server."""
    made: dict[str, Channel] = {
        WEBHOOK: Webhook(lambda: hooks(home, routes(), webhook_secret), wall),
        APPRISE: Apprise(lambda: _apprise(home, routes())),
    }
    if devices is not None:
        made[PUSH] = devices
    if slack_token:
        made[SLACK] = LateSlack(slack_token, slack_url)
    if smtp_url:
        try:
            made[MAIL] = Mail(parse_server(smtp_url, smtp_from), wall)
        except ValueError as error:
            raise InvalidInput(f"WATCHKEEPER_SMTP_URL: {error}.") from None
    return made


class LateSlack:
    """Slack, whose client takes a while to import."""

    pace = 1.0

    def __init__(self, token: str, url: str) -> None:
        self._token, self._url = token, url

    @cached_property
    def _slack(self) -> Slack:
        return Slack(self._token, self._url) if self._url else Slack(self._token)

    @property
    def client(self) -> WebClient:
        """The same client for what a person waits for."""
        return self._slack.client

    def deliver(self, message: Message) -> Receipt:
        return self._slack.deliver(message)


def hooks(home: Path, routes: Notifications, secret: str) -> Mapping[str, Hook]:
    return {
        name: Hook(hook.url, _secrets(_read(home, hook.secret) or secret), hook.private)
        for name, hook in routes.webhooks.items()
    }


def _apprise(home: Path, routes: Notifications) -> Mapping[str, str]:
    return {name: _read(home, place.url) for name, place in routes.apprise.items()}


def _read(home: Path, text: str) -> str:
    try:
        return secret_text(home, text)
    except InvalidInput as error:
        raise DeliveryFailed(str(error)) from error


def _secrets(text: str) -> tuple[str, ...]:
    """Several, with commas or blanks, while one replaces another."""
    return tuple(part for part in re.split(r"[\s,]+", text) if part)
