"""What is said: conversations and their messages, what people thought of the answers, and what models cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from agent.store.tables.base import NUMBER, Base, new_id, one_of


class Conversation(Base):
    """One thread of talk. `key` says where it takes place (`terminal:…`, `web:…`, `slack:…`); a place has one.

    `shared`: a place that several people write in; else only `person` reads it. `summary` stands for the messages up to
    `summarised_to`.
    """

    __tablename__ = "conversation"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("c"))
    key: Mapped[str] = mapped_column(unique=True)
    person: Mapped[str] = mapped_column(index=True)
    shared: Mapped[bool] = mapped_column(default=False)
    title: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    summary: Mapped[str] = mapped_column(default="")
    summary_by: Mapped[str] = mapped_column(default="")
    summarised_to: Mapped[int] = mapped_column(default=0)


class Message(Base):
    """One turn of a person or of Watchkeeper; `document` has the tool calls with their results, claims and usage.

    `models`: the models under watch that it speaks of, so that only who may read of them sees it.
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("conversation_id", "position", name="uq_message_position"),
        one_of("role", ("person", "watchkeeper")),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("m"))
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id"))
    position: Mapped[int]
    role: Mapped[str]
    person: Mapped[str]
    text: Mapped[str]
    at: Mapped[datetime]
    written_by: Mapped[str] = mapped_column(default="")
    label: Mapped[str] = mapped_column(default="")
    models: Mapped[list[Any]] = mapped_column(default=list)
    document: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Feedback(Base):
    """What one person thought of one answer; the last word counts."""

    __tablename__ = "feedback"
    __table_args__ = (
        UniqueConstraint("message_id", "person", name="uq_feedback_person"),
        one_of("thumb", ("up", "down")),
    )
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("f"))
    message_id: Mapped[str] = mapped_column(ForeignKey("message.id"))
    person: Mapped[str]
    thumb: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime] = mapped_column(index=True)


class Usage(Base):
    """What a language model was used for, by whom, and what it cost; budgets count these rows, by the wall clock."""

    __tablename__ = "usage"
    __table_args__ = (Index("ix_usage_person_at", "person", "at"), Index("ix_usage_at", "at"))
    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    at: Mapped[datetime]
    person: Mapped[str]
    purpose: Mapped[str]
    conversation_id: Mapped[str | None] = mapped_column(ForeignKey("conversation.id"))
    model: Mapped[str]
    outcome: Mapped[str]
    calls: Mapped[int]
    tokens_in: Mapped[int]
    tokens_out: Mapped[int]
    usd: Mapped[float | None]
    seconds: Mapped[float]
    estimated: Mapped[bool]
