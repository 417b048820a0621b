"""HTTP as uvicorn speaks it, with each answer handed to the kernel at once instead of headers first, then the body.

The second write costs a system call and, for most clients, a second wake-up: a tenth of a small request.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST = 65_536
"""Bytes of a body that are copied behind the headers; a longer one is written on its own."""


class OneWrite:
    """A transport that keeps the headers of an answer back until its body comes, which it does in the same step."""

    __slots__ = ("_held", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""

    def write(self, data: bytes) -> None:
        held = self._held
        if held:
            self._held = b""
            if len(data) > _MOST:
                self._transport.write(held)
            else:
                data = held + data
        elif data[:9] == b"HTTP/1.1 " and data[9:10] != b"1":  # the head of an answer; "100 Continue" has no body
            self._held = data
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """uvicorn's own, over `OneWrite`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWrite(transport))  # type: ignore[arg-type]
