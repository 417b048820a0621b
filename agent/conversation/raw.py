"""Tool arguments as they came over the wire: a forgiving parser closes what is cut off, and then it looks whole."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler


class RawArguments(AsyncCallbackHandler):
    """Listens to one model; `texts` are the arguments of the call that is under way, a text for each tool call."""

    def __init__(self) -> None:
        self._parts: dict[object, str] = defaultdict(str)

    @property
    def texts(self) -> list[str]:
        return list(self._parts.values())

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self._parts.clear()

    async def on_llm_new_token(self, *args: Any, chunk: Any = None, **kwargs: Any) -> None:
        for part in getattr(getattr(chunk, "message", None), "tool_call_chunks", ()):
            self._parts[part.get("index")] += part.get("args") or ""
