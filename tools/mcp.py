"""The only adapter to the Model Context Protocol: the catalogue on an `MCPServer` of the official library."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from mcp.types import Tool as Listed

from tools.catalogue import call, offered_to
from tools.context import ToolContext
from tools.langchain import Fence, as_text
from tools.results import Status

INSTRUCTIONS = (
    "Watchkeeper watches machine-learning models in production. Read with the tools, cite the ids in `evidence`, say "
    "`no data` where a result says so. A propose_ tool only puts a proposal in the queue: a person decides, elsewhere."
)
Who = Callable[[], Awaitable[ToolContext]]
"""The context of whoever makes the request that is being answered."""


class CatalogueServer(MCPServer[Any]):
    """Lists what the caller may use, and answers every call through `tools.catalogue.call`."""

    def __init__(
        self,
        who: Who,
        *,
        version: str,
        fence: Fence = as_text,
        explained: str = "",
        auth: AuthSettings | None = None,
        verifier: TokenVerifier | None = None,
    ) -> None:
        super().__init__(
            "watchkeeper",
            title="Watchkeeper",
            instructions=f"{INSTRUCTIONS} {explained}".strip(),
            version=version,
            auth=auth,
            token_verifier=verifier,
            log_level="WARNING",
            subscriptions=False,
        )
        self._who, self._fence = who, fence

    async def list_tools(self) -> list[Listed]:
        """The tools that the caller is offered; the effect is said as MCP's annotations have it."""
        context = await self._who()
        return [
            Listed(
                name=tool.name,
                description=tool.description,
                input_schema=tool.schema(),
                annotations=ToolAnnotations(
                    read_only_hint=tool.effect == "read", destructive_hint=False, open_world_hint=False
                ),
            )
            for tool in offered_to(context.caller)
        ]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult:
        """One call; what went wrong is a result with `is_error`, in words that a model can use."""
        mine = await self._who()
        result = await asyncio.to_thread(call, name, arguments, mine)
        text = self._fence(name, result)
        return CallToolResult(content=[TextContent(type="text", text=text)], is_error=result.status is Status.ERROR)
