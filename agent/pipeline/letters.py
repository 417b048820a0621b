"""An event in plain words, for a channel that nobody composes for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from agent.domain.notifying import JOURNAL
from agent.pipeline.event import Event, Post
from agent.pipeline.services import Services
from notifications.message import Message


def plain_posts(services: Services, session: Session, event: Event) -> Sequence[Post]:
    """Title and body."""
    recipient = event.recipient if event.channel == JOURNAL else event.address
    return [Post(Message(event.key, recipient, event.title, event.body))]
