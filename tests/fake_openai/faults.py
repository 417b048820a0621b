"""Sixteen ways in which a language model's server fails, each as the client sees it, streaming or not."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    RATE_LIMIT = "429 with Retry-After"
    SERVER_ERROR = "500"
    RESET = "reset"
    HANG = "hang"
    TRICKLE = "trickle"
    TRUNCATED_JSON = "truncated JSON"
    HTML = "HTML with status 200"
    EMPTY_CHOICES = "empty choices"
    NULL_CONTENT = "null content"
    HALF_ARGUMENTS = "half-written tool arguments"
    WRONG_ARGUMENTS = "wrong tool arguments"
    UNKNOWN_TOOL = "unknown tool"
    LONE_SURROGATES = "lone surrogates"
    STREAM_CUT = "stream cut"
    ERROR_IN_STREAM = "error inside the stream"
    ENDLESS_TOOLS = "endless tool loop"


LONG = 60.0
"""Longer than any test waits, in seconds."""


def misbehave(handler: Any, fault: Fault, number: int, body: Mapping[str, Any]) -> None:
    """Answer one request wrongly."""
    match fault:
        case Fault.RATE_LIMIT:
            problem = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
            handler.send_whole(429, json.dumps(problem), {"retry-after": "30"})
        case Fault.SERVER_ERROR:
            handler.send_whole(500, json.dumps({"error": {"message": "broken", "type": "server_error"}}))
        case Fault.RESET:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        case Fault.HANG:
            handler.left(LONG)
        case Fault.TRICKLE:
            _trickle(handler, number, body)
        case Fault.HTML:
            handler.send_whole(200, "<html><body><h1>Sign in to the proxy</h1></body></html>", kind="text/html")
        case Fault.STREAM_CUT | Fault.TRUNCATED_JSON:
            _cut(handler, fault, number, body)
        case Fault.ERROR_IN_STREAM:
            _error_inside(handler, number, body)
        case _:
            _nonsense(handler, fault, number, body)


def _trickle(handler: Any, number: int, body: Mapping[str, Any]) -> None:
    """A byte now and then: every single read is quick, the whole never comes."""
    text = json.dumps(_completion(number, body, {"role": "assistant", "content": "slowly " * 400}))
    if body.get("stream"):
        handler.begin_stream()
        for word in ["slowly "] * 400:
            handler.event(_chunk(number, body, {"content": word}))
            if handler.left(0.1):
                return
        return
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(text)))
    handler.end_headers()
    for letter in text:
        handler.wfile.write(letter.encode())
        handler.wfile.flush()
        if handler.left(0.1):
            return


def _cut(handler: Any, fault: Fault, number: int, body: Mapping[str, Any]) -> None:
    """The text ends in the middle: of a JSON document that says it is whole, or of the connection."""
    whole = json.dumps(_completion(number, body, {"role": "assistant", "content": "Everything is fine."}))
    if body.get("stream"):
        handler.begin_stream()
        handler.event(_chunk(number, body, {"role": "assistant", "content": "Everything "}))
        if fault is Fault.TRUNCATED_JSON:
            handler.event(json.dumps(_chunk(number, body, {"content": "is fine"}))[:60])
        return  # no finish reason, no [DONE]: the connection just ends
    if fault is Fault.TRUNCATED_JSON:
        handler.send_whole(200, whole[: len(whole) // 2])
        return
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(whole)))
    handler.end_headers()
    handler.wfile.write(whole[: len(whole) // 2].encode())


def _error_inside(handler: Any, number: int, body: Mapping[str, Any]) -> None:
    problem = {"error": {"message": "the engine is overloaded", "type": "server_error", "code": None, "param": None}}
    if not body.get("stream"):
        handler.send_whole(200, json.dumps(problem))
        return
    handler.begin_stream()
    handler.event(_chunk(number, body, {"role": "assistant", "content": "I am "}))
    handler.event(problem)


def _nonsense(handler: Any, fault: Fault, number: int, body: Mapping[str, Any]) -> None:
    """A well-formed answer that says nothing that can be used."""
    tool = _some_tool(body)
    message: dict[str, Any] = {"role": "assistant", "content": None}
    match fault:
        case Fault.HALF_ARGUMENTS:
            message["tool_calls"] = [_call(number, tool, '{"model": "bike-dem')]
        case Fault.WRONG_ARGUMENTS:
            message["tool_calls"] = [_call(number, tool, '{"modle": 7, "since": ["x"]}')]
        case Fault.UNKNOWN_TOOL:
            message["tool_calls"] = [_call(number, "approve_everything", '{"id": "p-7k2m9xq4c1"}')]
        case Fault.ENDLESS_TOOLS:
            message["tool_calls"] = [_call(number, tool, json.dumps({"model": f"m{number}"}))]
        case Fault.LONE_SURROGATES:
            message["content"] = "All is well \ud83d, and \udc00 nothing else."
    done = "tool_calls" if "tool_calls" in message else "stop"
    if not body.get("stream"):
        document = _completion(number, body, message, done)
        if fault is Fault.EMPTY_CHOICES:
            document["choices"] = []
        handler.send_whole(200, json.dumps(document))
        return
    handler.begin_stream()
    if fault is not Fault.EMPTY_CHOICES:
        calls = [{**call, "index": index} for index, call in enumerate(message.pop("tool_calls", []))]
        handler.event(_chunk(number, body, {**message, **({"tool_calls": calls} if calls else {})}))
        handler.event(_chunk(number, body, {}, done))
    handler.event({**_chunk(number, body, {}), "choices": []})
    handler.event("[DONE]")


def _some_tool(body: Mapping[str, Any]) -> str:
    tools = [tool["function"]["name"] for tool in body.get("tools") or []]
    return next((name for name in ("drift", *tools) if name in tools), "models")


def _call(number: int, name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _completion(number: int, body: Mapping[str, Any], message: dict[str, Any], reason: str = "stop") -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def _chunk(number: int, body: Mapping[str, Any], delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": body.get("model", ""),
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}],
    }
