"""A server on a loopback port that speaks OpenAI's chat completions: streaming, tool calls, structured output, usage.

What it answers is scripted: a list of `Turn`s and `Fault`s, one for each request, the last one for all that follow;
or a function of the request. What it was asked stands in `requests`, and clients that went away are counted.
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fake_openai.faults import Fault, misbehave

NAME = "fake-1"


@dataclass(frozen=True)
class Turn:
    """One good answer: text, or tool calls `(name, arguments)`; arguments as text are sent as they are."""

    text: str | None = None
    tools: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    prompt_tokens: int = 40
    completion_tokens: int = 12
    pause: float = 0.0  # between the pieces of a stream

    def calls(self, number: int) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call_{number}_{index}",
                "type": "function",
                "function": {"name": name, "arguments": args if isinstance(args, str) else json.dumps(args)},
            }
            for index, (name, args) in enumerate(self.tools)
        ]

    def usage(self) -> dict[str, int]:
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }


Script = Sequence[Turn | Fault] | Callable[[dict[str, Any]], "Turn | Fault"]


@dataclass
class FakeOpenAI:
    """A running server. `script` may be changed between requests."""

    script: Script
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    went_away: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, body: dict[str, Any], headers: Mapping[str, str]) -> tuple[int, Turn | Fault]:
        with self.lock:
            self.requests.append(body)
            self.headers.append({key.lower(): value for key, value in headers.items()})
            number = len(self.requests)
            if callable(self.script):
                return number, self.script(body)
            return number, self.script[min(number, len(self.script)) - 1]

    def gone(self) -> None:
        with self.lock:
            self.went_away += 1


@contextmanager
def fake_openai(script: Script) -> Iterator[FakeOpenAI]:
    """A server for the length of a `with`; its `url` is what OPENAI_BASE_URL wants."""
    fake = FakeOpenAI(script)

    class Handler(_Handler):
        owner = fake

    server = _Server(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FakeOpenAI
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        self.close_connection = True
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
        if not self.path.endswith("/chat/completions"):
            self.send_whole(404, json.dumps({"error": {"message": f"no route {self.path}", "type": "not_found"}}))
            return
        number, turn = self.owner.next(body, dict(self.headers))
        try:
            if isinstance(turn, Fault):
                misbehave(self, turn, number, body)
            elif body.get("stream"):
                self.stream(number, turn, body)
            else:
                self.send_whole(200, json.dumps(whole(number, turn, body)))
        except (BrokenPipeError, ConnectionResetError, ConnectionAbortedError):
            self.owner.gone()

    def send_whole(
        self, status: int, text: str, headers: Mapping[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        payload = text.encode("utf-8", "surrogatepass")
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(payload)))
        self.send_header("connection", "close")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("connection", "close")
        self.end_headers()

    def event(self, data: Any) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()

    def stream(self, number: int, turn: Turn, body: Mapping[str, Any]) -> None:
        self.begin_stream()
        for piece in pieces(number, turn, body):
            if turn.pause and self.left(turn.pause):
                return
            self.event(piece)
        self.event("[DONE]")

    def left(self, seconds: float) -> bool:
        """Wait; whether the client went away (or the server is to stop) meanwhile."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0 and not self.owner.stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], min(rest, 0.02))
            if readable:
                try:
                    known = self.connection.recv(1, socket.MSG_PEEK)
                except OSError:
                    known = b""
                if not known:
                    self.owner.gone()
                    return True
        return self.owner.stopping.is_set()


def whole(number: int, turn: Turn, body: Mapping[str, Any]) -> dict[str, Any]:
    """A chat completion in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": turn.text, "refusal": None}
    if turn.tools:
        message["tool_calls"] = turn.calls(number)
    reason = "tool_calls" if turn.tools else "stop"
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body.get("model", NAME),
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": turn.usage(),
    }


def pieces(number: int, turn: Turn, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same as a stream: text by words, arguments by halves, usage last where it was asked for."""
    yield chunk(number, {"role": "assistant", "content": "" if turn.tools else None}, body)
    for word in _words(turn.text or ""):
        yield chunk(number, {"content": word}, body)
    for index, call in enumerate(turn.calls(number)):
        arguments = call["function"]["arguments"]
        first = {**call, "index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield chunk(number, {"tool_calls": [first]}, body)
        half = len(arguments) // 2
        for part in (arguments[:half], arguments[half:]):
            yield chunk(number, {"tool_calls": [{"index": index, "function": {"arguments": part}}]}, body)
    yield chunk(number, {}, body, "tool_calls" if turn.tools else "stop")
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**chunk(number, {}, body), "choices": [], "usage": turn.usage()}


def chunk(number: int, delta: dict[str, Any], body: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": body.get("model", NAME),
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}],
    }


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [word + (" " if index < len(words) - 1 else "") for index, word in enumerate(words)] if text else []
