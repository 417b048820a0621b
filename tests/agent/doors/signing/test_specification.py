"""The whole specification, asked what it promises and what it does not: never a server error, signed in or not.

5,000 requests in CI: 2,500 cases that Schemathesis draws, each sent signed in and not.
`FUZZ=10000` (or `make fuzz`) sends more.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from agent.doors.api.tables import ARROW, PARQUET
from agent.doors.limits import Limits
from tests.agent.conftest import opened_bench
from tests.agent.doors.signing.conftest import Place, Visitor, bearer
from tests.conftest import Clock

CASES = int(os.environ.get("FUZZ", "5000"))
SETTINGS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": (Phase.explicit, Phase.generate),
    "suppress_health_check": list(HealthCheck),
}
TALK, TALK_LESS = ("/chat", "/ask"), 20
"""A turn of talk takes a hundred times as long as any other: asked less often."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, registry_template: Path) -> Iterator[Place]:
    folder, clock = tmp_path_factory.mktemp("place"), Clock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    with opened_bench(f"sqlite:///{folder / 'watchkeeper.db'}", folder, registry_template, clock) as bench:
        yield Place(bench)


def document(place: Place) -> dict[str, Any]:
    """The specification; an app makes it once."""
    found: dict[str, Any] = place.app.openapi()
    return found


@pytest.mark.timeout(3600)
def test_nothing_that_is_sent_is_a_server_error(place: Place) -> None:
    """Each case is sent twice, signed in and not: drawing it costs more than answering it."""
    place.person("root", "admin")
    place.app.state.limits = Limits(0, 1)
    headers = bearer(place.token("root"))
    operations = [found.ok() for found in schemathesis.openapi.from_dict(document(place)).get_all_operations()]
    assert len(operations) >= 35
    operations.sort(key=lambda one: (not one.path.endswith(TALK), bool(one.body), len(list(one.iter_parameters()))))
    asked = {operation.label: 0 for operation in operations}
    took: dict[str, float] = {}
    with (  # one event loop for all of it, not one for each request
        place.visitor(headers=headers, raise_server_exceptions=False) as known,
        place.visitor(raise_server_exceptions=False) as stranger,
    ):
        for number, operation in enumerate(operations):
            share = (CASES - sum(asked.values())) // (
                len(operations) - number
            )  # what the earlier could not take goes on
            count = max(share // TALK_LESS if operation.path.endswith(TALK) else share // 2, 2)
            start = time.process_time()
            asked[operation.label] = _ask(known, stranger, operation, count)
            took[operation.label] = time.process_time() - start
    sent, seconds = sum(asked.values()), sum(took.values())
    sys.stdout.write(
        f"{sent} requests to {len(asked)} operations in {seconds:.0f} s of one core; fewest {min(asked.values())}\n"
    )
    assert min(asked.values()) >= 2
    assert sent >= CASES * 9 // 10, asked


def _ask(known: Visitor, stranger: Visitor, operation: Any, count: int) -> int:
    """Send so many cases of one operation, each twice; gives how many requests that were."""
    sent = [0]

    @settings(max_examples=count, **SETTINGS)
    @given(operation.as_strategy())
    def call(case: Any) -> None:
        options = case.as_transport_kwargs(base_url=str(known.base_url))
        named = dict(options.pop("headers", {})).items()
        headers = {key: value for key, value in named if key.lower() not in ("authorization", "host")}
        options.pop("cookies", None)
        for browser in (known, stranger):
            sent[0] += 1
            reply = browser.request(headers=headers, **options)
            assert reply.status_code < 500, f"{case.method} {case.path}: {reply.status_code} {reply.text[:500]}"
        if not case.path.startswith(("/healthz", "/readyz")):
            assert reply.status_code in (401, 403, 404, 405, 413, 422), (case.method, case.path, reply.status_code)

    call()
    return sent[0]


def test_every_operation_is_described_with_examples(place: Place) -> None:
    found = document(place)
    assert found["openapi"].startswith("3.1")
    for path, verbs in found["paths"].items():
        for verb, operation in verbs.items():
            assert operation["summary"], (verb, path)
            assert operation["tags"], (verb, path)
            if verb == "post" and path.startswith("/api/") and not re.search("webhooks", path):
                names = {parameter["name"] for parameter in operation.get("parameters", [])}
                assert "idempotency-key" in names, path
            if path.startswith("/api/"):
                assert "application/problem+json" in operation["responses"]["401"]["content"], path
    assert without_example(found) == []


def without_example(found: dict[str, Any]) -> list[str]:
    """The operations with a body, or a good answer, that no example shows."""
    schemas = found["components"]["schemas"]

    def shown(part: Any, above: tuple[str, ...] = ()) -> bool:
        if isinstance(part, list):
            return any(shown(one, above) for one in part)
        if not isinstance(part, dict):
            return False
        name = str(part.get("$ref", "")).rpartition("/")[2]
        if (
            "example" in part
            or "examples" in part
            or (name and name not in above and shown(schemas[name], (*above, name)))
        ):
            return True
        return any(shown(one, above) for one in part.values())

    missing = []
    for path, verbs in found["paths"].items():
        for verb, operation in verbs.items():
            good = [answer["content"] for code, answer in operation["responses"].items() if code[0] == "2"]
            asked = [operation["requestBody"]["content"]] if "requestBody" in operation else []
            missing += [f"{verb} {path}" for content in (*good, *asked) if not shown(content)]
    return missing


CONTRACT = (
    "models", "models/{name}", "models/{name}/predictions", "models/{name}/labels", "models/{name}/measurements",
    "models/{name}/drift", "models/{name}/performance", "models/{name}/versions", "alerts", "incidents",
    "incidents/{id}", "proposals", "proposals/{id}", "proposals/{id}/approve", "proposals/{id}/reject",
    "executions/{id}", "chat", "reports", "audit", "freeze", "webhooks/alertmanager", "webhooks/grafana",
    "webhooks/generic",
)  # fmt: skip


def test_every_name_of_the_contract_is_there(place: Place) -> None:
    paths = document(place)["paths"]
    assert [path for path in CONTRACT if f"/api/v1/{path}" not in paths] == []
    assert {"/healthz", "/readyz", "/metrics"} <= set(paths)
    for path in ("predictions", "labels"):
        taken = paths[f"/api/v1/models/{{name}}/{path}"]["post"]["requestBody"]["content"]
        assert {"application/json", PARQUET, *ARROW} <= set(taken)
