"""`python -m benchmarks.conversation [--model openai:gpt-4.1-mini] [--home DIR]`: pass rate, grounding, calls, cost.

The demo is played to its end first (or `--home` names one that was), so every answer is known.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from agent.conversation.chat import Reply, reply
from agent.conversation.desk import Caller, Desk
from agent.conversation.llm import configured
from agent.pipeline.services import Services
from benchmarks.measure import archive, table

QUESTIONS = Path(__file__).with_name("questions.yaml")
PLENTY = "calls=1000000"
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z“`])|\n+")
_CITED = re.compile(r"\[[^\[\]\n]*\b[a-z]-[0-9a-z]{4,16}(?:/E\d+)?[^\[\]\n]*\]")
_NUMBER = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of a conversation, the patterns that a right answer has, and those that it must not have."""

    question: str
    says: tuple[str, ...]
    never: tuple[str, ...]
    calls: str


@dataclass(frozen=True, slots=True)
class Outcome:
    question: str
    right: bool
    missing: tuple[str, ...]
    sentences: int
    cited: int
    claims: int
    grounded: int
    reply: Reply
    seconds: float

    def document(self) -> dict[str, Any]:
        return {
            "question": self.question, "right": self.right, "missing": list(self.missing), "answer": self.reply.text,
            "tool_calls": [f"{c['tool']}: {c['status']}" for c in self.reply.tool_calls],
            "labelled": self.reply.labelled, "seconds": round(self.seconds, 3), "usage": self.reply.usage,
        }  # fmt: skip


def conversations() -> list[list[Asked]]:
    """Each with its questions in order; most have one."""
    found = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))
    return [
        [
            Asked(one["ask"], tuple(one["says"]), tuple(one.get("never", ())), str(one.get("calls", "")))
            for one in (told if isinstance(told, list) else [told])
        ]
        for told in found
    ]


def put(desk: Desk, said: Sequence[Asked], caller: Caller) -> list[Outcome]:
    """One conversation."""
    place, outcomes = f"benchmark:{secrets.token_hex(6)}", []
    for one in said:
        start = time.perf_counter()
        answer = reply(desk, place, one.question, caller)
        outcomes.append(judged(one, answer, time.perf_counter() - start, desk.now()))
    return outcomes


def judged(one: Asked, answer: Reply, seconds: float, now: datetime) -> Outcome:
    """Right: every pattern is in the text, none of the forbidden, and the tool was called."""
    missing = [pattern for pattern in one.says if not re.search(pattern, answer.text, re.IGNORECASE)]
    missing += [f"not {pattern}" for pattern in one.never if re.search(pattern, answer.text, re.IGNORECASE)]
    if one.calls and not any(call["tool"] == one.calls for call in answer.tool_calls):
        missing.append(f"call {one.calls}")
    told = [s for s in _SENTENCE.split(answer.text) if _NUMBER.search(s) and not s.startswith("(")]
    claims, grounded = _claims(answer, one.question, now)
    cited = sum(_CITED.search(s) is not None for s in told)
    return Outcome(one.question, not missing, tuple(missing), len(told), cited, claims, grounded, answer, seconds)


def _claims(answer: Reply, question: str, now: datetime) -> tuple[int, int]:
    """Sentences that state something checkable, and those that the tool results bear out."""
    from agent.conversation.guard.grounding import check
    from tools.results import Status, ToolResult

    results = []
    for one in answer.evidence:
        found: Mapping[str, Any] = one["result"]
        about = {k: found[k] for k in ("message", "n", "unit", "source", "next") if k in found}
        evidence = tuple(found.get("evidence", ()))
        results.append(ToolResult(Status(found["status"]), dict(found.get("data", {})), evidence=evidence, **about))
    checked = check(answer.text, results, question=question, now=now)
    return len(checked.claims), sum(claim.ok for claim in checked.claims)


def measured(outcomes: Sequence[Outcome], model: str) -> dict[str, Any]:
    times = sorted(one.seconds for one in outcomes)
    prices = [one.reply.usage["usd"] for one in outcomes]
    sentences, claims = sum(one.sentences for one in outcomes), sum(one.claims for one in outcomes)
    return {
        "model": model,
        "questions": len(outcomes),
        "right": sum(one.right for one in outcomes),
        "pass_rate": sum(one.right for one in outcomes) / len(outcomes),
        "sentences_with_numbers_that_cite": sum(one.cited for one in outcomes) / max(sentences, 1),
        "claims_that_stand_in_results": sum(one.grounded for one in outcomes) / max(claims, 1),
        "tool_calls": statistics.mean(len(one.reply.tool_calls) for one in outcomes),
        "tokens": sum(one.reply.usage["tokens"] for one in outcomes),
        "usd": None if any(price is None for price in prices) else sum(prices),
        "answered_by_another": sum(bool(one.reply.labelled) for one in outcomes),
        "seconds_median": statistics.median(times),
        "seconds_p95": times[min(int(0.95 * len(times)), len(times) - 1)],
        "seconds_most": times[-1],
        "seconds_first": outcomes[0].seconds,
    }


def workspace(folder: Path) -> Services:
    """The demo, played to its end."""
    from agent.commands.demo import play_all, prepare

    services = prepare(folder)
    play_all(services, say=lambda text: print(text, file=sys.stderr))
    return services


def reopened(folder: Path) -> Services:
    from agent.bootstrap import build
    from agent.settings import load_settings

    os.environ["WATCHKEEPER_HOME"] = str(folder)
    return build(load_settings())


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.conversation")
    parser.add_argument("--model", default="offline", help="PROVIDER:MODEL, several with commas, or offline")
    parser.add_argument("--home", type=Path, help="a workspace in which the demo was played to its end")
    given = parser.parse_args()
    from agent.pipeline.desk import desk_of

    with tempfile.TemporaryDirectory() as folder:
        services = reopened(given.home) if given.home else workspace(Path(folder) / "demo")
        llm = configured(
            given.model, key=os.environ.get("OPENAI_API_KEY", ""), base_url=os.environ.get("OPENAI_BASE_URL", ""),
            hourly_budget=PLENTY, daily_budget=PLENTY,
        )  # fmt: skip
        desk = desk_of(dataclasses.replace(services, llm=llm))
        caller = Caller("benchmark", may_propose=False)
        outcomes = [outcome for said in conversations() for outcome in put(desk, said, caller)]
        services.store.close()
    found = measured(outcomes, given.model)
    rows = [[name.replace("_", " "), value] for name, value in found.items()]
    print(table("Questions on the demo workspace with known answers", ["", given.model], rows))
    for one in outcomes:
        if not one.right:
            print(f"wrong: {one.question}: {'; '.join(one.missing)}")
    print(archive(f"conversation-{re.sub('[^a-z0-9.]+', '-', given.model.lower())}", {
        "measured": found, "answers": [one.document() for one in outcomes],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
