"""The only adapter to LangChain: the catalogue as structured tools for `langchain.agents.create_agent`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tools.catalogue import call, offered_to
from tools.context import ToolContext
from tools.results import ToolResult

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool

OnResult = Callable[[str, dict[str, Any], ToolResult], None]
"""Told of every call: the tool's name, the arguments as they were sent, and the result."""
Fence = Callable[[str, ToolResult], str]
"""The text that a model reads of a result (with what is not to be trusted marked as such)."""


def as_text(name: str, result: ToolResult) -> str:
    """A result as plain JSON."""
    return json.dumps(result.document(), ensure_ascii=False)


def as_langchain(
    context: ToolContext, on_result: OnResult | None = None, fence: Fence = as_text
) -> list[StructuredTool]:
    """Every tool that the caller may use, bound to `context`. A caller who may not propose is not offered to.

    The arguments go to `tools.catalogue.call` as they are, so that what a model gets wrong is answered in words.
    """
    from langchain_core.tools import StructuredTool

    class CatalogueTool(StructuredTool):
        """Takes whatever arguments a model names: also `self` and `config`, which LangChain would take for its own."""

        def _run(self, /, *args: Any, **arguments: Any) -> tuple[str, ToolResult]:
            given = arguments or next((one for one in args if one), {})
            result = call(self.name, given, context)
            if on_result is not None:
                on_result(self.name, arguments, result)
            return fence(self.name, result), result

        async def _arun(self, /, *args: Any, **arguments: Any) -> tuple[str, ToolResult]:
            return await asyncio.to_thread(self._run, *args, **arguments)

    return [
        CatalogueTool(
            name=tool.name,
            description=tool.description,
            args_schema=tool.schema(),
            func=None,
            response_format="content_and_artifact",
            metadata={"effect": tool.effect},
        )
        for tool in offered_to(context.caller)
    ]
