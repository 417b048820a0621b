"""A request and a reply, as the application sees them, and the body that must be read with care."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import Message, Receive

from ml.serving.problems import Refused

JSON = b"application/json"


@dataclass(slots=True)
class Request:
    """One request. headers: names in small letters; where one stands twice, the last. caller: a short name of who asks,
    None where nobody needs a token."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    query: bytes
    receive: Receive
    client: str
    caller: str | None = None

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(slots=True)
class Reply:
    """One answer. after: what is done once it has left. stream: the body in parts, instead of `body`."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    after: Callable[[], None] | None = None
    stream: AsyncIterator[bytes] | None = None


Handler = Callable[[Request], Coroutine[Any, Any, Reply]]


def json_reply(data: Any, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    return Reply(status, orjson.dumps(data), headers=headers or [])


async def read_body(request: Request, most: int) -> bytes:
    """The whole body. Raises: Refused when it is longer than `most` bytes, compressed, or cut off."""
    _check_head(request, most)
    message = await request.receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and len(body) <= most:  # the usual body comes at once
        return body
    return b"".join([part async for part in _parts(request, message, most)])


async def read_parts(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises: as `read_body`."""
    _check_head(request, most)
    async for part in _parts(request, await request.receive(), most):
        yield part


def _check_head(request: Request, most: int) -> None:
    headers = request.headers
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(415, "content encoding", "Compressed bodies are not taken; send it as it is.")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and (len(length) > 15 or int(length) > most):
        raise _too_long(most)


async def _parts(request: Request, message: Message, most: int) -> AsyncIterator[bytes]:
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Refused(400, "cut off", "The connection was closed in the middle of the body.")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_long(most)
        yield part
        if not message.get("more_body"):
            return
        message = await request.receive()


def _too_long(most: int) -> Refused:
    return Refused(413, "too long", f"The body is longer than {most / 1024**2:g} MB; send fewer rows at once.")
