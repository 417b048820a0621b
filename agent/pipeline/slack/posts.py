"""Which of our messages is of what: kept when it has arrived, found when it is to be edited or answered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.pipeline.event import Event, Post
from agent.pipeline.services import Services
from agent.store.tables import SlackPost
from notifications.message import File, Message, Receipt
from tools.actions import canonical_json

CARDS = ("incident", "approval")
"""Kinds of posts that are edited as their subject changes."""


def found(session: Session, subject: str, kind: str, address: str) -> SlackPost | None:
    return session.scalar(
        select(SlackPost).where(SlackPost.subject == subject, SlackPost.kind == kind, SlackPost.address == address)
    )


def cards_of(session: Session, subjects: Sequence[str]) -> Sequence[SlackPost]:
    """The cards of these incidents and proposals, wherever they stand."""
    query = select(SlackPost).where(SlackPost.subject.in_(subjects), SlackPost.kind.in_(CARDS))
    return session.scalars(query.order_by(SlackPost.id)).all()


def at(session: Session, reference: str) -> SlackPost | None:
    """The card that a message is, by `CHANNEL/ts`."""
    return session.scalar(select(SlackPost).where(SlackPost.reference == reference, SlackPost.kind.in_(CARDS)))


def digest_of(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(dict(document))).hexdigest()


def card_post(
    services: Services, session: Session, event: Event, kind: str, subject: str, document: dict[str, Any], thread: str
) -> Post | None:
    """A card for the first time, or its edit; None where what stands there says the same."""
    known, digest = found(session, subject, kind, event.address), digest_of(document)
    if known is not None and known.digest == digest:
        return None
    edits = known.reference if known is not None else ""
    key = f"{kind}:{subject}:{event.address}" + (f":{digest[:16]}" if edits else "")
    message = Message(
        key,
        event.address,
        document["text"],
        event.body,
        document=document,
        thread="" if edits else thread,
        edits=edits,
    )
    return Post(message, _keeps(services, subject, kind, event.address, digest))


def once(
    services: Services,
    session: Session,
    event: Event,
    kind: str,
    document: dict[str, Any],
    thread: str = "",
    files: Sequence[File] = (),
) -> Post | None:
    """What is said once for each event; None where it was. A message of its own becomes a root that can be answered."""
    if found(session, event.key, kind, event.address) is not None:
        return None
    message = Message(
        f"{event.key}:{kind}",
        event.address,
        event.title,
        event.body,
        document=document,
        thread=thread,
        files=tuple(files),
    )
    return Post(message, _keeps(services, event.key, kind, event.address, ""))


def _keeps(
    services: Services, subject: str, kind: str, address: str, digest: str
) -> Callable[[Session, Receipt], None]:
    wall = services.wall()

    def keep(session: Session, receipt: Receipt) -> None:
        known = found(session, subject, kind, address)
        if known is None:
            session.add(
                SlackPost(
                    subject=subject,
                    kind=kind,
                    address=address,
                    reference=receipt.reference,
                    digest=digest,
                    posted_at=wall,
                )
            )
        else:
            known.digest, known.edited_at = digest, wall
            known.reference = receipt.reference or known.reference
        session.flush()

    return keep
