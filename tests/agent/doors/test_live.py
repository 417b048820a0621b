"""Live events: named by what changed, caught up with after a break, bounded, and over when the server is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI

from agent.doors.api.app import create_app
from agent.doors.console import live
from agent.pipeline import approve as decisions
from agent.store.tables import MeasurementRow
from tests.agent.conftest import Bench
from tests.agent.doors.test_api import repair


class Reader:
    """One page that listens: plain ASGI, so that pieces are seen as they are sent."""

    def __init__(self, app: FastAPI, headers: dict[str, str], query: str = "", stuck: bool = False) -> None:
        self.pieces: asyncio.Queue[str] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.stuck, self.closed = stuck, False
        scope = {
            "type": "http", "method": "GET", "path": "/live", "raw_path": b"/live", "query_string": query.encode(),
            "headers": [(b"host", b"127.0.0.1"), *((k.encode(), v.encode()) for k, v in headers.items())],
            "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "http_version": "1.1",
            "root_path": "", "asgi": {"version": "3.0"},
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            self.closed = self.closed or not message.get("more_body")
            await self.pieces.put(message["body"].decode())
            if self.stuck and "hello" not in message["body"].decode():
                await asyncio.Event().wait()

    async def until(self, text: str) -> str:
        """Everything that is heard until this is."""
        heard = ""
        async with asyncio.timeout(10):
            while text not in heard:
                heard += await self.pieces.get()
        return heard


@asynccontextmanager
async def listening(app: FastAPI, count: int = 1, **options: Any) -> AsyncIterator[list[Reader]]:
    readers = [Reader(app, options.pop("headers", {}), **options) for _ in range(count)]
    try:
        for reader in readers:
            await reader.until("hello")
        yield readers
    finally:
        for reader in readers:
            reader.gone.set()
        await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)


@pytest.fixture
def app(bench: Bench) -> FastAPI:
    return create_app(bench.services)


ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def _seen(app: FastAPI) -> Callable[[], bool]:
    return lambda: app.state.live.seen is not None


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


def test_every_reader_hears_what_changed(bench: Bench, app: FastAPI) -> None:
    wanted = bench.propose(repair(bench), incident=True)
    incident = bench.proposal(wanted).incident_id

    async def story() -> None:
        async with listening(app, 3) as readers:
            await _until(_seen(app))
            await asyncio.to_thread(decisions.approve, bench.services, wanted, person="ann")
            for reader in readers:
                heard = await reader.until("event: change")
                for topic in ("queue", f"proposal:{wanted}", f"incident:{incident}", "model:churn", "activity"):
                    assert f"event: {topic}\n" in heard
                assert f"id: {json.loads(heard.rpartition('data: ')[2])['seq']}\n" in heard
        assert not app.state.live.streams

    asyncio.run(story())


def test_a_look_is_told_though_it_is_not_audited(bench: Bench, app: FastAPI) -> None:
    from tests.agent.reports.story import Story

    async def story() -> None:
        async with listening(app) as (reader,):
            await _until(_seen(app))
            with bench.services.store.write() as session:
                Story(session).watched(values={1: 2.0})
                assert session.query(MeasurementRow).count() == 1
            assert "event: model:bike-demand\n" in await reader.until("event: change")

    asyncio.run(story())


@ON_SQLITE
@pytest.mark.parametrize("how", ["header", "query"])
def test_who_comes_back_hears_what_was_missed(bench: Bench, app: FastAPI, how: str) -> None:
    bench.propose(repair(bench))
    with bench.services.store.read() as session:
        last = live.mark(session).seq
    with bench.services.store.write() as session:
        _freeze(bench, session)

    async def story() -> None:
        known: Any = {"headers": {"last-event-id": str(last)}} if how == "header" else {"query": f"since={last}"}
        async with listening(app, **known) as (reader,):
            heard = await reader.until("event: change")
            assert "event: control\n" in heard
            assert "event: queue\n" not in heard

    asyncio.run(story())


@ON_SQLITE
@pytest.mark.parametrize("last", ["999999", "-1", "x", "9" * 40, "\u0665"])
def test_a_number_that_was_never_given_is_no_error(bench: Bench, app: FastAPI, last: str) -> None:
    bench.propose(repair(bench))

    async def story() -> None:
        async with listening(app, query=f"since={last}") as (reader,):
            if last == "999999":
                assert "event: everything\n" in await reader.until("event: change")

    asyncio.run(story())


@ON_SQLITE
def test_a_reader_who_does_not_read_is_sent_away_and_holds_up_nobody(bench: Bench, app: FastAPI) -> None:
    async def story() -> None:
        async with listening(app) as (reader,), listening(app, stuck=True):
            await _until(lambda: len(app.state.live.streams) == 2)
            for number in range(3 * live.MOST_WAITING):
                app.state.live._tell([live.Change("queue")], number)
                await reader.until(f"id: {number}\nevent: change")
            over = [stream for stream in app.state.live.streams if stream.over]
            assert len(over) == 1
            assert over[0].queue.qsize() == 2, "what it should hear is forgotten; when to come back is kept"

    asyncio.run(story())


def test_a_full_queue_ends_with_when_to_come_back() -> None:
    async def story() -> None:
        stream = live.Stream(None)
        for _ in range(live.MOST_WAITING + 5):
            stream.put(b"x")
        assert stream.over
        hint, end = stream.queue.get_nowait(), stream.queue.get_nowait()
        assert (hint or b"").startswith(b"retry: ")
        assert end is None
        assert stream.queue.empty()

    asyncio.run(story())


@ON_SQLITE
def test_it_ends_with_the_server(bench: Bench, app: FastAPI) -> None:
    async def story() -> None:
        app.state.ending = lambda: False
        async with listening(app, 2) as readers:
            await _until(_seen(app))
            app.state.live.ending = lambda: True
            await asyncio.wait_for(asyncio.gather(*(reader.task for reader in readers)), 5)
            assert all(reader.closed for reader in readers)

    asyncio.run(story())


def test_only_models_that_may_be_seen_are_named() -> None:
    changes = [live.Change("queue"), live.Change("model:a", "a"), live.Change("model:b", "b")]
    heard = live.pieces(changes, 7, lambda model: model == "a").decode()
    assert "model:a" in heard
    assert "model:b" not in heard
    assert json.loads(heard.strip().rpartition("data: ")[2]) == {"topics": ["queue", "model:a"], "seq": 7}


@ON_SQLITE
def test_a_database_that_is_gone_is_said_and_heals(bench: Bench, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.domain.errors import Unavailable

    async def story() -> None:
        async with listening(app) as (reader,):
            await _until(_seen(app))
            look, hub = app.state.live._look, app.state.live

            def gone() -> None:
                raise Unavailable("the database is gone")

            monkeypatch.setattr(hub, "_look", gone)
            await reader.until("event: lost")
            monkeypatch.setattr(hub, "_look", look)
            await reader.until("event: everything")

    asyncio.run(story())


def _freeze(bench: Bench, session: Any) -> None:
    from agent.pipeline.freeze import freeze

    freeze(bench.services, session, person="ann", reason="test")
