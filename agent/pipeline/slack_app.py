"""The Slack app of this workspace: its tokens, and the client that speaks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slack_sdk import WebClient

API_URL = "https://slack.com/api/"
SECONDS = 10


@dataclass(frozen=True, slots=True)
class SlackApp:
    """What was set of SLACK_BOT_TOKEN, SLACK_APP_TOKEN (Socket Mode), SLACK_SIGNING_SECRET (HTTP), SLACK_API_URL."""

    bot_token: str = field(default="", repr=False)
    app_token: str = field(default="", repr=False)
    signing_secret: str = field(default="", repr=False)
    api_url: str = API_URL

    @property
    def on(self) -> bool:
        return bool(self.bot_token)

    def client(self, *, seconds: int = SECONDS) -> WebClient:
        """The Web API in the bot's name; waits once where it is asked to slow down."""
        from slack_sdk import WebClient
        from slack_sdk.http_retry import RetryHandler
        from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

        address = self.api_url if self.api_url.endswith("/") else f"{self.api_url}/"
        retries: list[RetryHandler] = [RateLimitErrorRetryHandler(max_retry_count=1)]
        return WebClient(self.bot_token, base_url=address, timeout=seconds, retry_handlers=retries)
