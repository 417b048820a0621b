"""Every error is a problem document; nothing that comes in makes one of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.domain.errors import Conflict, Expired, InvalidInput, NotAllowed, NotFound, Unavailable
from agent.doors.api import problems
from agent.doors.clean import clean
from ml.errors import SpecError
from tests.agent.conftest import Bench
from tests.agent.doors.conftest import Browser

POSTS = (
    "/models/churn/predictions",
    "/models/churn/labels",
    "/proposals/p-1/approve",
    "/proposals/p-1/reject",
    "/freeze",
    "/ask",
)
BAD = {
    "nothing": b"",
    "no json": b"{",
    "not utf-8": b"\xff\xfe\x00",
    "nan": b'{"rows": NaN}',
    "nan inside": b'{"rows": [{"age": NaN, "timestamp": "2026-01-01", "prediction": Infinity}], "person": NaN}',
    "surrogate": b'{"rows": [{"\\ud800": "\\udfff"}], "person": "\\ud800", "reason": "\\udcff", "question": "\\ud800"}',
    "nul": b'{"rows": [{"a\\u0000": "\\u0000"}], "person": "\\u0000", "reason": "\\u0000", "question": "\\u0000"}',
    "huge whole number": b'{"rows": [{"age": 1' + b"0" * 400 + b'}], "person": 1' + b"0" * 400 + b"}",
    "number too long to read": b'{"rows": ' + b"9" * 5000 + b"}",
    "huge float": b'{"rows": [{"age": 1e999, "timestamp": "2026-01-01", "prediction": 1e999, "plan": "a"}]}',
    "deep": b"[" * 100_000,
    "deep inside": b'{"rows": [{"age": ' + b"[" * 500 + b"]" * 500 + b"}]}",
    "wrong types": b'{"rows": {"a": 1}, "person": [], "reason": 3, "question": {}, "digest": 5}',
    "nested": b'{"rows": [{"age": {"a": [1]}, "plan": [2]}], "person": "ann", "reason": "", "question": ""}',
    "odd times": b'{"rows": [{"timestamp": 1e300, "prediction": true, "age": "x", "plan": {}}]}',
    "far times": b'{"rows": [{"timestamp": "9999-12-31T23:59:59-14:00", "age": 1, "plan": "a", "prediction": 1}]}',
    "a megabyte": b'{"rows": [{"age": "'
    + b"a" * 2**20
    + b'"}], "person": "'
    + b"b" * 2**20
    + b'", "question": "'
    + b"c" * 2**20
    + b'"}',
    "list": b"[1, 2, 3]",
    "text": b'"x"',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_no_body_breaks_it(browser: Browser, body: bytes) -> None:
    for path in POSTS:
        answer = browser.post(f"/api/v1{path}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code < 500, (path, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == problems.MEDIA_TYPE
            assert answer.json()["detail"]
            assert len(answer.content) < 20_000, "what was sent is not sent back"


HOSTILE = ("%00", "%ED%A0%80", "%FF", "..%2F..%2Fetc", "a" * 5000, "' OR 1=1 --", "%25", "_", "\u202e", "9" * 400)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_it(browser: Browser, name: str) -> None:
    paths = [
        "/models/X",
        "/models/X/drift",
        "/models/X/versions",
        "/incidents/X",
        "/proposals/X",
        "/executions/X",
        "/reports/X",
    ]
    for path in [f"/api/v1{path}" for path in paths] + ["/incidents/X", "/reports/X"]:
        answer = browser.get(path.replace("X", name))
        assert answer.status_code in (404, 422), (path, answer.text[:300])


@pytest.mark.parametrize(
    "query",
    [
        "cursor=x",
        "cursor=bnVsbA",
        "cursor=W10",
        "cursor=WzFlOTld",
        "cursor=%00",
        "cursor=" + "A" * 5000,
        "limit=0",
        "limit=" + "9" * 30,
        "limit=x",
        "since=0001-01-01T00:00:00%2B14:00",
        "since=x",
        "since=1e400",
        "since=9999-12-31T23:59:59-14:00",
    ],
)
def test_no_query_breaks_it(browser: Browser, query: str) -> None:
    for path in ("/models/churn/measurements", "/alerts", "/incidents", "/proposals", "/reports", "/audit"):
        assert browser.get(f"/api/v1{path}?{query}").status_code in (200, 422), path
    assert browser.get(f"/api/v1/audit?{query}&subject=%00%ED%A0%80").status_code in (200, 422)


@pytest.mark.parametrize(
    ("error", "status", "type"),
    [
        (NotFound("no"), 404, "not-found"),
        (InvalidInput("no"), 422, "invalid-input"),
        (SpecError("no"), 422, "invalid-input"),
        (NotAllowed("no"), 403, "not-allowed"),
        (Conflict("no"), 409, "conflict"),
        (Expired("no"), 409, "conflict"),
        (Unavailable("no"), 503, "unavailable"),
    ],
)
def test_our_errors_have_one_status_each(error: Exception, status: int, type: str) -> None:
    problem = problems.explain(error)
    assert (problem.status, problem.type, problem.detail) == (status, f"urn:watchkeeper:{type}", "no")


def test_what_is_not_ours_is_not_described() -> None:
    problem = problems.explain(RuntimeError("password=hunter2"))
    assert problem.status == 500
    assert "hunter2" not in problem.model_dump_json()


def test_a_validation_error_names_the_field_and_not_the_input(browser: Browser) -> None:
    answer = browser.post("/api/v1/freeze", json={"person": {"secret": "hunter2"}, "reason": "x"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == "body.person"
    assert "hunter2" not in answer.text


def test_a_database_that_is_down_is_said(bench: Bench, browser: Browser) -> None:
    from sqlalchemy import event
    from sqlalchemy.exc import OperationalError

    def fail(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    event.listen(bench.services.store.engine, "begin", fail)
    try:
        answer = browser.get("/api/v1/models")
        page = browser.get("/")
    finally:
        event.remove(bench.services.store.engine, "begin", fail)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "disk I/O error" in answer.json()["detail"]
    assert page.status_code == 503
    assert "disk I/O error" in page.text


def test_a_database_without_tables_is_not_ready(bench: Bench, browser: Browser) -> None:
    from sqlalchemy import text

    assert browser.get("/readyz").status_code == 200
    with bench.services.store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    answer = browser.get("/readyz")
    assert answer.status_code == 503
    assert "db upgrade" in answer.json()["detail"]


def test_clean_reaches_keys_and_values() -> None:
    assert clean({"a\x00": "c\u202ed", "n": 3, "none": None}) == {"a": "cd", "n": 3, "none": None}
    assert clean("\ud800") == "\ufffd"


def test_the_description_is_openapi_3_1_with_examples(browser: Browser) -> None:
    document = browser.api("/openapi.json")
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Watchkeeper"
    assert {"/api/v1/models/{name}/predictions", "/api/v1/proposals/{id}/approve", "/api/v1/ask"} <= set(
        document["paths"]
    )
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            assert route.get("summary"), (method, path)
            assert {"200", "201", "202", "204"} & set(route["responses"]), (method, path)
    json.dumps(document, allow_nan=False)


def test_a_full_workspace_lists_and_pages(browser: Browser, full: Callable[..., str]) -> None:
    full()
    seen: list[int] = []
    cursor = None
    while True:
        part = browser.api("/audit", limit=4, **({"cursor": cursor} if cursor else {}))
        seen += [event["seq"] for event in part["items"]]
        cursor = part["next"]
        if cursor is None:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen) == seen[0]
