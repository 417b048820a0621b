"""One contract for every tool: schema, description, effect, answers, no data, errors, limits, scope."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import func, select

from agent.pipeline.tooling import tool_context
from agent.store.tables import Base, Incident, Model, Proposal
from tools.answering import MOST_BYTES
from tools.catalogue import CATALOGUE, LONGEST_DESCRIPTION, Tool, call, offered_to
from tools.context import Caller, ToolContext
from tools.langchain import as_langchain
from tools.results import Status, ToolResult

EVERY = [pytest.param(tool, id=name) for name, tool in CATALOGUE.items()]
WHY = {"why": "the winter is over"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "models": {"model": "bike-demand"},
    "diagnosis": {"model": "bike-demand"},
    "similar_incidents": {"text": "mae rose with gradual concept drift in temp"},
    "what_if": {"model": "bike-demand", "action": "do_nothing"},
    "incidents": {}, "runbooks": {"query": "inputs drift"}, "proposals": {}, "executions": {},
    "reports": {"period": "30d"},
    "measurements": {"model": "bike-demand"}, "drift": {"model": "bike-demand"},
    "performance": {"model": "bike-demand"}, "versions": {"model": "bike-demand"},
    "deployments": {"model": "bike-demand"},
    "propose_retrain": {"model": "bike-demand", **WHY},
    "propose_rollback": {"model": "bike-demand", "to_version": "1", **WHY},
    "propose_promote": {"model": "bike-demand", "to_version": "2", **WHY},
    "propose_recalibrate": {"model": "bike-demand", **WHY},
    "propose_refresh_reference": {"model": "bike-demand", "since": "20d", "until": "10d", **WHY},
    "propose_mark_data_unfit": {"model": "bike-demand", "features": ["temp"], "since": "3d", "until": "now", **WHY},
    "propose_silence": {"model": "bike-demand", "until": "24h", **WHY},
}  # fmt: skip
IDLE: dict[str, dict[str, Any]] = {
    "models": {"model": "idle"}, "incidents": {"model": "idle"}, "proposals": {"model": "idle"},
    "executions": {"model": "idle"}, "reports": {"model": "idle"}, "runbooks": {"query": "zebra crossing"},
    "similar_incidents": {"text": "zebra crossing"},
}  # fmt: skip
HOSTILE: list[Any] = [
    None, "", "{", "null", "[]", '"text"', "[[[[" * 5000, "\ud800", '{"model": "\ud800"}',
    '{"model": null}', [], 5, True,
    {"model": None}, {"model": 5}, {"model": ["bike-demand"]}, {"model": {"$ne": ""}}, {"model": ""}, {"model": "  "},
    {"model": "x" * 1_000_000}, {"x" * 1_000_000: 1}, {"model": "bike-demand", "bogus": 1}, {"model": "\x00\u202e"},
    {"model": "' OR 1=1 --"}, {"model": "../../etc/passwd"}, {"name": "../approvals"}, {"id": "%"}, {"id": "_"},
    {"model": "bike-demand", "since": "9" * 4000}, {"model": "bike-demand", "since": "99999999999d"},
    {"model": "bike-demand", "since": "0001-01-01T00:00:00+14:00"}, {"model": "bike-demand", "until": "yesterday!"},
    {"model": "bike-demand", "cursor": "1~2"}, {"model": "bike-demand", "cursor": "-5"}, {"cursor": "9" * 190},
    {"model": "bike-demand", "cursor": "2026-01-01T00:00:00+00:00~99999999999999999999"}, {"context": 1, "self": 2},
    {"id": "i-", "incident": "i-"}, {"model": "bike-demand", "compare": ["1"]}, {"action": "delete", "model": "idle"},
    b"{}", {"model": "idle", "why": "x", "to_version": "9" * 150}, json.dumps({"model": {"a": {"b": [1] * 50}}}),
]  # fmt: skip


def totals(services: Any) -> dict[str, int]:
    with services.store.read() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


def sound(result: ToolResult) -> dict[str, Any]:
    """The document of a result, after the rules that hold for each."""
    document = result.document()
    text = json.dumps(document, allow_nan=False, ensure_ascii=False)
    assert len(text.encode()) <= MOST_BYTES
    assert bool(result.message) == (result.status is not Status.OK)
    for one in result.evidence:
        assert one[:2] in ("i-", "p-", "d-", "x-", "r-", "v-") or one.isdigit(), one
    return document


@pytest.mark.parametrize("tool", EVERY)
def test_a_tool_says_what_it_is(tool: Tool):
    assert tool.effect in ("read", "propose")
    assert (tool.effect == "propose") == tool.name.startswith("propose_")
    assert 40 < len(tool.description) < LONGEST_DESCRIPTION
    schema = tool.schema()
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    parameters = list(inspect.signature(tool.run).parameters)
    assert parameters[0] == "context"
    assert set(schema["properties"]) == set(parameters[1:])
    assert all(field.get("description") or field.get("enum") for field in schema["properties"].values())
    Draft202012Validator(schema).validate(ARGUMENTS[tool.name])


def test_the_catalogue_is_closed():
    assert len(CATALOGUE) == 21
    assert set(ARGUMENTS) == set(CATALOGUE)
    with pytest.raises(TypeError):
        CATALOGUE["approve"] = CATALOGUE["models"]


def test_every_read_answers_from_the_records(context: ToolContext, bench: Any):
    before = totals(bench.services)
    for name, tool in CATALOGUE.items():
        if tool.effect == "read" and name not in ("what_if", "versions"):
            result = call(name, ARGUMENTS[name], context)
            assert (name, result.status, result.message) == (name, Status.OK, "")
            document = sound(result)
            assert document["data"]
            assert document["source"]
            assert call(name, json.dumps(ARGUMENTS[name]), context).document() == document
    assert totals(bench.services) == before


def test_nothing_known_is_no_data_and_says_why(context: ToolContext):
    for name, tool in CATALOGUE.items():
        if tool.effect == "read" and name != "models":
            given = IDLE.get(name, {**ARGUMENTS[name], "model": "idle"})
            result = call(name, given, context)
            assert (name, result.status) == (name, Status.NO_DATA)
            sound(result)
    (line,) = call("models", IDLE["models"], context).data["models"]
    assert (line["state"], line["value"], line["estimated"]) == ("no_data", None, False)


def test_whatever_is_sent_gets_an_answer(context: ToolContext, bench: Any):
    before = totals(bench.services)
    seen = set()
    for name in CATALOGUE:
        for given in HOSTILE:
            result = call(name, given, context)
            sound(result)
            assert len(result.message) <= 2000
            seen.add(result.status)
    assert call("approve", {"id": "p-1"}, context).status is Status.ERROR
    assert call("x" * 100_000, {}, context).status is Status.ERROR
    assert Status.ERROR in seen
    assert totals(bench.services) == before


def test_a_caller_sees_the_models_of_theirs_alone(context: ToolContext, bench: Any):
    with bench.services.store.read() as session:
        secret = [session.scalars(select(table.id)).first() for table in (Incident, Proposal)]
    other = tool_context(bench.services, Caller("ben", "token", frozenset({"id*"}), may_propose=True))
    for name in CATALOGUE:
        if name == "runbooks":
            continue
        for given in (ARGUMENTS[name], *({"id": one} for one in secret), *({"incident": one} for one in secret)):
            text = json.dumps(call(name, given, other).document())
            assert "bike" not in text.replace(str(given.get("model")), "")
            assert "temp" not in text
            assert not any(str(one) in text.replace(str(given), "") for one in secret if one not in given.values())
    seen = call("models", {}, other).data
    assert [line["name"] for line in seen["models"]] == ["idle"]
    assert call("measurements", {"model": "bike-demand"}, other).status is Status.ERROR
    assert call("diagnosis", {"incident": secret[0]}, other).status is Status.ERROR


def test_who_may_only_read_is_not_offered_to_propose(context: ToolContext, bench: Any):
    reader = replace(context, caller=Caller("cat", "agent"))
    assert {tool.effect for tool in offered_to(reader.caller)} == {"read"}
    assert len(as_langchain(reader)) == 14
    assert len(as_langchain(context)) == 21
    before = totals(bench.services)
    for name, tool in CATALOGUE.items():
        if tool.effect == "propose":
            result = call(name, ARGUMENTS[name], reader)
            assert result.status is Status.ERROR
            assert "may read" in result.message
    assert totals(bench.services) == before


@pytest.mark.parametrize("name", ["measurements", "incidents", "performance", "models"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_pages_add_up_to_the_whole(name: str, context: ToolContext, bench: Any, at: Callable[[str], datetime]):
    """Long lists come in pages that fit; together they are everything, each entry once."""
    with bench.services.store.write() as session:
        if name == "models":
            text = "name: m{n}\ntask: binary\nfeatures: {{a: {{type: numeric}}}}\ndescription: " + "x" * 900
            session.add_all(
                Model(name=f"m{n}", spec=text.format(n=n), registered_at=at("2026-01-01")) for n in range(150)
            )
        if name == "incidents":
            session.add_all(
                Incident(model="bike-demand", state="resolved", severity="info", title=f"{n} " + "y" * 400,
                         opened_at=at("2026-01-05"), resolved_at=at("2026-01-06"))
                for n in range(130)
            )  # fmt: skip
    entries, cursor, pages = [], None, 0
    while pages < 40:
        given = {
            **({} if name in ("models", "incidents") else ARGUMENTS[name]),
            **({"cursor": cursor} if cursor else {}),
        }
        result = call(name, given, context)
        assert result.status is Status.OK
        sound(result)
        data = result.data
        if name == "measurements":
            entries += [
                (s["monitor"], s["feature"], s["segment"], p["window_end"]) for s in data["series"] for p in s["points"]
            ]
        elif name == "performance":
            entries += [p["window_end"] for p in data["points"]]
        else:
            entries += [one.get("id") or one["name"] for one in data[name]]
        cursor, pages = result.next, pages + 1
        if cursor is None:
            break
    expected = {"measurements": 36, "performance": 30, "incidents": 132, "models": 153}[name]
    assert (len(entries), len(set(entries))) == (expected, expected)
    assert pages > 1 or name in ("measurements", "performance")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_too_long_by_itself_says_what_is_missing(context: ToolContext, bench: Any):
    (bench.services.home / "runbooks" / "long.md").write_text("# Long\n" + "word " * 12_000)
    first = call("runbooks", {"name": "long"}, context)
    sound(first)
    text, cursor = first.data["runbooks"][0]["text"], first.next
    while cursor:
        page = call("runbooks", {"name": "long", "cursor": cursor}, context)
        text, cursor = text + page.data["runbooks"][0]["text"], page.next
    assert len(text) == 7 + 60_000
    with bench.services.store.write() as session:
        row = session.scalars(select(Incident)).first()
        row.title = "z" * 90_000
        row.resolution = "w" * 90_000
    shown = call("incidents", {"id": row.id}, context)
    assert shown.status is Status.OK
    sound(shown)
    assert "more characters)" in json.dumps(shown.data)
