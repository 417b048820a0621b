"""Handing events to the app: over its sockets, or signed over HTTP; acknowledged or not, and how soon."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import secrets
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.websockets import WebSocket, WebSocketDisconnect

SOCKET_TYPE = {"event": "events_api", "interaction": "interactive", "command": "slash_commands"}


@dataclass
class Delivery:
    """One thing that was sent to the app. `wait()` until it is acknowledged; `seconds` is how long that took."""

    kind: str
    payload: dict[str, Any]
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    sent_at: float = 0.0
    acknowledged_at: float = 0.0
    status: int = 0
    response: dict[str, Any] = field(default_factory=dict)
    attempts: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    over_http: tuple[bytes, dict[str, str]] | None = None

    @property
    def seconds(self) -> float:
        return self.acknowledged_at - self.sent_at

    def wait(self, timeout: float = 10.0) -> Delivery:
        """Raises: TimeoutError when it is not acknowledged."""
        if not self.done.wait(timeout):
            raise TimeoutError(f"{self.kind} {self.id} was not acknowledged within {timeout} s")
        return self

    def acknowledge(self, status: int, response: dict[str, Any]) -> None:
        self.acknowledged_at, self.status, self.response = time.monotonic(), status, response
        self.done.set()


class Sockets:
    """The open Socket Mode connections; an envelope goes to one of them, and waits while there is none."""

    def __init__(self) -> None:
        self.open: list[WebSocket] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.unacknowledged: dict[str, Delivery] = {}
        self.acknowledged: list[str] = []
        self.connected = 0
        self._waiting: deque[Delivery] = deque()
        self._turn = itertools.count()

    def send(self, delivery: Delivery) -> None:
        """From any thread."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._send(delivery)))

    async def _send(self, delivery: Delivery) -> None:
        if not self.open:
            self._waiting.append(delivery)
            return
        socket = self.open[next(self._turn) % len(self.open)]
        self.unacknowledged[delivery.id] = delivery
        delivery.attempts += 1
        delivery.sent_at = delivery.sent_at or time.monotonic()
        retried = {"retry_attempt": delivery.attempts - 1, "retry_reason": "timeout" if delivery.attempts > 1 else ""}
        envelope = {
            "envelope_id": delivery.id,
            "type": SOCKET_TYPE[delivery.kind],
            "payload": delivery.payload,
            "accepts_response_payload": delivery.kind != "event",
            **(retried if delivery.kind == "event" else {}),
        }
        try:
            await socket.send_text(json.dumps(envelope))
        except (WebSocketDisconnect, RuntimeError):
            self._forget(socket)
            await self._send(delivery)

    async def serve(self, socket: WebSocket) -> None:
        """One connection, from `hello` to its end."""
        await socket.accept()
        self.connected += 1
        self.open.append(socket)
        hello = {"type": "hello", "num_connections": len(self.open), "connection_info": {"app_id": "A0WATCH"}}
        await socket.send_text(json.dumps({**hello, "debug_info": {"host": "loopback"}}))
        while self._waiting:
            await self._send(self._waiting.popleft())
        try:
            while True:
                said = json.loads(await socket.receive_text())
                delivery = self.unacknowledged.pop(said.get("envelope_id", ""), None)
                self.acknowledged.append(said.get("envelope_id", ""))
                if delivery is not None:
                    delivery.acknowledge(200, said.get("payload") or {})
        except (WebSocketDisconnect, RuntimeError, ValueError):
            pass
        finally:
            self._forget(socket)

    def _forget(self, socket: WebSocket) -> None:
        if socket in self.open:
            self.open.remove(socket)

    async def disconnect(self, reason: str, *, polite: bool) -> None:
        """End every connection: with Slack's `disconnect` frame first (it opens a new one), or without a word."""
        for socket in list(self.open):
            self._forget(socket)
            if polite:
                await socket.send_text(json.dumps({"type": "disconnect", "reason": reason, "debug_info": {}}))
                await asyncio.sleep(0.2)
            try:
                await socket.close(code=1001)
            except RuntimeError:
                continue


class OverHttp:
    """Signed requests to the app's request URL."""

    def __init__(self, url: str, secret: str, *, workers: int = 8) -> None:
        import httpx

        self.url, self.secret = url, secret
        limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
        self._client = httpx.Client(timeout=3.0, limits=limits, trust_env=False)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="loopback-http")

    def send(self, delivery: Delivery) -> None:
        self._pool.submit(self._post, delivery)

    def _post(self, delivery: Delivery) -> None:
        import httpx

        body, headers = signed(delivery.kind, delivery.payload, self.secret)
        delivery.over_http = (body, headers)
        delivery.attempts += 1
        delivery.sent_at = time.monotonic()
        if delivery.attempts > 1:
            headers |= {"x-slack-retry-num": str(delivery.attempts - 1), "x-slack-retry-reason": "http_error"}
        try:
            answer = self._client.post(self.url, content=body, headers=headers)
        except httpx.HTTPError:
            delivery.acknowledge(0, {})
            return
        said = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
        delivery.acknowledge(answer.status_code, said)

    def close(self) -> None:
        self._pool.shutdown(wait=False)
        self._client.close()


def signed(kind: str, payload: dict[str, Any], secret: str, *, at: float | None = None) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request, as Slack makes them."""
    stamp = str(int(time.time() if at is None else at))
    if kind == "event":
        body, content_type = json.dumps(payload).encode(), "application/json"
    else:
        fields = payload if kind == "command" else {"payload": json.dumps(payload)}
        body, content_type = urlencode(fields).encode(), "application/x-www-form-urlencoded"
    digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return body, {
        "content-type": content_type,
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={digest}",
        "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
    }
