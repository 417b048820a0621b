"""A wire to PostgreSQL on which every answer takes its time: a proxy on a loopback port in front of its socket.

What the client sends goes through at once; each piece of an answer leaves so many seconds after it came. So a statement
costs one delay however long it is, and a transaction of three statements and a commit costs four.
"""

from __future__ import annotations

import asyncio
import threading


class SlowWire:
    """`port` is where the slow database answers; its connections are served by a thread of their own."""

    def __init__(self, socket_path: str, seconds: float) -> None:
        self.seconds = seconds
        self._path = socket_path
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="slow-wire", daemon=True)
        self._thread.start()
        ready.wait(10)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)

        async def listen() -> None:
            server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        self._loop.run_until_complete(listen())
        self._loop.run_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._path)
        await asyncio.gather(self._forth(reader, inner_writer), self._back(inner_reader, writer))

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self._loop.call_later(self.seconds, writer.write, data)
        self._loop.call_later(self.seconds, writer.close)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
