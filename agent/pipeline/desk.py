"""The desk that conversations work at: the workspace's models, records and tools, and nothing that changes a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.conversation.desk import Desk
from agent.pipeline.services import Services
from agent.pipeline.tooling import tool_context
from tools.catalogue import call
from tools.context import Caller
from tools.results import ToolResult


@dataclass(frozen=True)
class Tools:
    """The catalogue over a workspace; each call reads, or files, in transactions of its own."""

    services: Services

    def call(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> ToolResult:
        return call(name, arguments, tool_context(self.services, caller, may_propose=caller.may_propose))


def desk_of(services: Services) -> Desk:
    """What `agent.conversation` needs of a workspace."""
    return Desk(
        models=services.llm,
        store=services.store,
        toolbox=Tools(services),
        now=services.now,
        wall=services.wall,
        public_url=services.public_url,
    )
