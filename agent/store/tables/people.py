"""Who signs in: people, the identities that they are known by elsewhere, their sessions, and codes that work once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from agent.domain.roles import Role
from agent.store.tables.base import Base, new_id, one_of


class Person(Base):
    """Somebody who may come in. `name` is the one that approvals.yaml knows where they decide; `folded` is that name
    without what the eye does not tell apart. models: patterns of names, or none for all. Nobody is ever deleted."""

    __tablename__ = "person"
    __table_args__ = (one_of("role", Role),)
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("u"))
    name: Mapped[str]
    folded: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    models: Mapped[list[Any]] = mapped_column(default=list)
    password: Mapped[str | None]
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 (SQLAlchemy reads it as a class attribute)


class Identity(Base):
    """Who a person is elsewhere: `slack` as TEAM/USER, `oidc` as ISSUER and subject. One of them is one person."""

    __tablename__ = "identity"
    __table_args__ = (
        UniqueConstraint("kind", "key", name="uq_identity_kind_key"),
        one_of("kind", ("slack", "oidc")),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("y"))
    person_id: Mapped[str] = mapped_column(ForeignKey("person.id"), index=True)
    kind: Mapped[str]
    key: Mapped[str]
    label: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]


class WebSession(Base):
    """A browser that has signed in. Only the hash of its cookie is kept; `signed_in_at` says how fresh it is."""

    __tablename__ = "web_session"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("w"))
    person_id: Mapped[str] = mapped_column(ForeignKey("person.id"), index=True)
    hash: Mapped[str] = mapped_column(unique=True)
    how: Mapped[str]
    address: Mapped[str] = mapped_column(default="")
    browser: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]


class OneTimeCode(Base):
    """Something that works once and for a while: a link to set a password, or a code that binds an identity.

    `person_id` is empty where whoever holds it becomes the first person.
    """

    __tablename__ = "one_time_code"
    __table_args__ = (one_of("purpose", ("setup", "password", "link")),)
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("o"))
    hash: Mapped[str] = mapped_column(unique=True)
    purpose: Mapped[str]
    person_id: Mapped[str | None] = mapped_column(ForeignKey("person.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class KeptAnswer(Base):
    """What was answered to a POST with an `Idempotency-Key`, so that the same again gets the same and does nothing."""

    __tablename__ = "kept_answer"
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    body: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime] = mapped_column(index=True)
