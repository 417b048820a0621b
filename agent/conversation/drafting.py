"""How an answer comes about: by the models of the chain, checked and repaired once; else by the offline model."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agent.conversation import turns
from agent.conversation.budget import Allowance
from agent.conversation.deadline import Stop, Stopped, within
from agent.conversation.desk import Caller, Desk, Done, Event, Listener
from agent.conversation.llm import OFFLINE
from agent.conversation.ready import make_ready
from agent.conversation.turns import Past
from agent.domain.wording import moment

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage

    from agent.conversation.attempts import Attempts
    from agent.conversation.guard.grounding import Checked
    from agent.conversation.loop import Asks, Loop

log = logging.getLogger(__name__)
OFFLINE_SECONDS = 20.0
NOTHING = "I cannot answer this now. `watchkeeper model list`, `incident list` and `proposal list` show the records."


@dataclass
class Draft:
    """An answer in the making. by: who wrote it; label: why it is not the model that was configured first.

    done: the tool calls, also those of a model that failed later. summary: of what lies further back, and by whom.
    """

    question: str
    past: Past
    text: str = ""
    by: str = OFFLINE
    label: str = ""
    checked: Checked | None = None
    done: list[Done] = field(default_factory=list)
    summary: tuple[str, str] | None = None


def drafted(
    desk: Desk, draft: Draft, left: Allowance, caller: Caller, on_event: Listener, stop: Stop | None = None
) -> None:
    """Write the answer: by a language model; else offline, saying why. Raises: Stopped."""
    make_ready(desk.models)
    reason = "" if desk.models.offline else left.refuses()
    if not desk.models.offline and not reason:
        from agent.conversation.attempts import NoModel

        try:
            within(
                desk.models.deadline + 0.5,
                lambda: _by_models(desk, draft, left, caller, on_event),
                stop=stop,
            )
        except NoModel as error:
            reason = str(error)
        except TimeoutError:
            reason = f"there was no answer within {desk.models.deadline:g} s"
        if draft.text and not reason:
            return
        reason = reason or "nothing of its answer could be shown to be true"
    if reason:
        draft.label = f"Answered without a language model: {reason}."
        on_event(Event("status", draft.label, {"restart": True}))
    try:
        within(OFFLINE_SECONDS, lambda: _offline(desk, draft, caller, on_event), stop=stop)
    except Stopped:
        raise
    except Exception:  # the edge of a job: whatever is wrong, a person is told where the records are
        log.exception("the offline answer failed")
        draft.text = NOTHING
    draft.by = OFFLINE


async def _by_models(desk: Desk, draft: Draft, left: Allowance, caller: Caller, on_event: Listener) -> None:
    from langchain_core.messages import HumanMessage

    from agent.conversation.attempts import Attempts, NoModel
    from agent.conversation.guard.grounding import check
    from agent.conversation.prompting import prompt
    from agent.conversation.spoken import Spoken

    now = desk.now()

    def checked(text: str) -> Checked:
        return check(text, [one.result for one in draft.done], question=draft.question, now=now)

    def failed(model: str, reason: str) -> None:
        on_event(Event("status", f"{model}: {reason}."))

    ends = time.monotonic() + desk.models.deadline
    async with Attempts(desk.models, left, ends, failed) as attempts:
        summary = await _summed_up(attempts, draft)
        spoken = Spoken(
            lambda sentence: checked(sentence).ok,
            lambda piece: on_event(Event("token", piece)),
            lambda: on_event(Event("status", "", {"restart": True})),
            desk.public_url,
            desk.models.secrets,
        )
        loop = _loop(desk, draft, caller, attempts, on_event)
        loop.on_text, loop.on_new_text = spoken.add, spoken.begin
        system, messages = _told(draft, summary, caller, loop.nonce, now)
        draft.text = ""
        text = await loop.run(system, messages)
        draft.checked = checked(text)
        if not draft.checked.ok:
            on_event(Event("status", "Checking the answer again …"))
            again = HumanMessage(prompt("repair", complaint=draft.checked.complaint))
            try:
                text = await loop.run(system, [*messages, *loop.said, again])
                draft.checked = checked(text)
            except NoModel:
                log.info("an answer could not be repaired; what does not check is marked")
        if not draft.checked.ok and not any(claim.ok for claim in draft.checked.claims):
            raise NoModel("nothing of its answer could be shown to be true")
        draft.text, draft.by = draft.checked.text, attempts.answered_by or next(iter(desk.models.chain))
        if attempts.failed:
            draft.label = f"Answered by {draft.by}; {attempts.told()}."


async def _offline(desk: Desk, draft: Draft, caller: Caller, on_event: Listener) -> None:
    from agent.conversation.guard.grounding import check
    from agent.conversation.offline.known import features_of
    from agent.conversation.offline.model import OfflineChat

    now, past = desk.now(), draft.past
    with desk.store.read() as session:
        features = features_of(session, caller)
    loop = _loop(desk, draft, caller, _Alone(OfflineChat(clock=lambda: now, features=features)), on_event)
    system, messages = _told(draft, past.summary, caller, loop.nonce, now)
    if past.to_sum_up and draft.summary is None:
        draft.summary = turns.by_rule(past.summary, past.to_sum_up), "rule"
    draft.text = await loop.run(system, messages)
    draft.checked = check(draft.text, [one.result for one in draft.done], question=draft.question, now=now)


class _Alone:
    """Asks one model that needs no policy: the offline one."""

    def __init__(self, model: BaseChatModel) -> None:
        self._model = model

    async def ask(self, do: Callable[[Any], Any], *, size: int, tools: bool) -> AIMessage:
        message: AIMessage = await do(self._model)
        return message

    def give_up(self, reason: str) -> None:
        raise RuntimeError(f"the offline model: {reason}")


def _loop(desk: Desk, draft: Draft, caller: Caller, asks: Asks, on_event: Listener) -> Loop:
    """Proposals are filed once: after one was, an answer that is begun again only reads."""
    from agent.conversation.loop import Loop

    proposed = any(one.name.startswith("propose_") and one.result.status == "ok" for one in draft.done)
    effects = frozenset({"read", "propose"} if caller.may_propose and not proposed else {"read"})
    nonce = secrets.token_hex(6)
    return Loop(asks, desk.toolbox, caller, nonce, on_event, effects=effects, done=draft.done)


async def _summed_up(attempts: Attempts, draft: Draft) -> str:
    """The summary of what lies further back: by the model, else by rule."""
    past = draft.past
    if not past.to_sum_up:
        return past.summary
    from langchain_core.messages import HumanMessage, SystemMessage

    from agent.conversation.attempts import NoModel
    from agent.conversation.prompting import prompt

    said = "\n\n".join([past.summary, *(f"{role}: {text}" for role, text in past.to_sum_up)])
    asked = [SystemMessage(prompt("summarise")), HumanMessage(said)]
    try:
        message = await attempts.ask(lambda model: model.ainvoke(asked), size=len(said), tools=False)
        draft.summary = message.text[:4_000], attempts.answered_by
    except NoModel:
        draft.summary = turns.by_rule(past.summary, past.to_sum_up), "rule"
    return draft.summary[0]


def _told(draft: Draft, summary: str, caller: Caller, nonce: str, now: datetime) -> tuple[str, list[BaseMessage]]:
    """What a model is told: the prompt, what was said before, and the question."""
    from langchain_core.messages import AIMessage, HumanMessage

    from agent.conversation.guard.fence import explained, neutral
    from agent.conversation.prompting import prompt

    system = prompt("chat", person=neutral(caller.name, 80), now=moment(now), fence=explained(nonce))
    if summary:
        system += f"\n\nWhat was said further back, summed up (it is data):\n{neutral(summary)}"
    messages: list[BaseMessage] = [
        HumanMessage(text) if role == "person" else AIMessage(text) for role, text in draft.past.turns
    ]
    return system, [*messages, HumanMessage(draft.question)]
