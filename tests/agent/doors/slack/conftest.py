"""A Slack of each test's own, on a loopback port."""

from __future__ import annotations

import pytest
from slack_sdk import WebClient

from agent.doors.slack.loopback.server import LoopbackSlack


@pytest.fixture
def slack():
    """ann, ben and cat in #churn, with the app; `slack` is the whole workspace (see LoopbackSlack)."""
    with LoopbackSlack() as made:
        for name in ("ann", "ben", "cat"):
            made.add_user(name)
        made.add_channel("#churn", "ann", "ben", "cat")
        yield made


@pytest.fixture
def client(slack):
    """The real client, with the app's token."""
    return WebClient(slack.bot_token, base_url=slack.api_url, timeout=10)
