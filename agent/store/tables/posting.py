"""What stands in Slack: which message is of what, so that it can be edited and answered; answers that are made."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from agent.store.tables.base import NUMBER, Base, one_of


class SlackPost(Base):
    """One message of ours. kind: `incident` and `approval` are cards, edited as their subject changes; others are said
    once. address: where it was sent to (`#churn`); reference: where it is (`CHANNEL/ts`). digest: of what it says."""

    __tablename__ = "slack_post"
    __table_args__ = (
        UniqueConstraint("subject", "kind", "address", name="uq_slack_post_subject"),
        Index("ix_slack_post_reference", "reference"),
    )
    id: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    subject: Mapped[str]
    kind: Mapped[str]
    address: Mapped[str]
    reference: Mapped[str]
    digest: Mapped[str] = mapped_column(default="")
    posted_at: Mapped[datetime]
    edited_at: Mapped[datetime | None]


class SlackFollowed(Base):
    """One row: up to which event of the audit the cards have been told of changes."""

    __tablename__ = "slack_followed"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(NUMBER)


class SlackAnswer(Base):
    """An answer in a thread, by the event that asked for it; a person may stop it from any process.

    reference: the message that it is written into, "" before there is one.
    """

    __tablename__ = "slack_answer"
    __table_args__ = (one_of("state", ("working", "stopped", "done")), Index("ix_slack_answer_thread", "thread"))
    once: Mapped[str] = mapped_column(primary_key=True)
    thread: Mapped[str]
    user: Mapped[str]
    state: Mapped[str] = mapped_column(default="working")
    reference: Mapped[str] = mapped_column(default="")
    message_id: Mapped[str | None]
    begun_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
