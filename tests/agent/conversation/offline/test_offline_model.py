from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage

from agent.conversation.offline.model import OfflineChat
from agent.conversation.offline.plan import PLANS
from tests.agent.conversation.offline.talk import TOOLS, Talk
from tests.agent.conversation.offline.workspace import NOW, Workspace
from tools.catalogue import CATALOGUE
from tools.results import error, no_data, ok

FEATURES = {"churn": ("tenure", "monthly_charges"), "rainfall": ("dew_point",)}
MODEL = OfflineChat(clock=lambda: NOW, features=FEATURES)
BOUND = MODEL.bind_tools(TOOLS)


def after(text: str, result: Any, *, tool: str, content: str | None = None, artifact: Any = None) -> str:
    """What is told of one result of the tool that a request leads to."""
    call = BOUND.invoke(text)
    wanted = next(c for c in call.tool_calls if c["name"] == tool)
    told = [
        ToolMessage(
            json.dumps(result.document()) if content is None else content, tool_call_id=c["id"], artifact=artifact
        )
        for c in call.tool_calls
    ]
    assert wanted["args"]
    reply = BOUND.invoke([HumanMessage(text), call, *told])
    assert isinstance(reply, AIMessage)
    return reply.text


def test_a_request_becomes_parallel_calls() -> None:
    reply = BOUND.invoke([SystemMessage("You are …"), HumanMessage("status of churn")])
    assert [c["name"] for c in reply.tool_calls] == ["models", "incidents", "proposals"]
    assert reply.tool_calls[1]["args"] == {"model": "churn", "state": "unresolved"}
    assert len({c["id"] for c in reply.tool_calls}) == 3
    assert reply.usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


def test_every_plan_calls_tools_of_the_catalogue(place: Workspace) -> None:
    asked = [
        *("status", "drift of churn", "compare versions of churn", "what if we roll back churn", "what did you do"),
        *("similar to churn", "roll back churn to version 2", "promote version 2 of churn", "recalibrate churn"),
        *("mark tenure unfit from 1 to 3 February", "refresh the reference of churn to last week"),
        *("mute churn for 3 days", "alerts of churn", "who approved the retraining of churn"),
        *("data quality of churn", "features of churn"),
    ]
    for text in asked:
        found = Talk(place, FEATURES).ask(text)
        assert found.calls, text
        assert all(result.status != "error" for result in found.results), (text, found.results)
        assert {name for name, _ in found.calls} <= set(CATALOGUE)
    assert len(PLANS) >= 55


