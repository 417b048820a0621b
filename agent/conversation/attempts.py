"""The policy of calling models for one answer: who is asked, how long, how often, and when that is given up.

A model gets one more try where the fault may be over in a moment. Then the next of the chain is asked; one that failed
is not asked again in this answer, and one that keeps failing not in the next answers either (the breaker).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agent.conversation.budget import Allowance, Call, cost
from agent.conversation.llm import CannotOpen, LanguageModels, opened
from agent.conversation.soundness import complaint
from agent.domain.wording import visible

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage

    from agent.conversation.raw import RawArguments

PAUSE = 0.25
LONGEST_PAUSE = 10.0
CHARACTERS_OF_A_TOKEN = 4
_GRAVE = (401, 403, 404)
_NOT_ITS_FAULT = (400, 413, 422)

Do = Callable[["BaseChatModel"], Awaitable["AIMessage"]]


class NoModel(Exception):
    """No language model can give this answer; the text says why, for a person."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """reason: for a person. again: seconds after which another try makes sense; None is not at all."""

    reason: str
    again: float | None = None
    grave: bool = False
    counts: bool = True
    billed: bool = False


@dataclass
class Attempts:
    """The calls of one answer; an async context, inside the loop that the answer runs in.

    ends: when the answer must be there, by the monotonic clock. failed: model and reason, in order.
    """

    models: LanguageModels
    allowance: Allowance
    ends: float
    on_failure: Callable[[str, str], None] = lambda model, reason: None
    failed: dict[str, str] = field(default_factory=dict)
    answered_by: str = ""
    _open: dict[str, tuple[BaseChatModel, RawArguments]] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def ask(self, do: Do, *, size: int, tools: bool) -> AIMessage:
        """What the first model that can answers to `do`. size: characters that are sent, for what nobody counts.

        Raises: NoModel.
        """
        for name in self.models.chain:
            if name in self.failed:
                continue
            if spent := self.allowance.refuses():
                raise NoModel(spent)
            if refused := self.models.breaker.refuses(name):
                self._give_up(name, refused)
                continue
            message = await self._tried(name, do, size, tools)
            if message is not None:
                self.answered_by = name
                return message
        raise NoModel(self.told())

    def told(self) -> str:
        """What failed, in words."""
        return "; ".join(f"{model}: {reason}" for model, reason in self.failed.items()) or "none is configured"

    def give_up(self, reason: str) -> None:
        """The model that answers does so without sense: it is not asked again in this answer."""
        if self.answered_by:
            self._give_up(self.answered_by, reason)
            self.answered_by = ""

    def _give_up(self, name: str, reason: str) -> None:
        self.failed[name] = reason
        self.on_failure(name, reason)

    async def _tried(self, name: str, do: Do, size: int, tools: bool) -> AIMessage | None:
        failure = _Failure("")
        for again in (True, False):
            settled = False
            try:
                outcome = await self._once(name, do, size, tools)
                settled = True
            finally:
                if not settled:  # stopped, or its time over: this says nothing about the model
                    self.models.breaker.released(name)
            if not isinstance(outcome, _Failure):
                self.models.breaker.succeeded(name)
                return outcome
            failure = outcome
            left = self.ends - time.monotonic()
            if not again or failure.again is None or failure.again > min(LONGEST_PAUSE, left / 3):
                break
            await asyncio.sleep(failure.again)
        if failure.counts:
            self.models.breaker.failed(name, failure.reason, grave=failure.grave)
        else:
            self.models.breaker.released(name)
        self._give_up(name, failure.reason)
        return None

    async def _once(self, name: str, do: Do, size: int, tools: bool) -> AIMessage | _Failure:
        from langsmith import tracing_context

        seconds = min(self.models.for_one_call, self.ends - time.monotonic())
        if seconds <= 0:
            return _Failure("there was no time left for it", counts=False)
        began = time.monotonic()
        message: AIMessage | None = None
        try:
            # Nothing leaves the house but to the model that is configured, whatever the environment says.
            with tracing_context(enabled=False):
                async with asyncio.timeout(seconds):
                    client, raw = await self._client(name)
                    message = await do(client)
            wrong = complaint(message, tools=tools, arguments=raw.texts)
            failure = _Failure(wrong, again=PAUSE, billed=True) if wrong else None
        except CannotOpen as error:
            return _Failure(str(error), grave=True)
        except TimeoutError:
            failure = _Failure(f"it did not answer within {seconds:.2g} s", billed=True)
        except Exception as error:  # noqa: BLE001 (the edge to vendors: each client has an error tree of its own)
            failure = _of(error)
        self._count(name, message, failure, size, time.monotonic() - began)
        if failure is not None:
            return failure
        assert message is not None, "no failure is an answer"
        return message

    async def _client(self, name: str) -> tuple[BaseChatModel, RawArguments]:
        from agent.conversation.raw import RawArguments

        if name not in self._open:
            model, raw = await self._stack.enter_async_context(opened(self.models, name)), RawArguments()
            model.callbacks = [raw]
            self._open[name] = model, raw
        return self._open[name]

    def _count(self, name: str, message: AIMessage | None, failure: _Failure | None, size: int, seconds: float) -> None:
        usage: Any = (message.usage_metadata if message is not None else None) or {}
        tokens_in, tokens_out = int(usage.get("input_tokens", 0)), int(usage.get("output_tokens", 0))
        guessed = not usage and (failure is None or failure.billed)
        if guessed:
            tokens_in = size // CHARACTERS_OF_A_TOKEN
            tokens_out = len(message.text) // CHARACTERS_OF_A_TOKEN if message is not None else 0
        price = cost(name, tokens_in, tokens_out, self.models.prices)
        outcome = "ok" if failure is None else failure.reason
        self.allowance.calls.append(Call(name, tokens_in, tokens_out, seconds, price, outcome, guessed))


def _of(error: Exception) -> _Failure:
    """An error of a vendor's client as a failure; its text may repeat keys and addresses, so it is not told."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        if status == 429:
            wait = _asked_to_wait(error)
            said = f", and asks to wait {wait:g} s" if wait is not None else ""
            return _Failure(f"it has too many requests (429){said}", again=PAUSE if wait is None else wait)
        if status >= 500:
            return _Failure(f"its server failed ({status})", again=PAUSE)
        return _Failure(
            f"it refused the request ({status})", grave=status in _GRAVE, counts=status not in _NOT_ITS_FAULT
        )
    kind = type(error).__name__
    if "Timeout" in kind:
        return _Failure("it did not answer in time", billed=True)
    if "Connect" in kind or isinstance(error, OSError):
        return _Failure("it cannot be reached, or the connection broke", again=PAUSE)
    return _Failure(f"its answer cannot be read ({visible(kind, 60)})", again=PAUSE, billed=True)


def _asked_to_wait(error: Exception) -> float | None:
    headers: Any = getattr(getattr(error, "response", None), "headers", {})
    try:
        wait = float(headers.get("retry-after", ""))
    except ValueError:  # a date, or nothing
        return None
    return wait if 0 <= wait < 86_400 else None
