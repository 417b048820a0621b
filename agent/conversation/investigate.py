"""A model looks further into an incident, after the evidence is there: with read tools, within its time, and what it
makes of it may only lower confidence and choose among allowed actions (`weighing`). Without a model the ranked causes
stand, told by the template.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.conversation import resting, template
from agent.conversation.budget import Allowance, allowance, record
from agent.conversation.deadline import within
from agent.conversation.desk import Caller, Desk, Done, nobody
from agent.conversation.narrate import TEMPLATE
from agent.conversation.ready import make_ready
from agent.conversation.weighing import Verdict, Weighing, read_verdict, weigh
from agent.domain.wording import moment
from tools.results import ToolResult, ok

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from agent.conversation.attempts import Attempts

log = logging.getLogger(__name__)
ACTOR = "investigation"
LONGEST_EVIDENCE = 40_000


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked into. actions: the kinds that policy and evidence allow, with their parameters."""

    incident: str
    model: str
    document: Mapping[str, Any]
    actions: Mapping[str, Mapping[str, Any]]


@dataclass
class _Found:
    text: str = ""
    by: str = TEMPLATE
    label: str = ""
    weighing: Weighing | None = None
    done: list[Done] = field(default_factory=list)


def look_further(desk: Desk, question: Question) -> dict[str, Any]:
    """The diagnosis document with its `narrative`; never fails, and never takes longer than the deadline.

    The narrative says who wrote it, what was changed, what of the verdict was refused, and what was looked at.
    """
    found = _Found()
    if not desk.models.offline:
        _by_models(desk, question, found)
    weighing = found.weighing or Weighing(dict(question.document))
    narrative = {
        "text": found.text or template.told(weighing.document),
        "by": found.by if found.text else TEMPLATE,
        "label": found.label,
        "changes": weighing.changes,
        "refused": weighing.refused,
        "calls": resting.kept(found.done),
    }
    return {**weighing.document, "narrative": resting.storable(narrative)}


def _by_models(desk: Desk, question: Question, found: _Found) -> None:
    make_ready(desk.models)
    from agent.conversation.attempts import NoModel

    left, reason = Allowance(desk.models.budgets), ""
    try:
        with desk.store.read() as session:
            left = allowance(session, desk.models.budgets, ACTOR, desk.wall())
        within(desk.models.deadline + 0.5, lambda: _looked(desk, question, left, found))
    except NoModel as error:
        reason = str(error)
    except TimeoutError:
        reason = f"there was no answer within {desk.models.deadline:g} s"
    except Exception:  # the edge of a job: a diagnosis is never lost to what tells it
        log.exception("incident %s could not be investigated by a model", question.incident)
        reason = "what the model did could not be used"
    if reason:
        found.text, found.weighing = "", None
        found.label = f"Told without a language model: {reason}."
    if left.calls:
        with desk.store.write() as session:
            record(session, left, at=desk.wall(), person=ACTOR, purpose="investigation")


async def _looked(desk: Desk, question: Question, left: Allowance, found: _Found) -> None:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    from agent.conversation.attempts import Attempts, NoModel
    from agent.conversation.guard.fence import explained, fenced_text
    from agent.conversation.guard.grounding import check
    from agent.conversation.guard.output import clean
    from agent.conversation.loop import Loop
    from agent.conversation.prompting import prompt

    nonce, now = secrets.token_hex(6), desk.now()
    evidence = _as_result(question.document)
    told = fenced_text(evidence.document(), nonce)[:LONGEST_EVIDENCE]
    caller = Caller(ACTOR, "agent", frozenset({question.model}), may_propose=False)
    system = prompt(
        "investigate", incident=question.incident, model=question.model, now=moment(now), fence=explained(nonce)
    )
    async with Attempts(desk.models, left, time.monotonic() + desk.models.deadline) as attempts:
        loop = Loop(attempts, desk.toolbox, caller, nonce, nobody, done=found.done)
        text = await loop.run(system, [HumanMessage(told)])
        checked = check(text, [evidence, *(one.result for one in found.done)], now=now)
        if not checked.ok:
            again = HumanMessage(prompt("repair", complaint=checked.complaint))
            text = await loop.run(system, [HumanMessage(told), *loop.said, again])
            checked = check(text, [evidence, *(one.result for one in found.done)], now=now)
        shown = clean(checked.text, desk.public_url, secrets=desk.models.secrets)
        if not shown or not (checked.ok or any(claim.ok for claim in checked.claims)):
            raise NoModel("nothing of its narrative could be shown to be true")
        verdict = await _verdict(attempts, question, [SystemMessage(system), HumanMessage(told), AIMessage(text)])
        found.by = attempts.answered_by
        found.label = f"Told by {found.by} from the evidence, and checked against it"
        found.label += f"; {attempts.told()}." if attempts.failed else "."
        found.text, found.weighing = shown, weigh(question.document, verdict, question.actions, found.by)


async def _verdict(attempts: Attempts, question: Question, messages: list[BaseMessage]) -> Verdict:
    """The verdict as structured output; one that cannot be read is none, and changes nothing."""
    from langchain_core.messages import AIMessage, HumanMessage

    from agent.conversation.prompting import prompt

    chosen = str(question.document["action"]["kind"])
    asked = [*messages, HumanMessage(prompt("verdict", actions=", ".join(question.actions), chosen=chosen))]

    async def ask(model: BaseChatModel) -> AIMessage:
        if model._llm_type != "openai-chat":
            return await model.ainvoke(asked)
        schema = {"name": "verdict", "schema": Verdict.model_json_schema()}
        return await model.ainvoke(asked, response_format={"type": "json_schema", "json_schema": schema})

    message = await attempts.ask(ask, size=sum(len(str(m.content)) for m in asked), tools=False)
    return read_verdict(message.text) or Verdict()


def _as_result(document: Mapping[str, Any]) -> ToolResult:
    """The diagnosis as a tool result; its facts may be cited."""
    kept = {key: value for key, value in document.items() if key not in ("pictures", "narrative")}
    return ok(kept, evidence=tuple(str(fact["id"]) for fact in document.get("evidence", [])), source="diagnosis")