def test_it_streams_words_and_calls() -> None:
    chunks = list(BOUND.stream("status of churn"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    wanted = BOUND.invoke("status of churn").tool_calls
    assert [(c["name"], c["args"]) for c in whole.tool_calls] == [(c["name"], c["args"]) for c in wanted]
    told = list(BOUND.stream("hello"))
    assert len(told) > 3
    assert all(isinstance(chunk, AIMessageChunk) for chunk in told)
    assert "".join(chunk.text for chunk in told) == BOUND.invoke("hello").text


def test_no_data_is_told_and_is_no_all_clear() -> None:
    told = after("drift of churn", no_data("churn was not looked at yet."), tool="drift")
    assert told == "churn was not looked at yet."
    told = after("performance of churn", no_data("no value of auc is known"), tool="performance")
    assert "no value of auc is known" in told
    assert "no open incident" not in told


def test_an_error_is_told_plainly() -> None:
    told = after("status", error("The database cannot be reached."), tool="proposals")
    assert told.count("The database cannot be reached") >= 1
    assert "no open incident" not in told
    assert "Nothing waits" not in told


@pytest.mark.parametrize(
    "content", ["", "not json", "{", "[1]", '{"status": "ok"', "null", '{"data": 3, "status": "ok"}']
)
def test_a_result_that_cannot_be_read_is_no_crash(content: str) -> None:
    assert after("drift of churn", None, tool="drift", content=content)


def test_a_result_is_read_from_its_artifact_or_through_the_marks_of_the_fence() -> None:
    data = {"incidents": [{"id": "i-7k2m9xq4c1", "model": "churn", "state": "open", "title": "it fell"}]}
    assert "it fell" in after("open incidents of churn", None, tool="incidents", content="…", artifact=ok(data))
    marked = json.dumps(ok(data).document()).replace("it fell", "⟦data 00ff⟧it fell⟦/data 00ff⟧")
    told = after("open incidents of churn", None, tool="incidents", content=f"Data:\n{marked}")
    assert "churn: it fell; opened unknown" in told
    assert "⟦" not in told


def test_what_may_not_be_called_is_said() -> None:
    reading = [tool for tool in TOOLS if not tool["function"]["name"].startswith("propose_")]
    reply = MODEL.bind_tools(reading).invoke("retrain churn")
    assert not reply.tool_calls
    assert "I may only read here" in reply.text
    assert "watchkeeper" in reply.text


def test_it_asks_for_names_where_it_knows_none(place: Workspace) -> None:
    found = Talk(place).ask("how far has tenure drifted")
    assert found.calls[0] == ("models", {})
    assert found.called("drift", model="churn")
    assert "tenure: drift.psi 0.412" in found.text


@pytest.mark.parametrize(
    ("text", "tool", "arguments"),
    [
        ("roll back churn", "propose_rollback", {"model": "churn", "to_version": "2"}),
        ("roll churn back to version 1 please", "propose_rollback", {"model": "churn", "to_version": "1"}),
        ("promote version 2 of churn", "propose_promote", {"model": "churn", "to_version": "2"}),
        ("silence psi on tenure until friday", "propose_silence",
         {"model": "churn", "feature": "tenure", "monitor": "drift.psi", "until": "2026-02-20T00:00:00Z"}),
        ("mute churn for 3 days", "propose_silence", {"model": "churn", "until": "2026-02-18T12:00:00Z"}),
        ("recalibrate churn", "propose_recalibrate", {"model": "churn"}),
        ("mark tenure as unfit from 1 February to 3 February", "propose_mark_data_unfit",
         {"model": "churn", "features": ["tenure"], "since": "2026-02-01T00:00:00Z", "until": "2026-02-04T00:00:00Z"}),
        ("use last week as the new reference for churn", "propose_refresh_reference",
         {"model": "churn", "since": "2026-02-08T12:00:00Z", "until": "2026-02-15T12:00:00Z"}),
    ],
)  # fmt: skip
def test_wanted_actions_become_proposals(place: Workspace, text: str, tool: str, arguments: dict[str, Any]) -> None:
    found = Talk(place, {**FEATURES, "bike-demand": ("temp",)}).ask(text)
    assert found.called(tool, **arguments), found.calls
    assert "Nothing happens before a person decides: `watchkeeper approve p-zz9d2qk7wm`" in found.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("approve p-4x9d2qk7wm", "I cannot approve anything: a person does"),
        ("reject p-4x9d2qk7wm", "I cannot reject anything: a person does"),
        ("freeze everything", "I cannot stop or resume anything: a person does, with `watchkeeper freeze`"),
        ("promote churn", "Which version of churn do you mean?"),
        ("retrain", "Which model do you mean"),
        ("retrain it", "Which model do you mean"),
        ("why fraudulent-clicks", "I know no model “fraudulent-clicks”"),
        ("is the kill switch on?", "The kill switch is off"),
        ("hello", "Hello."),
        ("who are you", "without a language model"),
        ("thank you", "You are welcome."),
        ("thresholds of churn", "roc_auc counts as a breach beyond 0.8"),
        ("which features does churn use", "churn reads 5 features: tenure, monthly_charges"),
        ("data quality of churn", "quality.nulls 0.004"),
        ("what should we do about churn", "What follows from it: retrain"),
        ("alerts of churn", "performance.roc_auc of tenure, critical, firing"),
        ("how long do I have to decide p-4x9d2qk7wm", "until 2026-02-16 00:00 UTC, 12 h left"),
        ("who approved the retraining of bike-demand", "approved by ana"),
        ("what if we do nothing about churn", "doing nothing"),
        ("is fraud-score ok", "fraud-score: never looked at, so nothing is known of it."),
        ("versions of fraud-score", "has no version in the registry yet"),
        ("incidents of rainfall", "There is no incident of rainfall"),
    ],
)  # fmt: skip
def test_answers(place: Workspace, text: str, says: str) -> None:
    found = Talk(place).ask(text)
    assert says in found.text, found.text


def test_more_is_given_page_by_page() -> None:
    pages = {None: (range(9), "9"), "9": (range(9, 12), None)}
    history: list[Any] = []
    said = []
    for text in ("which versions of churn", "show me more"):
        history.append(HumanMessage(text))
        while (reply := BOUND.invoke(history)).tool_calls:
            history.append(reply)
            for call in reply.tool_calls:
                numbers, following = pages[call["args"].get("cursor")]
                found = ok({"champion": "3", "versions": [{"version": str(n)} for n in numbers]}, next=following)
                history.append(ToolMessage(json.dumps(found.document()), tool_call_id=call["id"]))
        history.append(reply)
        said.append(reply.text)
    assert "Version 7:" in said[0]
    assert "Version 8:" not in said[0]
    assert "show me more" in said[0]
    assert "Version 11:" in said[1]
    assert "Version 7:" not in said[1]


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("compare churn this month with last", "30d"), ("how does churn this week compare with last week", "7d"),
        ("churn week over week", "7d"), ("performance of churn the last 14 days vs the 14 before?", "14d"),
    ],
)  # fmt: skip
def test_a_time_is_compared_with_the_one_before(place: Workspace, text: str, period: str) -> None:
    found = Talk(place, FEATURES).ask(text)
    assert found.called("reports", model="churn", period=period, compare="before")
    assert f"watchkeeper report --kind comparison --period {period} --model churn" in found.text
    if period == "14d":
        assert "churn: roc_auc 0.712 (0.692 to 0.732) after 0.861 (0.841 to 0.881)" in found.text
        assert "(higher is better): it got worse." in found.text
