"""Who is told what, and where: routes as data, read from `notifications.yaml`. Without the file: the owner's Slack
channel where there is Slack, and the journal in any case."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agent.domain.alerting import SEVERITIES
from agent.domain.errors import InvalidInput
from agent.domain.written import parse_written
from ml.spec import Duration

FILE = "notifications.yaml"
PAGE = "docs/how-to/notifications.md"
JOURNAL, SLACK, MAIL, WEBHOOK, APPRISE, PUSH = "journal", "slack", "mail", "webhook", "apprise", "push"
CHANNELS = (JOURNAL, SLACK, MAIL, WEBHOOK, APPRISE, PUSH)
DECISIONS = ("proposal", "reminder", "escalation", "escalated")
"""Kinds of events that wait for a person: no digest holds them back."""
UPDATE = "update"
"""The kind of an event that only brings up to date what stands in Slack, at its recipient; nobody else is told."""
Severity = Literal["info", "warning", "critical"]

_SLACK_PLACE = re.compile(r"^(#[^\s#]{1,80}|[CGDUW][A-Z0-9]{5,20})$")
_MAIL = re.compile(r"^[^@\s<>,;:\"()\[\]\\\x00-\x1f\x7f]{1,64}@[^@\s<>,;:\"()\[\]\\\x00-\x1f\x7f]{1,190}$")

_SAFE_URL = re.compile(
    r"^(https://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)|http://(localhost|127\.0\.0\.1|\[::1\]))(:\d{1,5})?([/?#]\S*)?$",
    re.IGNORECASE,
)


def is_slack_place(text: str) -> bool:
    """Whether a recipient can be written to in Slack: `#channel`, or an id of a channel or a member.

    >>> is_slack_place("#bike-demand"), is_slack_place("C0123ABCD"), is_slack_place("team")
    (True, True, False)
    """
    return _SLACK_PLACE.match(text) is not None


def is_mail_address(text: str) -> bool:
    """Whether a text is one mail address and nothing else.

    >>> is_mail_address("ann@example.com"), is_mail_address("Ann <ann@example.com>"), is_mail_address("a@b\\nBcc: c@d")
    (True, False, False)
    """
    return _MAIL.match(text) is not None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Route(_Part):
    """Which events go to one address."""

    to: Literal["slack", "mail", "webhook", "apprise"] = Field(description="the channel")
    address: str = Field(
        "", description="a Slack channel (none: the owner's), a mail address, a name of `webhooks` or `apprise`"
    )
    kinds: tuple[str, ...] = Field(("*",), description="patterns of kinds of events, such as `proposal` or `report`")
    models: tuple[str, ...] = Field(("*",), description="patterns of model names")
    severity: Severity = Field("info", description="nothing milder than this")
    digest: Duration = Field(timedelta(0), description="collect for so long and send one message; 0: each at once")

    @model_validator(mode="after")
    def _has_an_address(self) -> Route:
        if self.to == SLACK and self.address and not is_slack_place(self.address):
            raise ValueError(f"address: {self.address!r} is no Slack channel; write #name, or its id")
        if self.to == MAIL and not is_mail_address(self.address):
            raise ValueError(f"address: {self.address!r} is no mail address; write one like ann@example.com")
        if self.to in (WEBHOOK, APPRISE) and not self.address:
            raise ValueError(f"address: name one of `{_section(self.to)}`")
        return self


class Webhook(_Part):
    """An address that takes signed messages."""

    url: str = Field(description="https; http only on this machine")
    secret: str = Field(
        "",
        description="what signs them: `whsec_…`, or `file:PATH` in the workspace; default: WATCHKEEPER_WEBHOOK_SECRET",
    )
    private: bool = Field(False, description="the address may be one of a private network")

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise ValueError("a name or a password in the address ends in logs; it is signed instead")
        if not _SAFE_URL.match(url):
            raise ValueError("only https (http on this machine alone), such as https://example.com/hooks/watchkeeper")
        return url


class Apprise(_Part):
    """An address of one of the services that Apprise knows."""

    url: str = Field(description="as Apprise writes it, or `file:PATH` in the workspace, as it holds a secret")


class Storm(_Part):
    """When many things go wrong at once, they are told in one message."""

    more_than: int = Field(5, ge=1, le=50, description="so many incidents at one address are told one by one")
    within: Duration = Field(timedelta(minutes=5), gt=timedelta(0), description="in so long; the rest is a digest")


class Slack(_Part):
    channel: str = Field("", description="where events go whose owner is no channel")

    @field_validator("channel")
    @classmethod
    def _is_a_place(cls, channel: str) -> str:
        if channel and not is_slack_place(channel):
            raise ValueError(f"{channel!r} is no Slack channel; write #name, or its id")
        return channel


class Notifications(_Part):
    """The whole of `notifications.yaml`."""

    routes: tuple[Route, ...] = Field((Route(to="slack"),), description="who is told what; all that match are told")
    slack: Slack = Field(Slack(), description="of the Slack channel")
    webhooks: dict[str, Webhook] = Field(default_factory=dict, description="addresses that take signed messages")
    apprise: dict[str, Apprise] = Field(default_factory=dict, description="addresses of Apprise")
    storm: Storm = Field(Storm(), description="when many are told in one message")

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Notifications:
        for number, route in enumerate(self.routes):
            for channel, known in ((WEBHOOK, self.webhooks), (APPRISE, self.apprise)):
                if route.to == channel and route.address not in known:
                    raise ValueError(f"routes.{number}: {_section(channel)} has no {route.address!r}")
        return self


def _section(channel: str) -> str:
    return "webhooks" if channel == WEBHOOK else channel


def grave_enough(severity: str, least: str) -> bool:
    """Whether a severity is at least another; an unknown one is the mildest."""
    found = SEVERITIES.index(severity) if severity in SEVERITIES else 0
    return found >= SEVERITIES.index(least)


def matches(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def slack_place(recipient: str, owner: str, settings: Notifications) -> str:
    """Where an event goes in Slack: to its recipient, else to the model's owner, else where the file says."""
    return next((place for place in (recipient, owner, settings.slack.channel) if is_slack_place(place)), "")


def parse_notifications(text: str, source: str = FILE) -> Notifications:
    """Raises: InvalidInput naming file, line and key."""
    return parse_written(text, Notifications, source, PAGE)


def load_notifications(path: Path) -> Notifications:
    """Read `notifications.yaml`; a missing file is the default. Raises: InvalidInput."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return Notifications()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}).") from None
    return parse_notifications(text, str(path))
