"""Codes and links that work once and for a while. Only a keyed hash is kept: a copy of the table opens nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from agent.domain.errors import NotAllowed
from agent.pipeline.services import Services
from agent.store.tables import OneTimeCode, Person

Purpose = Literal["setup", "password", "link"]
ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
SHORT = 12
"""Letters of a code that a person types: 58 random bits, which live ten minutes."""
GONE = "This {what} does not work: it was used already, is too old, or was never made. Ask for a new one."


def make(
    session: Session,
    services: Services,
    purpose: Purpose,
    person: Person | None,
    life: timedelta,
    *,
    short: bool = False,
) -> str:
    """A new code; the ones before it, for the same purpose and person, end. `short`: to be typed by a person."""
    now = services.wall()
    same = OneTimeCode.person_id == person.id if person else OneTimeCode.person_id.is_(None)
    session.execute(delete(OneTimeCode).where(OneTimeCode.purpose == purpose, same))
    session.execute(delete(OneTimeCode).where(OneTimeCode.expires_at < now - timedelta(days=1)))
    code = "".join(secrets.choice(ALPHABET) for _ in range(SHORT)) if short else secrets.token_urlsafe(32)
    session.add(
        OneTimeCode(
            hash=_hash(services, purpose, code),
            purpose=purpose,
            person_id=person.id if person else None,
            created_at=now,
            expires_at=now + life,
        )
    )
    session.flush()
    return "-".join(code[at : at + 4] for at in range(0, SHORT, 4)) if short else code


def look(session: Session, services: Services, purpose: Purpose, code: str) -> OneTimeCode:
    """The code's row while it works, without using it up. Raises: NotAllowed."""
    row = session.scalar(select(OneTimeCode).where(OneTimeCode.hash == _hash(services, purpose, code)))
    if row is None or row.purpose != purpose or row.used_at is not None or row.expires_at <= services.wall():
        raise NotAllowed(GONE.format(what="code" if purpose == "link" else "link"))
    return row


def redeem(session: Session, services: Services, purpose: Purpose, code: str) -> OneTimeCode:
    """Use a code up; of two who try at once, one gets it. Raises: NotAllowed."""
    row = look(session, services, purpose, code)
    query = update(OneTimeCode).where(OneTimeCode.id == row.id, OneTimeCode.used_at.is_(None))
    if session.execute(query.values(used_at=services.wall())).rowcount != 1:  # type: ignore[attr-defined]
        raise NotAllowed(GONE.format(what="code" if purpose == "link" else "link"))
    return row


def _hash(services: Services, purpose: Purpose, code: str) -> str:
    """Blanks, dashes and case of a typed code do not matter."""
    plain = code.strip()
    if purpose == "link":
        plain = plain.replace("-", "").replace(" ", "").lower()
    return hmac.new(services.secret, f"{purpose}:{plain}".encode(), hashlib.sha256).hexdigest()
