"""A request and a reply, as the application sees them, and the body that must be read with care."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import Receive

from ml.serving.problems import Refused

JSON = b"application/json"


@dataclass(slots=True)
class Request:
    """One request. headers: names in small letters; where one stands twice, the last."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    query: bytes
    receive: Receive
    client: str

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(slots=True)
class Reply:
    """One answer. after: what is done once it has left."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    after: Callable[[], None] | None = None


Handler = Callable[[Request], Coroutine[Any, Any, Reply]]


def json_reply(data: Any, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(data))


async def read_body(request: Request, most: int) -> bytes:
    """The whole body. Raises: Refused when it is longer than `most` bytes, compressed, or cut off."""
    headers = request.headers
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(415, "content encoding", "Compressed bodies are not taken; send it as it is.")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and (len(length) > 15 or int(length) > most):
        raise _too_long(most)
    message = await request.receive()
    if not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > most:
            raise _too_long(most)
        return body
    parts, size = [message["body"]], len(message["body"])
    while message.get("more_body"):
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "cut off", "The connection was closed in the middle of the body.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise _too_long(most)
    return b"".join(parts)


def _too_long(most: int) -> Refused:
    return Refused(413, "too long", f"The body is longer than {most / 1024**2:g} MB; send fewer rows at once.")
