"""The whole specification, asked what it promises and what it does not: never a server error, signed in or not.

`FUZZ=5000` (or `make fuzz`) asks so often; in CI it is a tenth as many.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from agent.doors.limits import Limits
from tests.agent.doors.signing.conftest import Place, Visitor, bearer

CASES = int(os.environ.get("FUZZ", "500"))
SETTINGS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": (Phase.explicit, Phase.generate),
    "suppress_health_check": list(HealthCheck),
}
TALK = ("/chat", "/ask")
"""A turn of talk takes a hundred times as long as any other: asked less often."""


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


def document(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = place.app.openapi()
    return found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("who", ["signed in", "not signed in"])
def test_nothing_that_is_sent_is_a_server_error(place: Place, who: str) -> None:
    place.person("root", "admin")
    place.app.state.limits = Limits(0, 1)
    headers = bearer(place.token("root")) if who == "signed in" else {}
    browser = place.visitor(headers=headers, raise_server_exceptions=False)
    operations = [found.ok() for found in schemathesis.openapi.from_dict(document(place)).get_all_operations()]
    assert len(operations) >= 35
    sent = sum(_ask(browser, operation, who) for operation in operations)
    assert sent >= CASES // 3, "as many as were wanted, or the operation takes no more"


def _ask(browser: Visitor, operation: Any, who: str) -> int:
    """Ask one operation its share; gives how often."""
    count = max(CASES // 2 // 40, 2)
    if operation.path.endswith(TALK) and who == "signed in":
        count = max(count // 10, 1)
    asked = [0]

    @settings(max_examples=count, **SETTINGS)
    @given(operation.as_strategy())
    def call(case: Any) -> None:
        asked[0] += 1
        options = case.as_transport_kwargs(base_url=str(browser.base_url))
        named = dict(options.pop("headers", {})).items()
        given_headers = {key: value for key, value in named if key.lower() not in ("authorization", "host")}
        options.pop("cookies", None)
        reply = browser.request(headers=given_headers, **options)
        assert reply.status_code < 500, f"{case.method} {case.path}: {reply.status_code} {reply.text[:500]}"
        if who == "not signed in" and not case.path.startswith(("/healthz", "/readyz")):
            assert reply.status_code in (401, 403, 404, 405, 413, 422), (case.method, case.path, reply.status_code)

    call()
    return asked[0]


def test_every_operation_is_described_with_examples(place: Place) -> None:
    found = document(place)
    assert found["openapi"].startswith("3.1")
    for path, verbs in found["paths"].items():
        for verb, operation in verbs.items():
            assert operation["summary"], (verb, path)
            assert operation["tags"], (verb, path)
            if verb == "post" and path.startswith("/api/") and not re.search("webhooks|tokens", path):
                names = {parameter["name"] for parameter in operation.get("parameters", [])}
                assert "idempotency-key" in names, path
            if path.startswith("/api/"):
                assert "application/problem+json" in operation["responses"]["401"]["content"], path
    without = [
        name
        for name, schema in found["components"]["schemas"].items()
        if name.endswith("Body") and "example" not in str(schema)
    ]
    assert without == []


@pytest.mark.parametrize(
    "path",
    [
        "models", "models/{name}", "models/{name}/predictions", "models/{name}/labels", "models/{name}/measurements",
        "models/{name}/drift", "models/{name}/performance", "models/{name}/versions", "alerts", "incidents",
        "incidents/{id}", "proposals", "proposals/{id}", "proposals/{id}/approve", "proposals/{id}/reject",
        "executions/{id}", "chat", "reports", "audit", "freeze", "webhooks/alertmanager", "webhooks/grafana",
        "webhooks/generic",
    ],
)  # fmt: skip
def test_every_name_of_the_contract_is_there(place: Place, path: str) -> None:
    assert f"/api/v1/{path}" in document(place)["paths"]
