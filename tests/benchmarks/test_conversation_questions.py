from __future__ import annotations

import re
from datetime import UTC, datetime

from agent.conversation.chat import Reply
from benchmarks.conversation.run import Asked, conversations, judged, measured
from tools.catalogue import CATALOGUE

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def answered(text: str, tool: str = "models") -> Reply:
    calls = [{"tool": tool, "arguments": {}, "status": "ok"}]
    evidence = [
        {"tool": tool, "arguments": {}, "result": {"status": "ok", "data": {"rows": 12}, "evidence": ["i-7k2m"]}}
    ]
    usage = {"calls": 1, "tokens": 10, "seconds": 0.1, "usd": 0.01}
    return Reply(text, [], calls, "m", "", usage, evidence, "c-1", "g-1")


def test_every_question_has_an_answer_that_can_be_checked() -> None:
    asked = [one for said in conversations() for one in said]
    assert len(asked) >= 40
    for one in asked:
        assert one.says, one.question
        assert all(re.compile(pattern) for pattern in (*one.says, *one.never))
        assert not one.calls or one.calls in CATALOGUE, one.question


def test_an_answer_is_right_only_with_its_facts_its_tool_and_without_what_is_forbidden() -> None:
    one = Asked("?", (r"\b12\b",), ("all is well",), "models")
    assert judged(one, answered("It has 12 rows [i-7k2m]."), 0.1, NOW).right
    assert judged(one, answered("It has 120 rows."), 0.1, NOW).missing == (r"\b12\b",)
    assert not judged(one, answered("12 rows, all is well."), 0.1, NOW).right
    assert judged(one, answered("12 rows", tool="drift"), 0.1, NOW).missing == ("call models",)


def test_the_rates() -> None:
    one = Asked("?", ("12",), (), "")
    found = measured([judged(one, answered(text), 0.1, NOW) for text in ("12 rows [i-7k2m].", "13 rows.")], "m")
    assert (found["right"], found["pass_rate"], found["tokens"]) == (1, 0.5, 20)
    assert found["sentences_with_numbers_that_cite"] == 0.5
