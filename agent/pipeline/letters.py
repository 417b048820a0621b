"""What each channel makes of an event: who composes for it, and plain words for a channel that nobody composes for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from agent.domain.notifying import JOURNAL, MAIL, PUSH, SLACK, WEBHOOK
from agent.pipeline.event import Compose, Event, Post
from agent.pipeline.services import Services
from notifications.message import Message


def plain_posts(services: Services, session: Session, event: Event) -> Sequence[Post]:
    """Title and body."""
    recipient = event.recipient if event.channel == JOURNAL else event.address
    return [Post(Message(event.key, recipient, event.title, event.body))]


def to_programs(services: Services, session: Session, event: Event) -> Sequence[Post]:
    """An event as data, for a webhook: `type`, `timestamp` and `data`, as Standard Webhooks recommends."""
    data = {
        "title": event.title,
        "body": event.body,
        "model": event.model,
        "severity": event.severity,
        "subject": event.subject,
        "incident": event.topic if event.topic.startswith("i-") else None,
        "url": services.public_url,
        **({"digest": dict(event.document)} if event.kind == "digest" else {}),
    }
    said = {"type": f"watchkeeper.{event.kind or 'message'}", "timestamp": event.at.isoformat(), "data": data}
    return [Post(Message(event.key, event.address, event.title, event.body, said))]


def to_devices(services: Services, session: Session, event: Event) -> Sequence[Post]:
    """A few words on a lock screen, and the page that they open."""
    pages = {"p": "approvals", "i": "incidents", "t": "reports"}
    page = pages.get(event.subject.partition("-")[0]) if event.subject[1:2] == "-" else None
    document = {
        "url": f"/{page}/{event.subject}" if page else "/",
        "tag": event.topic or event.key,
        "urgency": "high" if event.severity == "critical" else "normal",
    }
    return [Post(Message(event.key, event.address, event.title, event.body, document))]


def _by_mail(services: Services, session: Session, event: Event) -> Sequence[Post]:
    from agent.pipeline.mail.compose import compose

    return compose(services, session, event)


def _in_slack(services: Services, session: Session, event: Event) -> Sequence[Post]:
    from agent.pipeline.slack.compose import compose

    return compose(services, session, event)


COMPOSERS: Mapping[str, Compose] = {MAIL: _by_mail, SLACK: _in_slack, WEBHOOK: to_programs, PUSH: to_devices}
