"""Which language models there are, and how one is opened: whatever `langchain.chat_models.init_chat_model` reaches.

The models stand in a chain, the first one first; after the last one comes the offline model, which cannot fail.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.conversation.breaker import Breaker
from agent.conversation.budget import Budgets, Limits, parse_limits, parse_prices
from agent.domain.errors import InvalidInput
from agent.domain.wording import visible

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

OFFLINE = "offline"
DEFAULT = "openai:gpt-4.1-mini"
"""What is used where there is an OPENAI_API_KEY and nothing else is said."""


class CannotOpen(Exception):
    """A configured model cannot be used at all: its package or its key is missing."""


@dataclass(frozen=True)
class LanguageModels:
    """The chain as it is configured, and what holds for each call.

    deadline: seconds for one answer, all models together. call_deadline: seconds for one call; 0 shares the deadline
    among the models of the chain. key, base_url: OpenAI's, or those of a server that speaks like it.
    """

    chain: tuple[str, ...] = ()
    deadline: float = 60.0
    call_deadline: float = 0.0
    key: str = field(default="", repr=False)
    base_url: str = ""
    budgets: Budgets = field(default_factory=Budgets)
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def offline(self) -> bool:
        return not self.chain

    @property
    def for_one_call(self) -> float:
        return min(self.call_deadline or self.deadline / max(len(self.chain), 1), self.deadline)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self.key,) if self.key else ()


def configured(
    llm: str,
    *,
    key: str = "",
    base_url: str = "",
    deadline: str = "",
    call_deadline: str = "",
    answer_budget: str = "",
    hourly_budget: str = "",
    daily_budget: str = "",
    daily_usd: str = "",
    prices: str = "",
) -> LanguageModels:
    """The models that settings ask for. Raises: InvalidInput naming the setting.

    >>> configured("openai:gpt-4.1-mini, ollama:llama3.1").chain
    ('openai:gpt-4.1-mini', 'ollama:llama3.1')
    >>> configured("").offline, configured("", key="sk-…").chain, configured("offline", key="sk-…").offline
    (True, ('openai:gpt-4.1-mini',), True)
    """
    standard = Budgets()
    day = parse_limits(daily_budget, "llm_daily_budget", standard.day)
    if daily_usd:
        day = Limits(day.calls, day.tokens, day.seconds, _number(daily_usd, "llm_daily_budget_usd", 0))
    return LanguageModels(
        chain=_chain(llm or (DEFAULT if key else OFFLINE)),
        deadline=_number(deadline or "60", "llm_deadline", 0.1),
        call_deadline=_number(call_deadline or "0", "llm_call_deadline", 0),
        key=key,
        base_url=base_url,
        budgets=Budgets(
            answer=parse_limits(answer_budget, "llm_answer_budget", standard.answer),
            hour=parse_limits(hourly_budget, "llm_hourly_budget", standard.hour),
            day=day,
        ),
        prices=parse_prices(prices),
    )


def _chain(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        provider, colon, model = name.partition(":")
        if name != OFFLINE and not (colon and provider and model):
            raise InvalidInput(
                f"llm: {visible(name, 80)!r} is no model; write PROVIDER:MODEL such as openai:gpt-4.1-mini (several "
                "with commas: the next one answers when the first cannot), or offline."
            )
    return tuple(dict.fromkeys(name for name in names if name != OFFLINE))


def _number(text: str, name: str, least: float) -> float:
    try:
        value = float(text.strip().removesuffix("s"))
    except ValueError:
        value = float("nan")
    if not least <= value < 86_400:
        raise InvalidInput(f"{name}: {visible(text, 40)!r} is not a number from {least:g} to 86400.")
    return value


@asynccontextmanager
async def opened(models: LanguageModels, name: str) -> AsyncIterator[BaseChatModel]:
    """One model of the chain, its connections closed at the end. Raises: CannotOpen saying what is missing.

    The client's own retries are off and its time limit is ours: an answer has one deadline and one policy.
    """
    from langchain.chat_models import init_chat_model

    provider = name.partition(":")[0]
    if provider != "openai":
        try:
            model: BaseChatModel = init_chat_model(name, max_retries=0)
        except (ImportError, ValueError) as error:
            raise CannotOpen(_first_line(error)) from None
        yield model
        return
    if not models.key and not models.base_url:
        raise CannotOpen("OPENAI_API_KEY is not set")
    import httpx2

    async with httpx2.AsyncClient(timeout=models.for_one_call, follow_redirects=False) as client:
        options: dict[str, Any] = {
            "api_key": models.key or "none",
            "max_retries": 0,
            "timeout": models.for_one_call,
            "http_async_client": client,
            "use_responses_api": False,  # what every compatible server speaks
            "stream_usage": True,
        }
        if models.base_url:
            options["base_url"] = models.base_url
        yield init_chat_model(name, **options)


def imported(models: LanguageModels) -> None:
    """Import what calls need, once and ahead of time: seconds on a busy machine, which no deadline should pay for."""
    from langchain.chat_models import init_chat_model

    for provider in {name.partition(":")[0] for name in models.chain}:
        try:
            init_chat_model("none", model_provider=provider, api_key="none")
        except Exception as error:  # noqa: BLE001 (whatever it is, the call itself will say it)
            log.debug("%s cannot be prepared: %s", provider, type(error).__name__)


def _first_line(error: Exception) -> str:
    return visible((str(error).strip().splitlines() or [type(error).__name__])[0], 200)
