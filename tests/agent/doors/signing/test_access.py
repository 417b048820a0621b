"""Every route asked by every kind of caller, compared with a checked-in matrix; and what is tried to get round it.

After a route is added or changes its rule: `ACCESS_MATRIX=write pytest tests/agent/doors/signing/test_access.py`, and
read what the difference says.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import select

from agent.doors.access import needs, public
from agent.doors.api.app import create_app
from agent.doors.console import page
from agent.doors.routes import Declared, declared
from agent.pipeline import sessions, tokens
from agent.store.tables import ApiToken, Execution, Incident, Model, Person, Proposal, Report, WebSession
from tests.agent.conftest import SPEC, Bench, opened_bench
from tests.agent.doors.conftest import whole_incident
from tests.agent.doors.signing.conftest import Place
from tests.conftest import Clock

MATRIX = Path(__file__).with_name("access_matrix.txt")
CALLERS = (
    "anonymous", "viewer", "operator", "approver", "admin", "reader token", "agent", "other team",
    "expired session", "expired token", "revoked token", "ended session", "deactivated",
)  # fmt: skip
NOBODY = ("anonymous", "expired session", "expired token", "revoked token", "ended session", "deactivated")


async def status(app: FastAPI, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """What is answered, and where it leads: until the first byte, so that a stream holds nobody up."""
    found: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    given = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not given:
            await asyncio.sleep(60)
        return given.pop()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and not found.done():
            named = dict(message["headers"])
            found.set_result((message["status"], named.get(b"location", b"").decode()))

    where, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": where, "raw_path": where.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000"), *((k.encode(), v.encode()) for k, v in headers.items())],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    task = asyncio.create_task(app(scope, receive, send))
    both: set[asyncio.Future[Any]] = {task, found}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if task.done() and not found.done():
        await task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return await found


def said(code: int, location: str) -> str:
    """`in`, or how somebody is kept out."""
    if code == 303 and location.startswith("/sign-in?"):
        return "401"
    return str(code) if code in (401, 403, 404) else "in"


class Crowd:
    """One of each kind of caller."""

    def __init__(self, place: Place) -> None:
        self.place = place
        made = {role: place.person(role, role) for role in ("viewer", "operator", "approver", "admin")}
        made["other team"] = place.person("other", "admin", models=("other-*",))
        made["deactivated"] = place.person("gone", "admin")
        self.people: dict[str, Person] = made
        self.secrets = {
            "reader token": place.token("admin", "read").secret,
            "agent": place.token("admin", agent=True).secret,
            "expired token": place.token("admin", life=timedelta(hours=1)).secret,
            "revoked token": place.token("admin").secret,
        }
        with place.services.store.write() as session:
            for row in session.scalars(select(ApiToken)):
                if row.hash == tokens._hash(self.secrets["expired token"]):
                    row.expires_at = place.services.wall()
                if row.hash == tokens._hash(self.secrets["revoked token"]):
                    row.revoked_at = place.services.wall()
        place.deactivate("gone")
        self.kept: dict[str, dict[str, str]] = {}

    def headers(self, caller: str) -> dict[str, str]:
        if caller in self.secrets:
            return {"authorization": f"Bearer {self.secrets[caller]}"}
        if caller == "anonymous":
            return {}
        if caller not in self.kept:
            self.kept[caller] = self._signed_in(caller)
        return self.kept[caller]

    def _signed_in(self, caller: str) -> dict[str, str]:
        services = self.place.services
        person = self.people.get(caller, self.people["admin"])
        with services.store.write() as session:
            row = session.get_one(Person, person.id)
            row.active = True
            opened = sessions.open_session(session, services, row, how="password")
            row.active = caller != "deactivated"
            live = session.get_one(WebSession, opened.row.id)
            if caller == "expired session":
                live.expires_at = services.wall()
            if caller == "ended session":
                live.ended_at = services.wall()
        from agent.doors.access import _signature

        token = _signature(services, "session", opened.secret)
        return {"cookie": f"watchkeeper={opened.secret}", "x-csrf-token": token}


@dataclass
class World:
    """A workspace with an incident, and one of each kind of caller."""

    place: Place
    crowd: Crowd
    records: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Iterator[World]:
    """One for all tests here: they look, or are refused, and what they may change does not matter to the others."""
    folder, clock = tmp_path_factory.mktemp("world"), Clock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    with opened_bench(f"sqlite:///{folder / 'watchkeeper.db'}", folder, registry_template, clock) as bench:
        place = Place(bench)
        yield World(place, Crowd(place), records_of(bench))


@pytest.fixture
def place(world: World) -> Place:
    return world.place


@pytest.fixture
def crowd(world: World) -> Crowd:
    world.crowd.kept.clear()
    return world.crowd


@pytest.fixture
def records(world: World) -> dict[str, str]:
    return world.records


def records_of(bench: Bench) -> dict[str, str]:
    """A whole incident of bike-demand, by what paths call its parts; and a model of the other team."""
    incident = whole_incident(bench)
    with bench.services.store.read() as session:
        found = {
            "incidents": incident,
            "proposals": session.scalar(select(Proposal.id)),
            "executions": session.scalar(select(Execution.id)),
            "reports": session.scalar(select(Report.id).where(Report.incident_id == incident)),
            "model": session.scalar(select(Incident.model)),
        }
    with bench.services.store.write() as session:
        spec = SPEC.replace("name: churn", "name: other-one")
        session.add(Model(name="other-one", spec=spec, registered_at=bench.clock()))
    return found


def path_of(route: Declared, records: dict[str, str]) -> str:
    """A path with what is there in its place."""
    kind = "proposals" if "/approvals/" in route.path else route.path.removeprefix("/api/v1").split("/")[1]
    named = {"name": records["model"], "id": records.get(kind, "z-0000000000")}
    return re.sub(r"\{(\w+)[^}]*\}", lambda part: named.get(part[1]) or "z-0000000000", route.path)


def test_every_route_and_every_caller_are_as_the_matrix_says(
    place: Place, crowd: Crowd, records: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_fill", lambda *_: "")  # what a page looks like is shown elsewhere, and takes the time
    routes = [route for route in declared(place.app) if route.rule.how != "signed"]

    async def everything() -> list[str]:
        lines = []
        for route in routes:
            answers = []
            for caller in CALLERS:
                found = await status(place.app, route.method, path_of(route, records), crowd.headers(caller))
                answers.append(said(*found))
                if "sign-out" in route.path:  # it ends the session that it came with
                    crowd.kept.pop(caller, None)
            start = f"{route.method:6} {route.path:58} {route.rule!s:18}"
            lines.append(f"{start} {' '.join(f'{answer:4}' for answer in answers)}".rstrip())
        return lines

    place.app.state.attempts.address.burst = 10_000
    head = "# columns: " + ", ".join(CALLERS)
    found = [head, *sorted(asyncio.run(everything()), key=lambda line: line.split()[1::-1])]
    if os.environ.get("ACCESS_MATRIX") == "write":
        MATRIX.write_text("\n".join(found) + "\n", encoding="utf-8")
    assert found == MATRIX.read_text(encoding="utf-8").splitlines()


def rows() -> Iterator[tuple[str, str, str, dict[str, str]]]:
    for line in MATRIX.read_text(encoding="utf-8").splitlines()[1:]:
        parts = line.replace(", ", ",").split()
        yield parts[0], parts[1], parts[2], dict(zip(CALLERS, parts[3:], strict=True))


def test_the_matrix_itself_lets_nobody_in_who_should_stay_out() -> None:
    assert len(list(rows())) > 60
    for method, path, rule, answers in rows():
        if rule == "public":
            continue
        for caller in NOBODY:
            assert answers[caller] == "401", (method, path, caller)
        if rule.endswith((",decide", ",admin")):
            assert answers["agent"] == answers["reader token"] == "403", (method, path)
        if "{name}" in path:
            assert answers["other team"] in ("403", "404"), (method, path)
        if rule.startswith("admin"):
            assert answers["other team"] == "403", (method, path)
            assert {answers[role] for role in ("viewer", "operator", "approver")} == {"403"}, (method, path)
        if rule.startswith("approver"):
            assert answers["viewer"] == answers["operator"] == "403", (method, path)
        if rule.startswith("operator"):
            assert answers["viewer"] == "403", (method, path)


def test_no_form_of_another_page_is_taken(place: Place, crowd: Crowd, records: dict[str, str]) -> None:
    """Signed in as admin, with the right cookie and no token, or another's: nothing that writes goes through."""
    writes = [one for one in declared(place.app) if one.rule.how == "needs" and one.method not in ("GET", "HEAD")]
    assert len(writes) > 20

    async def everything() -> None:
        for route in writes:
            path, headers = path_of(route, records), crowd.headers("admin")
            other = crowd.headers("viewer")["x-csrf-token"]
            for token in ("", other, "x"):
                found = await status(place.app, route.method, path, {**headers, "x-csrf-token": token})
                assert found[0] == 403, (route, token)

    asyncio.run(everything())


