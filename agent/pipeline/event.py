"""What a channel's composer is given, and what it makes of it: an event becomes posts.

A composer is a function `(services, session, event) -> posts`. It reads the records as they are when the message goes
out, and writes nothing. No post at all is a delivery that there is nothing to do for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from agent.store.tables import Delivery, Outbox
from notifications.message import Message, Receipt

if TYPE_CHECKING:
    from agent.pipeline.services import Services

DIGEST = "digest"
"""The kind of an event that stands for others; its document has `count`, `since`, `until` and `events` (at most 500),
each with key, kind, title, model, severity, subject, topic."""


@dataclass(frozen=True, slots=True)
class Event:
    """A promised message on its way to one address of one channel. `files` name what is rendered when it is sent:
    `{"report": id, "format": "pdf"}`."""

    key: str
    kind: str
    recipient: str
    title: str
    body: str
    subject: str
    model: str
    severity: str
    topic: str
    at: datetime
    channel: str = ""
    address: str = ""
    person: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Post:
    """One message of a delivery. `arrived` keeps what the composer must remember of it (which message is the root of a
    thread), in the transaction that records the delivery. Posts of one delivery go out in order; `message.key` tells
    them apart, and one that has arrived is not sent again when a later one fails."""

    message: Message
    arrived: Callable[[Session, Receipt], None] | None = None


Compose = Callable[["Services", Session, Event], Sequence[Post]]


def event_of(row: Outbox, delivery: Delivery | None = None) -> Event:
    """The plain value of an outbox row."""
    return Event(
        key=row.key,
        kind=row.kind,
        recipient=row.recipient,
        title=row.title,
        body=row.body,
        subject=row.subject,
        model=row.model,
        severity=row.severity,
        topic=row.topic,
        at=row.created_at,
        channel=delivery.channel if delivery else "",
        address=delivery.address if delivery else "",
        person=delivery.person if delivery else "",
        document=row.document,
        files=row.files,
    )
