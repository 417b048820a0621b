"""Whether what a model sent can be used at all; clients take much for a success that is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

MOST_CALLS = 16
LONGEST_TEXT = 100_000
LONGEST_ARGUMENTS = 100_000


def complaint(message: AIMessage, *, tools: bool, arguments: Sequence[str] = ()) -> str:
    """Why an answer is of no use; "" where it is sound.

    tools: whether any were offered. arguments: of its tool calls, as they were streamed.

    Seen as success by openai 3.52 and langchain-openai 1.7: a stream that ends without a finish reason, no choice at
    all, arguments cut in half (closed by a forgiving parser), text that no encoding has.
    """
    metadata: dict[str, Any] = message.response_metadata or {}
    reason = metadata.get("finish_reason")
    if message.invalid_tool_calls or not all(_whole(text) for text in arguments):
        return "its tool arguments are half-written"
    if reason is None and metadata.get("model_provider", "openai") == "openai":
        return "its answer was cut off"
    if reason == "length":
        return "its answer was cut off at its longest"
    if reason == "content_filter":
        return "its provider withheld the answer"
    if len(message.tool_calls) > MOST_CALLS:
        return f"it called {len(message.tool_calls)} tools at once"
    if message.tool_calls and not tools:
        return "it called a tool where there is none"
    if not message.tool_calls and not message.text.strip():
        return "its answer is empty"
    if len(message.text) > LONGEST_TEXT:
        return "its answer has no end"
    return _unwritable(message)


def _unwritable(message: AIMessage) -> str:
    for text in (message.text, *(json.dumps(call["args"], ensure_ascii=False) for call in message.tool_calls)):
        try:
            text.encode()
        except UnicodeEncodeError:
            return "its answer has characters that no encoding has"
    return ""


def _whole(arguments: str) -> bool:
    if not arguments:
        return True
    if len(arguments) > LONGEST_ARGUMENTS:
        return False
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
