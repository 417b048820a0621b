"""`GET /live`: what changed, as server-sent events, for as many pages as are open.

One poller for all streams of a process asks the records how far they go; each stream has a short queue. An event is
named by its topic (`agent.pipeline.happenings`), so that a page listens to what it shows:

    id: 1841
    event: proposal:p-7k2m9xq4c1
    data: {"topic": "proposal:p-7k2m9xq4c1", "seq": 1841}

`change` follows each batch with all its topics, `everything` says that more changed than can be told (look again),
`lost` that the records cannot be reached. Whoever comes back with `Last-Event-ID` hears what was missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agent.domain.errors import Unavailable
from agent.doors.access import PrincipalDep, needs
from agent.doors.api.inputs import ServicesDep
from agent.pipeline.happenings import EVERYTHING, Change, Mark, mark, since
from agent.pipeline.services import Services

EVERY = 0.1
"""Seconds between two looks at the records: one short query."""
BEAT = 15.0
MOST_WAITING = 32
"""Events that wait for one reader; one who is slower is sent away, to come back and catch up."""
SLOWEST = 10.0
"""Seconds that one piece may take to be sent."""
LONGEST = 300.0
"""Seconds after which a stream ends, and the page that comes back is asked anew who it is."""
COME_BACK = "retry: {}\n\n"
log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)


@dataclass(eq=False, slots=True)
class Stream:
    """One reader. `sees`: whether it may be told of a model; None is all of them."""

    sees: Callable[[str], bool] | None
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING + 1))
    over: bool = False

    def put(self, piece: bytes | None) -> None:
        """Queue a piece; a full queue ends the stream. None is its end."""
        if self.over:
            return
        if piece is None or self.queue.qsize() >= MOST_WAITING:
            self.over = True
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(COME_BACK.format(random.randint(500, 3000)).encode())
            self.queue.put_nowait(None)
        else:
            self.queue.put_nowait(piece)


class Hub:
    """The streams of one event loop, and the poller that runs while there is one."""

    def __init__(self, services: Services, ending: Callable[[], bool]) -> None:
        self.services = services
        self.ending = ending
        self.loop = asyncio.get_running_loop()
        self.streams: set[Stream] = set()
        self.seen: Mark | None = None
        self._poller: asyncio.Task[None] | None = None

    async def join(self, stream: Stream, last: int | None) -> None:
        """Add a reader; first it hears what it missed after the event `last`."""
        self.streams.add(stream)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(), name="live")
        if last is not None:
            with contextlib.suppress(Unavailable):
                changes, seq = await asyncio.to_thread(self._missed, last)
                if changes:
                    stream.put(pieces(changes, seq, stream.sees))

    def leave(self, stream: Stream) -> None:
        self.streams.discard(stream)

    def _missed(self, last: int) -> tuple[list[Change], int]:
        with self.services.store.read() as session:
            now = mark(session)
            if not 0 <= last <= now.seq:
                return [Change(EVERYTHING)], now.seq
            return since(session, replace(now, seq=last), now), now.seq

    async def _poll(self) -> None:
        """Look, tell, wait; ends when nobody listens. However it ends, so do all streams: the pages come back."""
        beat, lost = self.loop.time() + BEAT, False
        try:
            with ThreadPoolExecutor(1, "live") as thread:
                while self.streams and not self.ending():
                    try:
                        changes, seq = await self.loop.run_in_executor(thread, self._look)
                        self._tell([Change(EVERYTHING)] if lost else changes, seq)
                        lost = False
                    except Unavailable as error:
                        if not lost:
                            log.warning("no live events: %s", error)
                            self._tell_all(b"event: lost\ndata: {}\n\n")
                        lost = True
                    if self.loop.time() >= beat:
                        self._tell_all(b": still here\n\n")
                        beat = self.loop.time() + BEAT
                    await asyncio.sleep(1.0 if lost else EVERY)
        finally:
            self.seen = None
            self._tell_all(None)

    def _look(self) -> tuple[list[Change], int]:
        with self.services.store.read() as session:
            now = mark(session)
            changes = [] if self.seen is None else since(session, self.seen, now)
        self.seen = now
        return changes, now.seq

    def _tell(self, changes: list[Change], seq: int) -> None:
        if not changes:
            return
        whole = pieces(changes, seq, None)
        for stream in list(self.streams):
            stream.put(whole if stream.sees is None else pieces(changes, seq, stream.sees))

    def _tell_all(self, piece: bytes | None) -> None:
        for stream in list(self.streams):
            stream.put(piece)


def pieces(changes: Iterable[Change], seq: int, sees: Callable[[str], bool] | None) -> bytes:
    """The events of a batch as they are sent, without those of models that the reader may not see."""
    topics = [one.topic for one in changes if one.model is None or sees is None or sees(one.model)]
    named = [(topic, {"topic": topic, "seq": seq}) for topic in topics]
    events = [*named, ("change", {"topics": topics, "seq": seq})]
    return "".join(f"id: {seq}\nevent: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events).encode()


class LiveResponse(Response):
    """The stream itself, over plain ASGI: two tasks and a short queue for each reader."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, sees: Callable[[str], bool] | None, last: int | None) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self.hub, self.sees, self.last = hub, sees, last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = Stream(self.sees)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sender = asyncio.create_task(self._send(stream, send))
        listener = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sender, listener}, timeout=LONGEST, return_when=asyncio.FIRST_COMPLETED)
            still_there = not listener.done() and not (sender.done() and sender.exception())
        finally:
            self.hub.leave(stream)
            for task in (sender, listener):
                task.cancel()
            await asyncio.gather(sender, listener, return_exceptions=True)
        if still_there:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, stream: Stream, send: Send) -> None:
        await _send_piece(send, b"retry: 1000\nevent: hello\ndata: {}\n\n")
        await self.hub.join(stream, self.last)
        while (piece := await stream.queue.get()) is not None:
            await _send_piece(send, piece)


async def _send_piece(send: Send, piece: bytes) -> None:
    async with asyncio.timeout(SLOWEST):
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def hub_of(request: Request, services: Services) -> Hub:
    """The hub of this process, one for each event loop (tests have several)."""
    state = request.app.state
    hub: Hub | None = getattr(state, "live", None)
    if hub is None or hub.loop is not asyncio.get_running_loop():
        hub = state.live = Hub(services, getattr(state, "ending", lambda: False))
    return hub


@router.get("/live", dependencies=[needs("viewer")])
async def live(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    last_event_id: Annotated[str, Header()] = "",
    since: str = "",
) -> Response:
    """`since`: the number of the last event that the page itself shows, for its first visit."""
    known = last_event_id or since
    last = int(known) if known.isascii() and known.isdigit() and len(known) < 19 else None
    sees = None if principal.models is None else principal.sees
    return LiveResponse(hub_of(request, services), sees, last)
