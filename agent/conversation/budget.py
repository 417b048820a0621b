"""What language models may cost: in calls, tokens, seconds and USD; for one answer, a person and hour, a day.

A budget that is spent stops no answer: it is given without a model, and says so. What a call cost is known when it is
over, so a budget can be passed by the calls that were under way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.errors import InvalidInput
from agent.domain.wording import length, shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_LIMIT = re.compile(r"(calls|tokens|seconds|usd)=(\d+(?:\.\d+)?)")
_PRICE = re.compile(r"([^=\s]+)=(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may be spent; None is no limit."""

    calls: float | None = None
    tokens: float | None = None
    seconds: float | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent. `usd` counts only calls with a known price; `unpriced` are the others."""

    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    usd: float = 0.0
    unpriced: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Spent)))


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one model. `usd` is None where its price is not known; `estimated`: tokens that nobody counted."""

    model: str
    tokens_in: int
    tokens_out: int
    seconds: float
    usd: float | None
    outcome: str = "ok"
    estimated: bool = False

    @property
    def spent(self) -> Spent:
        unpriced = int(self.usd is None and self.tokens_in + self.tokens_out > 0)
        return Spent(1, self.tokens_in + self.tokens_out, self.seconds, self.usd or 0.0, unpriced)


@dataclass(frozen=True, slots=True)
class Budgets:
    """The three budgets."""

    answer: Limits = Limits(calls=12, tokens=120_000)
    hour: Limits = Limits(calls=200, tokens=1_000_000)
    day: Limits = Limits(tokens=5_000_000, usd=5.0)


@dataclass
class Allowance:
    """What one answer may still spend: its own budget, and what is left of the hour and the day."""

    budgets: Budgets
    hour: Spent = Spent()
    day: Spent = Spent()
    calls: list[Call] = field(default_factory=list)

    @property
    def spent(self) -> Spent:
        return sum((call.spent for call in self.calls), Spent())

    def refuses(self) -> str:
        """Which budget is spent, in words; "" while none is."""
        own = self.spent
        return (
            over(self.budgets.answer, own, "of one answer")
            or over(self.budgets.hour, self.hour + own, "of a person and hour")
            or over(self.budgets.day, self.day + own, "of the day")
        )


def over(limits: Limits, spent: Spent, whose: str) -> str:
    """The first limit that is reached, in words.

    >>> over(Limits(usd=1), Spent(usd=1.25), "of the day")
    'the budget of the day is spent (1.25 of 1 USD)'
    """
    for name, unit in (("usd", "USD"), ("tokens", "tokens"), ("calls", "calls"), ("seconds", "s")):
        limit = getattr(limits, name)
        if limit is not None and getattr(spent, name) >= limit:
            return f"the budget {whose} is spent ({shown(round(getattr(spent, name), 4))} of {shown(limit)} {unit})"
    return ""


def parse_limits(text: str, name: str, default: Limits) -> Limits:
    """Limits as a setting writes them; what is not named keeps its default, `none` lifts all.

    >>> parse_limits("tokens=5000 usd=0.10", "llm_answer_budget", Limits(calls=12))
    Limits(calls=12, tokens=5000.0, seconds=None, usd=0.1)
    """
    if text.strip() == "none":
        return Limits()
    found = {field.name: getattr(default, field.name) for field in fields(Limits)}
    for word in text.replace(",", " ").split():
        match = _LIMIT.fullmatch(word)
        if match is None:
            raise InvalidInput(
                f"{name}: {word!r} is no limit; write some of calls=12 tokens=50000 seconds=60 usd=0.50, or none."
            )
        found[match[1]] = float(match[2])
    return Limits(**found)


@lru_cache(maxsize=1)
def _published() -> Mapping[str, tuple[float, float]]:
    import yaml

    data: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "prices.yaml").read_text(encoding="utf-8"))
    return {name: (float(price["input"]), float(price["output"])) for name, price in data.items()}


def parse_prices(text: str) -> dict[str, tuple[float, float]]:
    """Prices as a setting writes them, in USD for a million tokens read and written.

    >>> parse_prices("openai:small=0.1/0.4")
    {'openai:small': (0.1, 0.4)}
    """
    found = {}
    for word in text.replace(",", " ").split():
        match = _PRICE.fullmatch(word)
        if match is None:
            raise InvalidInput(
                f"llm_prices: {word!r} is no price; write openai:MODEL=IN/OUT, in USD for a million tokens."
            )
        found[match[1]] = (float(match[2]), float(match[3]))
    return found


def cost(model: str, tokens_in: int, tokens_out: int, own: Mapping[str, tuple[float, float]]) -> float | None:
    """USD of one call; None where the price is not known."""
    price = own.get(model) or _published().get(model)
    return None if price is None else (tokens_in * price[0] + tokens_out * price[1]) / MILLION


def allowance(session: Session, budgets: Budgets, person: str, wall: datetime) -> Allowance:
    """What `person` may spend on an answer that begins now."""
    day = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    return Allowance(budgets, spent_since(session, wall - timedelta(hours=1), person=person), spent_since(session, day))


def spent_since(session: Session, since: datetime, *, person: str | None = None) -> Spent:
    """What was spent since a time, by everybody or by one person."""
    from sqlalchemy import case, func, select

    from agent.store.tables import Usage

    unpriced = case((Usage.usd.is_(None) & (Usage.tokens_in + Usage.tokens_out > 0), Usage.calls), else_=0)
    query = select(
        func.coalesce(func.sum(Usage.calls), 0),
        func.coalesce(func.sum(Usage.tokens_in + Usage.tokens_out), 0),
        func.coalesce(func.sum(Usage.seconds), 0.0),
        func.coalesce(func.sum(Usage.usd), 0.0),
        func.coalesce(func.sum(unpriced), 0),
    ).where(Usage.at >= since)
    if person is not None:
        query = query.where(Usage.person == person)
    calls, tokens, seconds, usd, without = session.execute(query).one()
    return Spent(int(calls), int(tokens), float(seconds), float(usd), int(without))


def record(
    session: Session, spent: Allowance, *, at: datetime, person: str, purpose: str, conversation: str | None = None
) -> None:
    """Write down what an answer cost, a row for each model and outcome."""
    from agent.store.tables import Usage

    groups: dict[tuple[str, str], list[Call]] = {}
    for call in spent.calls:
        groups.setdefault((call.model, call.outcome), []).append(call)
    for (model, outcome), calls in groups.items():
        priced = [call.usd for call in calls if call.usd is not None]
        session.add(
            Usage(
                at=at,
                person=person,
                purpose=purpose,
                conversation_id=conversation,
                model=model,
                outcome=outcome,
                calls=len(calls),
                tokens_in=sum(call.tokens_in for call in calls),
                tokens_out=sum(call.tokens_out for call in calls),
                usd=sum(priced) if priced else None,
                seconds=sum(call.seconds for call in calls),
                estimated=any(call.estimated for call in calls),
            )
        )


def told(spent: Spent) -> str:
    """What an answer cost, in words.

    >>> told(Spent(2, 1500, 3.2, 0.0021))
    '2 calls, 1500 tokens, 3.2 s, 0.0021 USD'
    """
    price = f"{shown(round(spent.usd, 6))} USD" if not spent.unpriced else "price not known"
    calls = f"{spent.calls} call{'s' if spent.calls != 1 else ''}"
    return f"{calls}, {spent.tokens} tokens, {length(spent.seconds)}, {price}"
