"""The MCP server, asked by the official client: over stdio as a process, over HTTP with our tokens."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from sqlalchemy import func, select

from agent.commands.serve import listen
from agent.doors.mcp import http_app
from agent.pipeline import tokens
from agent.store.tables import AuditEvent, Base, Proposal
from tests.agent.tools.conftest import tell

WANTED = {"model": "idle", "until": "24h", "why": "the feed moves house; see i-1"}


class Served:
    """A server on a free port, and tokens for it."""

    def __init__(self, services: Any, resource: str) -> None:
        self.services, self.resource = services, resource

    def token(
        self, *, propose: bool = True, life: str = "1d", models: tuple[str, ...] = (), audience: str = ""
    ) -> tokens.Made:
        return tokens.create(
            self.services, name="test", person="ann", scopes=("read", "propose") if propose else ("read",),
            models=models, audience=audience or self.resource, life=timedelta(days=float(life.rstrip("d"))),
        )  # fmt: skip

    @asynccontextmanager
    async def client(self, secret: str) -> Any:
        headers = {"authorization": f"Bearer {secret}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(self.resource, http_client=http)) as client,
        ):
            yield client

    def post(self, secret: str | None, method: str = "tools/list", **params: Any) -> httpx2.Response:
        headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        if secret is not None:
            headers["authorization"] = f"Bearer {secret}"
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return httpx2.post(self.resource, json=body, headers=headers)


@pytest.fixture
def served(bench: Any) -> Iterator[Served]:
    with bench.services.store.write() as session:
        tell(session)
    with listen("127.0.0.1", 0) as listening:
        resource = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        app = http_app(bench.services, resource)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Served(bench.services, resource)
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def count(services: Any) -> dict[str, int]:
    with services.store.read() as session:
        return {t.name: session.scalar(select(func.count()).select_from(t)) or 0 for t in Base.metadata.sorted_tables}


async def lists_reads_and_proposes(client: Any, services: Any, person: str) -> None:
    """What the official client can do, whichever way it came; and what came of it in the records."""
    listed = (await client.list_tools()).tools
    assert len(listed) == 21
    hints = {tool.name: tool.annotations.read_only_hint for tool in listed}
    assert [name for name, reads in hints.items() if reads != (not name.startswith("propose_"))] == []
    assert not any(word in name for name in hints for word in ("approve", "reject", "execute", "decide"))

    before = await asyncio.to_thread(count, services)
    read = await client.call_tool("incidents", {"model": "bike-demand"})
    found = json.loads(read.content[0].text)
    assert (read.is_error, found["status"], len(found["data"]["incidents"])) == (False, "ok", 2)
    wrong = await client.call_tool("incidents", {"modle": "bike-demand"})
    assert wrong.is_error
    assert "modle" in wrong.content[0].text
    assert await asyncio.to_thread(count, services) == before

    filed = await client.call_tool("propose_silence", WANTED)
    assert filed.is_error is False, filed.content[0].text
    wanted = json.loads(filed.content[0].text)["data"]["proposal"]["id"]
    with services.store.read() as session:
        row = session.get_one(Proposal, wanted)
        assert (row.kind, row.state, row.risk, row.requested_by) == ("silence", "pending", "low", person)
        told = session.scalars(
            select(AuditEvent).where(AuditEvent.subject == wanted, AuditEvent.event == "proposal requested")
        )
        assert [event.actor for event in told] == [person]
    after = await asyncio.to_thread(count, services)
    assert {name for name in after if after[name] != before[name]} == {"proposal", "audit", "outbox"}
    again = await client.call_tool("propose_silence", WANTED)
    assert again.is_error
    assert wanted in again.content[0].text


def test_over_http_the_official_client_lists_reads_and_proposes(served: Served):
    async def talk() -> None:
        async with served.client(served.token().secret) as client:
            await lists_reads_and_proposes(client, served.services, "ann")

    asyncio.run(talk())


def test_who_may_only_read_is_offered_reading_and_refused_the_rest_with_403(served: Served):
    made = served.token(propose=False)

    async def talk() -> None:
        async with served.client(made.secret) as client:
            assert len((await client.list_tools()).tools) == 14

    asyncio.run(talk())
    before = count(served.services)
    refused = served.post(made.secret, "tools/call", name="propose_silence", arguments=WANTED)
    assert refused.status_code == 403
    challenge = refused.headers["www-authenticate"]
    assert challenge.startswith('Bearer error="insufficient_scope"')
    assert 'scope="read propose"' in challenge
    assert 'resource_metadata="http://127.0.0.1' in challenge
    assert refused.json()["error"] == "insufficient_scope"
    assert count(served.services) == before


def expired(served: Served) -> str:
    made = served.token(life="1d")
    served.services.wall.advance("25h")
    return made.secret


def revoked(served: Served) -> str:
    made = served.token()
    tokens.revoke(served.services, made.row.id, person="ann")
    return made.secret


REFUSED: dict[str, Callable[[Served], str | None]] = {
    "none": lambda served: None,
    "two words": lambda served: "wk_a b",
    "unknown": lambda served: "wk_" + "x" * 43,
    "not ours": lambda served: "Zm9vYmFy",
    "an id": lambda served: served.token().row.id,
    "its hash": lambda served: served.token().row.hash,
    "very long": lambda served: "wk_" + "x" * 7000,
    "expired": expired,
    "revoked": revoked,
    "for another address": lambda served: served.token(audience="https://other.example/mcp").secret,
    "for the same host, another path": lambda served: served.token(audience=served.resource + "2").secret,
    "read only for another address": lambda served: served.token(propose=False, audience="https://x.example/mcp").secret,
}  # fmt: skip


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_token_that_does_not_open_is_401_and_says_where_to_look(served: Served):
    for which, made in REFUSED.items():
        secret = made(served)
        before = count(served.services)
        for method, params in (("tools/list", {}), ("tools/call", {"name": "propose_silence", "arguments": WANTED})):
            refused = served.post(secret, method, **params)
            assert (which, refused.status_code) == (which, 401)
            challenge = refused.headers["www-authenticate"]
            assert challenge.startswith("Bearer ")
            assert 'error="invalid_token"' in challenge
            where = challenge.partition('resource_metadata="')[2].rstrip('"')
            assert httpx2.get(where).json()["resource"] == served.resource
        assert count(served.services) == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_the_scope_to_read_it_is_403(served: Served):
    made = tokens.create(
        served.services,
        name="odd",
        person="ann",
        scopes=("propose",),
        models=(),
        audience=served.resource,
        life=timedelta(days=1),
    )
    refused = served.post(made.secret)
    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_metadata_says_what_a_token_is_for(served: Served):
    where = served.resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    found = httpx2.get(where).json()
    assert found["resource"] == served.resource
    assert found["scopes_supported"] == ["read", "propose"]
    assert found["bearer_methods_supported"] == ["header"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_token_sees_its_models_alone_and_ends_at_once(served: Served):
    made = served.token(models=("idl*",))

    async def talk() -> None:
        async with served.client(made.secret) as client:
            seen = json.loads((await client.call_tool("models", {})).content[0].text)
            assert [one["name"] for one in seen["data"]["models"]] == ["idle"]
            assert (await client.call_tool("drift", {"model": "bike-demand"})).is_error

    asyncio.run(talk())
    tokens.revoke(served.services, made.row.id, person="ben")
    assert served.post(made.secret).status_code == 401


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_bad_requests_are_refused_without_a_server_error(served: Served):
    secret = served.token().secret
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json", "accept": "application/json"}
    for body in (
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"method": 5}',
        b"\xff\xfe",
        b'{"params": {"name": ["propose_silence"]}}',
    ):
        assert 400 <= httpx2.post(served.resource, content=body, headers=headers).status_code < 500
    assert httpx2.post(served.resource, content=b"x" * 3_000_000, headers=headers).status_code == 413
    foreign = {**headers, "host": "attacker.example"}
    assert httpx2.post(served.resource, content=b"{}", headers=foreign).status_code in (403, 421)
    foreign = {**headers, "origin": "https://attacker.example"}
    assert httpx2.post(served.resource, content=b"{}", headers=foreign).status_code == 403


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_over_stdio_the_official_client_lists_reads_and_proposes(bench: Any):
    (bench.services.home / "watchkeeper.yaml").write_text("")
    with bench.services.store.write() as session:
        tell(session)

    async def talk() -> None:
        program = StdioServerParameters(
            command=sys.executable,
            args=["-c", "from agent.cli import main; main()", "mcp", "--as", "ann", "--home", str(bench.services.home)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        async with Client(stdio_client(program)) as client:
            await lists_reads_and_proposes(client, bench.services, "ann")

    asyncio.run(talk())
