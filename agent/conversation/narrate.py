"""The summary of a report in a model's words, where one is configured and its words check; else the template's."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.conversation.budget import Allowance, allowance, record
from agent.conversation.deadline import within
from agent.conversation.desk import Desk
from agent.conversation.ready import make_ready
from tools.results import ToolResult, ok

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

log = logging.getLogger(__name__)
TEMPLATE = "template"
LONGEST_FACTS = 40_000


@dataclass(frozen=True, slots=True)
class Narrated:
    """A text, who wrote it, and why it is not by the model that was configured first ("" when it is)."""

    text: str
    by: str = TEMPLATE
    label: str = ""

    @property
    def labelled(self) -> str:
        """The text with its label as the last line."""
        return f"{self.text}\n({self.label})" if self.label else self.text


def narrate(desk: Desk, facts: Mapping[str, Any], *, person: str = "reports") -> Narrated:
    """The summary of a report's facts. `facts["summary"]` is the template's text, which stands whenever a model fails,
    is too slow or too dear, or says what the facts do not."""
    template = str(facts.get("summary", ""))
    if desk.models.offline:
        return Narrated(template)
    make_ready(desk.models)
    from agent.conversation.attempts import NoModel

    with desk.store.read() as session:
        left = allowance(session, desk.models.budgets, person, desk.wall())
    try:
        return within(desk.models.deadline + 0.5, lambda: _written(desk, facts, left))
    except NoModel as error:
        reason = str(error)
    except TimeoutError:
        reason = f"there was no answer within {desk.models.deadline:g} s"
    except Exception:  # the edge of a job: a report is never lost to what writes its summary
        log.exception("the summary could not be written by a model")
        reason = "the model's text could not be used"
    finally:
        with desk.store.write() as session:
            record(session, left, at=desk.wall(), person=person, purpose="report")
    return Narrated(template, TEMPLATE, f"Written without a language model: {reason}.")


async def _written(desk: Desk, facts: Mapping[str, Any], left: Allowance) -> Narrated:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    from agent.conversation.attempts import Attempts, NoModel
    from agent.conversation.guard.fence import explained, fenced_text
    from agent.conversation.guard.grounding import check
    from agent.conversation.guard.output import clean
    from agent.conversation.prompting import prompt

    result, nonce = _as_result(facts), secrets.token_hex(6)
    told = fenced_text(result.document(), nonce)[:LONGEST_FACTS]
    messages: list[BaseMessage] = [
        SystemMessage(prompt("narrate", fence=explained(nonce))), HumanMessage(told)
    ]  # fmt: skip
    async with Attempts(desk.models, left, time.monotonic() + desk.models.deadline) as attempts:
        text = (await attempts.ask(lambda model: model.ainvoke(messages), size=len(told), tools=False)).text
        checked = check(text, [result])
        if not checked.ok:
            messages += [AIMessage(text), HumanMessage(prompt("repair", complaint=checked.complaint))]
            text = (await attempts.ask(lambda model: model.ainvoke(messages), size=len(told), tools=False)).text
            checked = check(text, [result])
        if not checked.ok:
            raise NoModel(f"{attempts.answered_by} wrote what the facts do not say")
        also = f"; {attempts.told()}" if attempts.failed else ""
        by = attempts.answered_by
    shown = clean(checked.text, desk.public_url, secrets=desk.models.secrets)
    return Narrated(shown, by, f"Written by {by} from the facts of this report, and checked against them{also}.")


def _as_result(facts: Mapping[str, Any]) -> ToolResult:
    """The facts as a tool result, without what is only drawn; its ids may be cited."""
    data = {key: value for key, value in facts.items() if key not in ("chart", "charts", "summary")}
    return ok(data, evidence=tuple(dict.fromkeys(_ids(data))), source="watchkeeper report")


def _ids(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        own = [value["id"]] if isinstance(value.get("id"), str) else []
        return own + [one for item in value.values() for one in _ids(item)]
    return [one for item in value for one in _ids(item)] if isinstance(value, (list, tuple)) else []
