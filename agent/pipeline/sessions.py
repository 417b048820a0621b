"""Sessions of browsers: one for each sign-in, found by the hash of a random cookie, ended by time, by hand, for all.

A new secret is drawn at every sign-in, so that what somebody planted in a browser before opens nothing afterwards.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from agent.domain.errors import NotAllowed, NotFound
from agent.pipeline.people import end_sessions
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import Person, WebSession
from tools.clean import clean_text

IDLE, LIFE, FRESH = timedelta(hours=12), timedelta(days=7), timedelta(minutes=10)
NOTED_EVERY = timedelta(minutes=1)
"""How exactly `seen_at` is kept: a write for every request would hold up who has something to say."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session; `secret` goes to the browser and is kept nowhere."""

    row: WebSession
    secret: str


def open_session(
    session: Session,
    services: Services,
    person: Person,
    *,
    how: str,
    address: str = "",
    browser: str = "",
    instead_of: str = "",
) -> Opened:
    """Sign a person in; the session with the secret `instead_of` ends. Raises: NotAllowed when they are deactivated."""
    if not person.active:
        raise NotAllowed("This account is deactivated.")
    now, secret = services.wall(), secrets.token_urlsafe(32)
    if instead_of and (before := _by_secret(session, instead_of)) is not None and before.ended_at is None:
        before.ended_at = now
    session.execute(delete(WebSession).where(WebSession.expires_at < now - timedelta(days=30)))
    row = WebSession(
        person_id=person.id,
        hash=_hash(secret),
        how=how,
        address=clean_text(address)[:60],
        browser=clean_text(browser)[:200],
        created_at=now,
        signed_in_at=now,
        seen_at=now,
        expires_at=now + LIFE,
    )
    session.add(row)
    session.flush()
    audit.append(session, at=now, actor=person.name, event="signed in", subject=person.id, data={"how": how})
    return Opened(row, secret)


def find(session: Session, secret: str, now: datetime) -> tuple[WebSession, Person] | None:
    """Whose session a cookie opens, while it lives and they may come in; None for anything else."""
    row = _by_secret(session, secret)
    if row is None or row.ended_at is not None or now >= row.expires_at or now >= row.seen_at + IDLE:
        return None
    person = session.get_one(Person, row.person_id)
    return (row, person) if person.active else None


def note_seen(services: Services, row: WebSession) -> None:
    """Keep that the session is in use."""
    now = services.wall()
    if now - row.seen_at >= NOTED_EVERY:
        with services.store.write() as session:
            live = session.get(WebSession, row.id)
            if live is not None and live.ended_at is None:
                live.seen_at = now


def is_fresh(row: WebSession, now: datetime) -> bool:
    """Whether whoever sits there has signed in just now."""
    return now - row.signed_in_at < FRESH


def live(session: Session, person: Person, now: datetime) -> Sequence[WebSession]:
    """A person's sessions that still open something, the latest used first."""
    query = select(WebSession).where(
        WebSession.person_id == person.id,
        WebSession.ended_at.is_(None),
        WebSession.expires_at > now,
        WebSession.seen_at > now - IDLE,
    )
    return session.scalars(query.order_by(WebSession.seen_at.desc(), WebSession.id)).all()


def end(session: Session, services: Services, person: Person, session_id: str) -> None:
    """Sign one browser out. Raises: NotFound when it is not this person's."""
    row = session.get(WebSession, session_id)
    if row is None or row.person_id != person.id:
        raise NotFound(f"You have no session {session_id!r}.")
    if row.ended_at is None:
        row.ended_at = services.wall()
        audit.append(session, at=row.ended_at, actor=person.name, event="signed out", subject=person.id)


def end_all(session: Session, services: Services, person: Person, *, by: str, but: str = "") -> int:
    """Sign a person out everywhere, or everywhere but here."""
    at = services.wall()
    count = end_sessions(session, person, at, but=but)
    audit.append(session, at=at, actor=by, event="signed out everywhere", subject=person.id, data={"sessions": count})
    return count


def _by_secret(session: Session, secret: str) -> WebSession | None:
    if not 20 <= len(secret) <= 100 or not secret.isascii():
        return None
    return session.scalar(select(WebSession).where(WebSession.hash == _hash(secret)))


def _hash(secret: str) -> str:
    """The secret has 256 random bits, so one round of a fast hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()