def test_a_route_without_a_rule_is_no_app(place: Place, monkeypatch) -> None:
    from agent.doors.api import ask

    bare = APIRouter()
    bare.add_api_route("/bare", lambda: "in", dependencies=[])
    monkeypatch.setattr(ask, "router", bare)
    with pytest.raises(TypeError, match="/api/v1/bare declares 0 access rules"):
        create_app(place.services)
    double = APIRouter()
    double.add_api_route("/double", lambda: "in", dependencies=[needs("viewer"), public()])
    monkeypatch.setattr(ask, "router", double)
    with pytest.raises(TypeError, match="declares 2 access rules"):
        create_app(place.services)


def test_lists_show_another_team_nothing(place: Place, crowd: Crowd, records: dict[str, str]) -> None:
    browser = place.signed_in(crowd.people["other team"])
    for path in ("/models", "/alerts", "/incidents", "/proposals", "/reports"):
        answer = browser.get(f"/api/v1{path}")
        assert answer.status_code == 200
        assert records["model"] not in answer.text, path
    assert "other-one" in browser.get("/api/v1/models").text
    assert browser.get("/api/v1/audit").status_code == 403
    for path in ("/", "/incidents", "/approvals", "/alerts", "/reports", "/activity"):
        shown = browser.get(path)
        assert records["model"] not in shown.text, path
        assert records["incidents"] not in shown.text, path


