"""What was asked in a span of time, who answered, what it cost, and what people thought of the answers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.domain.wording import visible
from agent.reports.shape_period import Talk
from agent.store.tables import Feedback, Message, Usage

MOST_REASONS = 5


def talk_facts(session: Session, start: datetime, end: datetime) -> Talk | None:
    """None where nothing was asked and nothing was spent."""
    within = (Message.at > start, Message.at <= end)
    questions = session.scalar(select(func.count(Message.id)).where(Message.role == "person", *within)) or 0
    answers = session.execute(
        select(Message.written_by, func.count(Message.id))
        .where(Message.role == "watchkeeper", *within)
        .group_by(Message.written_by)
        .order_by(Message.written_by)
    ).all()
    fell_back = session.scalar(select(func.count(Message.id)).where(Message.label != "", *within)) or 0
    given = (Feedback.at > start, Feedback.at <= end)
    thumbs = dict(session.execute(select(Feedback.thumb, func.count()).where(*given).group_by(Feedback.thumb)).all())
    reasons = session.scalars(
        select(Feedback.reason)
        .where(Feedback.thumb == "down", Feedback.reason != "", *given)
        .order_by(Feedback.at.desc(), Feedback.id)
        .limit(MOST_REASONS)
    )
    calls, tokens, usd = session.execute(
        select(
            func.coalesce(func.sum(Usage.calls), 0),
            func.coalesce(func.sum(Usage.tokens_in + Usage.tokens_out), 0),
            func.sum(Usage.usd),
        ).where(Usage.at > start, Usage.at <= end)
    ).one()
    if not questions and not calls and not thumbs:
        return None
    return Talk(
        questions=questions,
        answers={str(by): int(count) for by, count in answers},
        fell_back=fell_back,
        up=int(thumbs.get("up", 0)),
        down=int(thumbs.get("down", 0)),
        reasons=[visible(reason, 200) for reason in reasons],
        calls=int(calls),
        tokens=int(tokens),
        usd=None if usd is None else round(float(usd), 4),
    )


def told(talk: Talk) -> str:
    """The same in a sentence or two."""
    by = ", ".join(f"{count} by {name}" for name, count in talk.answers.items())
    text = f"Asked in conversation: {talk.questions} times"
    text += f" (answered: {by})" if by else ""
    text += f"; {talk.fell_back} not by the model that was configured first" if talk.fell_back else ""
    text += f". Thumbs: {talk.up} up, {talk.down} down"
    text += f" ({'; '.join(talk.reasons)})" if talk.reasons else ""
    if talk.calls:
        price = f", {talk.usd:.4g} USD where the price is known" if talk.usd is not None else ""
        text += f". Language models: {talk.calls} calls, {talk.tokens} tokens{price}"
    return f"{text}."
