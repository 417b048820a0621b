"""A browser for the doors' tests: the whole application, in this process, over the workspace of `bench`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from agent.doors.api.app import create_app
from tests.agent.conftest import Bench

HOST = "http://127.0.0.1:8000"


class Browser:
    """Asks the application; an error that is not answered fails the test."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("POST", path, **options)

    def api(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.get(f"/api/v1{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def browser(bench: Bench) -> Browser:
    return Browser(create_app(bench.services))


def whole_incident(bench: Bench, **named: Any) -> str:
    """An incident that has gone through the whole loop; gives its id."""
    from agent.pipeline.report import write_report
    from agent.store import queries
    from tests.agent.reports.story import Story, day

    with bench.services.store.write() as session:
        story = Story(session, **named).whole()
        write_report(bench.services, session, queries.spec_of(session, story.name), story.incident, day(43))
        return story.incident.id


@pytest.fixture
def full(bench: Bench) -> Callable[..., str]:
    """Call it for an incident that has gone through the whole loop; gives its id."""
    return partial(whole_incident, bench)
