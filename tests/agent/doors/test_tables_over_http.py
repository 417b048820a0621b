"""Rows as a Parquet or Arrow body land as the same rows in JSON do; what is no such table is refused, not unpacked."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.doors.api import tables
from agent.doors.api.tables import ARROW, PARQUET, rows_of
from tests.agent.conftest import Bench, rows

PATH = "/api/v1/models/churn"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def stream(table: pa.Table, *, file: bool = False) -> bytes:
    out = io.BytesIO()
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


KINDS: dict[str, Callable[[pa.Table], bytes]] = {
    PARQUET: parquet,
    ARROW[0]: stream,
    ARROW[1]: lambda table: stream(table, file=True),
}


def test_every_form_of_the_same_rows_is_the_same(bench: Bench, browser: Any) -> None:
    frame = rows(bench.clock(), 20).drop(columns="label").assign(prediction=1)
    table = pa.Table.from_pandas(frame)
    for kind, pack in KINDS.items():
        sent = browser.post(f"{PATH}/predictions", content=pack(table), headers={"content-type": kind})
        assert sent.status_code == 201, sent.text
        first = kind == PARQUET
        assert (sent.json()["stored"], sent.json()["duplicates"]) == ((20, 0) if first else (0, 20))
        assert sent.json()["prediction_ids"] == list(frame["prediction_id"])
    again = browser.post(
        f"{PATH}/predictions", json={"rows": json.loads(frame.to_json(orient="records", date_format="iso"))}
    )
    assert (again.json()["stored"], again.json()["duplicates"]) == (0, 20)
    labels = pa.table({"prediction_id": list(frame["prediction_id"])[:5], "label": [1, 0, 1, 0, 1]})
    known = browser.post(f"{PATH}/labels", content=parquet(labels), headers={"content-type": PARQUET})
    assert (known.status_code, known.json()["stored"], known.json()["unknown"]) == (201, 5, 0)


WRONG = {
    "parquet": b"PAR1" + b"\0" * 40 + b"PAR1",
    "file": b"ARROW1\0\0" + b"\xff" * 40,
    "stream": b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\0" * 40,
    "start": b"\xff\xff\xff\xff",
    "JSON without its type": b"{}",
    "nested": parquet(pa.table({"a": [[1, 2]]})),
    "bytes": parquet(pa.table({"a": [b"\xff\xfe"]})),
    "twice": stream(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])),
    "cut": parquet(pa.table({"a": [1]}))[:-9],
    "cut stream": stream(pa.table({"a": [1] * 50}))[:-60],
}


def test_what_is_no_table_is_a_problem_document(browser: Any) -> None:
    for name, body in WRONG.items():
        for kind in (PARQUET, "application/octet-stream"):
            sent = browser.post(f"{PATH}/predictions", content=body, headers={"content-type": kind})
            assert sent.status_code == 422, (name, sent.text)
            assert sent.headers["content-type"] == "application/problem+json"


def test_a_table_is_bounded_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    many = pa.table({"a": pa.array([1] * 101)})
    for pack in KINDS.values():
        assert len(rows_of(pack(many), 101)) == 101
        with pytest.raises(ValueError, match="at most 100 rows"):
            rows_of(pack(many), 100)
    monkeypatch.setattr(tables, "MOST_UNPACKED", 500_000)
    bomb = pa.table({"a": pa.array(["x" * 10_000] * 100)})
    for pack in KINDS.values():
        with pytest.raises(ValueError, match="unpacks to"):
            rows_of(pack(bomb), 100)
