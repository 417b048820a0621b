"""Tokens that open a door to a program, in a person's name: made once, shown once, kept as a hash, ended any time.

A token proposes in the name of its owner, so that its owner cannot approve what it asked for.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.domain.errors import Conflict, InvalidInput, NotFound
from agent.domain.policy import RESERVED, folded
from agent.domain.roles import NEVER_AN_AGENTS, Scope
from agent.pipeline.services import Services
from agent.store import audit
from agent.store.tables import ApiToken, Person
from tools.clean import clean_text
from tools.context import Caller

PREFIX = "wk_"
SCOPES = tuple(Scope)
FOR_MCP = (Scope.READ, Scope.PROPOSE)
LONGEST_LIFE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Made:
    """A new token; `secret` is what is shown once."""

    row: ApiToken
    secret: str


def create(
    services: Services,
    *,
    name: str,
    person: str,
    scopes: Sequence[str],
    models: Sequence[str],
    audience: str,
    life: timedelta,
    agent: bool = False,
) -> Made:
    """A token of `person` for one address. models: patterns of names; none means all. Raises: InvalidInput.

    agent: a language model will hold it, so it never decides.
    """
    name, person = clean_text(name).strip(), clean_text(person).strip()
    if not 0 < len(name) <= 100:
        raise InvalidInput("name: call the token by what it is for, in at most 100 characters.")
    if not folded(person) or folded(person) in RESERVED:
        raise InvalidInput(f"{person!r} belongs to Watchkeeper itself; a token is made for a person.")
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise InvalidInput(f"scope: {unknown[0]!r} is none; use {', '.join(SCOPES)}.")
    if agent and (never := sorted(set(scopes) & set(NEVER_AN_AGENTS))):
        raise InvalidInput(f"scope: {never[0]!r} is never given to a token that a language model holds.")
    if not timedelta(0) < life <= LONGEST_LIFE:
        raise InvalidInput(f"expires: a token lives between a moment and {LONGEST_LIFE.days} days; write such as 90d.")
    secret = PREFIX + secrets.token_urlsafe(32)
    now = services.wall()
    row = ApiToken(
        name=name,
        person=person,
        hash=_hash(secret),
        scopes=[str(scope) for scope in SCOPES if scope in scopes],
        models=sorted(set(models)),
        audience=audience,
        created_at=now,
        expires_at=now + life,
        agent=agent,
    )
    with services.store.write() as session:
        session.add(row)
        session.flush()
        about = {"name": name, "scopes": row.scopes, "models": row.models, "audience": audience}
        audit.append(
            session,
            at=now,
            actor=person,
            event="token created",
            subject=row.id,
            data={**about, "expires_at": row.expires_at.isoformat()},
        )
    return Made(row, secret)


def api_audience(public_url: str) -> str:
    """The address that a token for the API of this workspace is made for."""
    return f"{public_url.removesuffix('/')}/api/v1" if public_url else ""


def every(session: Session) -> list[ApiToken]:
    """Every token there was, the newest first."""
    return list(session.scalars(select(ApiToken).order_by(ApiToken.created_at.desc(), ApiToken.id)))


def revoke(services: Services, wanted: str, *, person: str) -> ApiToken:
    """End a token now, by its id or the start of it. Raises: NotFound, InvalidInput, Conflict when it is revoked."""
    now = services.wall()
    with services.store.write() as session:
        found = session.scalars(
            select(ApiToken).where(ApiToken.id.startswith(wanted, autoescape=True)).limit(2).with_for_update()
        ).all()
        if not wanted or not found:
            raise NotFound(f"There is no token {wanted!r}; `watchkeeper token list` shows them.")
        if len(found) > 1:
            raise InvalidInput(f"Several tokens start with {wanted!r}; write more of the id.")
        row = found[0]
        if row.revoked_at is not None:
            raise Conflict(f"Token {row.id} was revoked already, on {row.revoked_at:%Y-%m-%d %H:%M} UTC.")
        row.revoked_at, row.revoked_by = now, person
        audit.append(session, at=now, actor=person, event="token revoked", subject=row.id, data={"name": row.name})
        return row


def find(services: Services, secret: str) -> ApiToken | None:
    """The token that a secret is of, while it lives and its owner may come in; None for anything else."""
    if not secret.startswith(PREFIX) or len(secret) > 200 or not secret.isascii():
        return None
    with services.store.read() as session:
        row = session.scalar(select(ApiToken).where(ApiToken.hash == _hash(secret)))
        owner = None if row is None else session.scalar(select(Person).where(Person.folded == folded(row.person)))
    if row is None or state_of(row, services.wall()) != "live" or (owner is not None and not owner.active):
        return None
    return row


def state_of(row: ApiToken, now: datetime) -> str:
    """`live`, `expired` or `revoked`."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at <= now else "live"


def caller_of(row: ApiToken) -> Caller:
    """Who calls with a token: its owner, within what the token may."""
    models = frozenset(str(pattern) for pattern in row.models) or None
    return Caller(row.person, "token", models, may_propose="propose" in row.scopes, through=row.id)


def _hash(secret: str) -> str:
    """The secret has 256 random bits, so one round of a fast hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()
