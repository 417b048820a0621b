"""The closed list of what may be called, by a language model, an MCP client or plain Python: 14 reads, 7 proposals."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel

from ml.errors import WatchkeeperError
from tools import incidents, monitoring, propose, results
from tools.arguments import read, schema_of
from tools.context import Caller, ToolContext
from tools.results import ToolResult

LONGEST_DESCRIPTION = 400
READS = (
    monitoring.models, monitoring.measurements, monitoring.drift, monitoring.performance, monitoring.versions,
    monitoring.deployments, incidents.incidents, incidents.diagnosis, incidents.similar_incidents, incidents.runbooks,
    incidents.proposals, incidents.executions, monitoring.reports, monitoring.what_if,
)  # fmt: skip
PROPOSALS = (
    propose.propose_retrain, propose.propose_rollback, propose.propose_promote, propose.propose_recalibrate,
    propose.propose_refresh_reference, propose.propose_mark_data_unfit, propose.propose_silence,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tool:
    """One entry. `run` takes the context and the arguments by name; it may raise what `call` turns into a result."""

    name: str
    effect: Literal["read", "propose"]
    description: str
    arguments: type[BaseModel]
    run: Callable[..., ToolResult]

    def schema(self) -> dict[str, Any]:
        """The arguments as JSON Schema, in as few words as it takes: a model pays for each."""
        plain = self.arguments.model_json_schema()
        fields = {name: _plain(field) for name, field in plain.get("properties", {}).items()}
        required = plain.get("required", [])
        return {
            "title": self.name,
            "type": "object",
            "properties": fields,
            "required": required,
            "additionalProperties": False,
        }


def _plain(field: Mapping[str, Any]) -> dict[str, Any]:
    """A field without titles, and without the null that leaving it out means too."""
    kinds = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
    whole = {**field, **kinds[0]} if len(kinds) == 1 else dict(field)
    dropped = {"title", "anyOf"} | ({"default"} if whole.get("default") is None else set())
    return {key: value for key, value in whole.items() if key not in dropped}


def _tool(function: Callable[..., ToolResult], effect: Literal["read", "propose"]) -> Tool:
    name = function.__name__
    return Tool(name, effect, " ".join((inspect.getdoc(function) or "").split()), schema_of(name, function), function)


CATALOGUE: Mapping[str, Tool] = MappingProxyType(
    {f.__name__: _tool(f, "read") for f in READS} | {f.__name__: _tool(f, "propose") for f in PROPOSALS}
)


def offered_to(caller: Caller) -> list[Tool]:
    """The tools that a caller may use: who may not propose is not offered to."""
    return [tool for tool in CATALOGUE.values() if tool.effect == "read" or caller.may_propose]


def call(name: str, arguments: Mapping[str, Any] | str | None, context: ToolContext) -> ToolResult:
    """Call a tool with whatever a model sent. What it got wrong, and what is not there, is a result that says so; only
    our own mistakes raise."""
    tool = CATALOGUE.get(str(name))
    if tool is None:
        return results.error(f"There is no tool {str(name)[:60]!r}; the tools are {', '.join(CATALOGUE)}.")
    try:
        return tool.run(context, **read(tool.arguments, arguments))
    except WatchkeeperError as problem:
        return results.error(str(problem)[:2000])