def test_prometheus_is_told_of_the_models_that_its_token_sees(
    place: Place, crowd: Crowd, records: dict[str, str]
) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    def told(browser: Any) -> dict[str, set[str]]:
        answer = browser.get("/metrics")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/plain")
        return {
            family.name: {sample.labels.get("model", "") for sample in family.samples}
            for family in text_string_to_metric_families(answer.text)
        }

    whole = told(place.visitor(headers=crowd.headers("reader token")))
    other = told(place.signed_in(crowd.people["other team"]))
    assert records["model"] in whole["watchkeeper_measurement"]
    assert whole["watchkeeper_proposals"] == {records["model"]}
    assert {"watchkeeper_frozen", "watchkeeper_models", "watchkeeper_audit_events"} <= whole.keys()
    assert {"watchkeeper_audit_events", "watchkeeper_deliveries", "watchkeeper_inbound"}.isdisjoint(other)
    assert all(records["model"] not in models for models in other.values())
    assert place.visitor().get("/metrics").headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-user": "admin"},
        {"x-original-url": "/healthz"},
        {"x-rewrite-url": "/healthz"},
        {"x-http-method-override": "GET"},
        {"authorization": "Basic YWRtaW46YWRtaW4="},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wk_" + "a" * 43},
        {"cookie": "watchkeeper=; watchkeeper=x"},
        {"cookie": "__Host-watchkeeper=x; WATCHKEEPER=x"},
        {"x-forwarded-for": "127.0.0.1"},
        {"forwarded": "for=127.0.0.1;host=127.0.0.1"},
    ],
    ids=str,
)
def test_no_header_lets_anybody_in(place: Place, crowd: Crowd, headers: dict[str, str]) -> None:
    assert asyncio.run(status(place.app, "GET", "/api/v1/models", headers))[0] == 401
    assert asyncio.run(status(place.app, "POST", "/api/v1/freeze", headers))[0] == 401
