"""Whatever is sent: an answer or a problem document, never a server error, and the server lives.

Schemathesis reads the OpenAPI document of the server itself; Hypothesis makes bodies that no document allows. 5,000
cases with every check (CHAOS_HOSTILE).
"""

from __future__ import annotations

import json
import os
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.ml.serving.conftest import HOUSE, Counter

CASES = int(os.environ.get("CHAOS_HOSTILE", "5000"))
QUIET = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
]
SETTINGS = {"deadline": None, "database": None, "suppress_health_check": QUIET, "phases": [Phase.generate]}

odd_numbers = st.sampled_from([0, -1, 1e308, -1e308, 10**400, -(10**30), 2**63, 5e-324, float("nan"), float("inf")])
odd_texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "\x00", "\ud800", "\u202eevil", "NaN", "null", "1e999", "2026-13-45", "9" * 5000, "'; DROP", "é" * 99]
    ),
)
cells: st.SearchStrategy[Any] = st.one_of(st.none(), st.booleans(), odd_numbers, odd_texts)
deep = st.recursive(
    cells,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(odd_texts, inner, max_size=4)),
    max_leaves=20,
)
columns = st.one_of(st.sampled_from([*HOUSE, "note", "customer", "prediction_id", "label"]), odd_texts)
rows = st.dictionaries(columns, st.one_of(cells, deep), max_size=8).map(lambda odd: {**HOUSE, **odd})
frames = st.one_of(
    st.fixed_dictionaries({"dataframe_records": st.lists(st.one_of(rows, deep), max_size=4)}),
    st.fixed_dictionaries({"dataframe_split": st.fixed_dictionaries({"columns": deep, "data": deep})}),
    st.fixed_dictionaries({"instances": deep}),
    st.fixed_dictionaries({"inputs": st.one_of(deep, rows)}),
    deep,
)
tensors = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.one_of(columns, deep),
                    "datatype": st.one_of(st.sampled_from(["FP64", "INT8", "UINT64", "BOOL", "BYTES", "FP16"]), deep),
                    "shape": st.one_of(st.lists(st.integers(-1, 2**40), max_size=3), deep),
                    "data": deep,
                }
            ),
            max_size=4,
        )
    },
    optional={"id": deep, "outputs": deep, "parameters": deep},
)
labels = st.one_of(
    st.fixed_dictionaries(
        {"rows": st.lists(st.fixed_dictionaries({"prediction_id": deep, "label": deep}), max_size=4)}
    ),
    deep,
)
bodies = st.one_of(
    frames.map(lambda data: ("/models/price/invocations", data)),
    frames.map(lambda data: ("/invocations?model=churn", data)),
    tensors.map(lambda data: ("/v2/models/price/infer", data)),
    tensors.map(lambda data: ("/v2/models/churn/versions/1/infer", data)),
    labels.map(lambda data: ("/models/churn/labels", data)),
)


def written(data: Any) -> bytes:
    """As a careless client writes it: NaN, Infinity and lone surrogates included."""
    return json.dumps(data, allow_nan=True).encode()


def assert_well(reply: httpx.Response) -> None:
    assert reply.status_code < 500, (
        f"{reply.request.method} {reply.request.url}: {reply.status_code} {reply.text[:500]}"
    )
    if reply.status_code >= 400:
        assert reply.headers["content-type"] == "application/problem+json"
        problem = reply.json()
        assert {"type", "title", "status", "detail"} <= set(problem)
        assert "Traceback" not in problem["detail"]


@pytest.mark.timeout(1800)
def test_no_body_makes_a_server_error(counter: Counter) -> None:
    @settings(max_examples=CASES // 2, **SETTINGS)
    @given(bodies)
    def send(asked: tuple[str, Any]) -> None:
        path, data = asked
        assert_well(counter.client.post(path, content=written(data), headers={"content-type": "application/json"}))

    send()
    assert counter.ask(HOUSE).json()["predictions"] == [pytest.approx(100.0)], "it answers as before"


@pytest.mark.timeout(1800)
def test_no_bytes_and_no_headers_make_a_server_error(counter: Counter) -> None:
    kinds = st.sampled_from(
        ["application/json", "text/csv", "text/csv; charset=utf-16", "", "a/b", "application/json;;"]
    )
    paths = st.sampled_from(
        ["/invocations", "/models/price/invocations", "/v2/models/price/infer", "/models/price/labels"]
    )
    names = st.sampled_from(
        ["x-watchkeeper-prediction-id", "x-watchkeeper-model", "content-encoding", "authorization", "accept"]
    )
    values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=300)

    @settings(max_examples=CASES // 10, **SETTINGS)
    @given(
        paths,
        kinds,
        st.one_of(st.binary(max_size=400), odd_texts.map(lambda t: t.encode("utf-8", "surrogatepass"))),
        names,
        values,
    )
    def send(path: str, kind: str, body: bytes, name: str, value: str) -> None:
        assert_well(counter.client.post(path, content=body, headers={"content-type": kind, name: value}))

    send()


@pytest.mark.timeout(1800)
def test_the_servers_own_document_leads_to_no_server_error(counter: Counter) -> None:
    schema = schemathesis.openapi.from_dict(counter.client.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 18
    each = max(CASES * 4 // 10 // len(operations), 5)
    for operation in operations:
        if operation.path.startswith("/jobs") or operation.path.endswith(("/jobs", "/explain")):
            continue  # not there without a place for jobs, and a process that explains

        @settings(max_examples=each, **SETTINGS)
        @given(operation.as_strategy())
        def call(case: Any) -> None:
            reply = case.call(base_url=str(counter.client.base_url))
            assert reply.status_code < 500 or (reply.status_code == 503 and "ready" in case.path), (
                f"{case.method} {case.path}: {reply.status_code} {reply.text[:300]}"
            )

        call()
