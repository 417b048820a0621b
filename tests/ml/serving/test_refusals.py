"""What is refused, and that the problem document names row, column and rule."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest

from ml.serving.limits import Limits
from ml.serving.state import State
from tests.ml.serving.conftest import HOUSE, Counter, Shop

FAULTS: dict[str, tuple[dict[str, Any], tuple[str, str | None, int | None]]] = {
    "text for a number": (HOUSE | {"size": "large"}, ("wrong type", "size", 0)),
    "underscores in a number": (HOUSE | {"size": "1_000"}, ("wrong type", "size", 0)),
    "truth for a number": (HOUSE | {"size": True}, ("wrong type", "size", 0)),
    "a list in a cell": (HOUSE | {"town": ["Ulm"]}, ("wrong type", "town", 0)),
    "an object in a cell": (HOUSE | {"garden": {}}, ("wrong type", "garden", 0)),
    "a number for a time": (HOUSE | {"built": 1999}, ("wrong type", "built", 0)),
    "a number for a truth": (HOUSE | {"garden": 2}, ("wrong type", "garden", 0)),
    "a long category": (HOUSE | {"town": "U" * 1001}, ("too long", "town", 0)),
    "a long text": (HOUSE | {"note": "U" * 100_001}, ("too long", "note", 0)),
    "an unknown column": (HOUSE | {"sise": 1}, ("unknown column", "sise", None)),
    "a missing column": ({k: v for k, v in HOUSE.items() if k != "town"}, ("missing column", "town", None)),
    "an empty id": (HOUSE | {"prediction_id": ""}, ("wrong id", "prediction_id", 0)),
    "an id with a line end": (HOUSE | {"prediction_id": "a\nb"}, ("wrong id", "prediction_id", 0)),
    "an id that is none": (HOUSE | {"prediction_id": None}, ("wrong id", "prediction_id", 0)),
}


@pytest.mark.parametrize(("row", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_row_is_named_with_column_and_rule(
    counter: Counter, row: dict[str, Any], fault: tuple[Any, ...]
) -> None:
    answer = counter.ask(row)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    (first,) = problem["errors"]
    assert (first["rule"], first.get("column"), first.get("row")) == fault
    assert problem["type"] == f"urn:watchkeeper:{fault[0].replace(' ', '-')}"
    assert repr(fault[1]) in problem["detail"]
    assert (problem["error_code"], problem["message"]) == ("BAD_REQUEST", problem["detail"])
    assert counter.journalled() == []


def test_the_row_is_counted_from_nought(counter: Counter) -> None:
    answer = counter.ask(HOUSE, HOUSE, HOUSE | {"rooms": "many"}, HOUSE | {"rooms": "few"})
    assert [(fault["row"], fault["column"]) for fault in answer.json()["errors"]] == [(2, "rooms"), (3, "rooms")]


def test_a_near_miss_is_told(counter: Counter) -> None:
    assert "did you mean 'size'?" in counter.ask(HOUSE | {"sise": 1}).json()["detail"]


def test_an_id_that_stands_twice(counter: Counter) -> None:
    problem = counter.ask(*[HOUSE | {"prediction_id": "x"}] * 2).json()
    assert problem["errors"][0]["row"] == 1
    assert problem["errors"][0]["rule"] == "repeated id"


SHAPES: dict[str, Any] = {
    "a list": [HOUSE],
    "nothing known": {"data": [HOUSE]},
    "two formats": {"inputs": [HOUSE], "instances": [HOUSE]},
    "records that are none": {"dataframe_records": HOUSE},
    "a record that is none": {"dataframe_records": [HOUSE, 3]},
    "split that is none": {"dataframe_split": [[1]]},
    "split with a strange key": {"dataframe_split": {"columns": ["size"], "data": [[1]], "dtype": "x"}},
    "split with columns that are none": {"dataframe_split": {"columns": "size", "data": [[1]]}},
    "split with numbers for columns": {"dataframe_split": {"columns": [1], "data": [[1]]}},
    "split with a column twice": {"dataframe_split": {"columns": ["size", "size"], "data": [[1, 2]]}},
    "split with a short row": {"dataframe_split": {"columns": list(HOUSE), "data": [list(HOUSE.values()), [1]]}},
    "split with a row that is none": {"dataframe_split": {"columns": list(HOUSE), "data": [7]}},
    "instances as columns": {"instances": {"size": [1]}},
    "inputs of no shape": {"inputs": 3},
    "columns of several lengths": {"inputs": {"size": [1], "rooms": [1, 2]}},
    "columns of pairs": {"inputs": {"size": [[1, 2]]}},
    "a column that is an object": {"inputs": {"size": {"0": 1}}},
    "rows of another width": {"inputs": [[1, 2]]},
    "no rows": {"dataframe_records": []},
    "no rows in columns": {"inputs": {name: [] for name in HOUSE}},
    "parameters": {"inputs": [HOUSE], "params": {"temperature": 1}},
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_a_body_of_another_form_is_refused(counter: Counter, body: Any) -> None:
    answer = counter.score(body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]


BYTES: dict[str, bytes] = {
    "nothing": b"",
    "not json": b"{'inputs': 1}",
    "cut off": b'{"inputs": [{"size": 1',
    "not utf-8": b'{"inputs": [{"size": "\xff"}]}',
    "deep": b'{"inputs": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "deep, with a NaN": b'{"inputs": ' + b"[" * 50_000 + b"NaN" + b"]" * 50_000 + b"}",
    "a number of many digits": b'{"inputs": [{"size": ' + b"9" * 5_000 + b', "x": NaN}]}',
}


@pytest.mark.parametrize("body", BYTES.values(), ids=BYTES)
def test_a_body_that_is_none_is_refused(counter: Counter, body: bytes) -> None:
    answer = counter.score(body)
    assert answer.status_code == 400
    assert answer.json()["status"] == 400


def test_text_that_cannot_be_stored_is_made_so(counter: Counter) -> None:
    row = orjson.dumps({"inputs": [HOUSE]}).replace(b'"Ulm"', b'"U\\u0000l\\ud800m\\u202e"')
    answer = counter.score(row)
    assert answer.status_code == 200
    (record,) = counter.journalled()
    assert record.columns["town"] == ["Ul\ufffdm"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "application/xml"}, 415),
        ({"content_type": "application/json; charset=latin-1"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"x_watchkeeper_prediction_id": "a b"}, 400),
        ({"x_watchkeeper_prediction_id": "x" * 201}, 400),
    ],
)
def test_headers_that_are_not_understood(counter: Counter, headers: dict[str, str], status: int) -> None:
    assert counter.ask(HOUSE, **headers).status_code == status


CSV = {"a short line": b"size,rooms\n1\n", "an open quote": b'size\n"1', "not utf-8": b"size\n\xff\n", "empty": b""}


@pytest.mark.parametrize("body", CSV.values(), ids=CSV)
def test_csv_that_is_none_is_refused(counter: Counter, body: bytes) -> None:
    assert counter.score(body, content_type="text/csv").status_code == 400


class TestLimits:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(most_bytes=5_000, most_rows=3, seconds=20)

    def test_too_many_rows(self, counter: Counter) -> None:
        answer = counter.ask(*[HOUSE] * 4)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:watchkeeper:too-many-rows")
        lines = b"size,rooms,town,garden,built\n" + b"1,1,a,1,2020-01-01\n" * 4
        assert counter.score(lines, content_type="text/csv").status_code == 413

    def test_too_many_bytes_whether_announced_or_not(self, counter: Counter) -> None:
        assert counter.score(b"[" * 5_001).status_code == 413
        pieces = iter([b"[" * 3_000] * 3)
        answer = counter.client.post("/models/price/invocations", content=pieces)
        assert answer.status_code == 413


class TestRate:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(per_second=2)

    def test_more_than_the_rate_is_told_to_wait(self, counter: Counter) -> None:
        answers = [counter.ask(HOUSE) for _ in range(6)]
        assert {answer.status_code for answer in answers} == {200, 429}
        late = next(answer for answer in answers if answer.status_code == 429)
        assert int(late.headers["retry-after"]) >= 1
        assert counter.client.get("/ping").status_code == 200


class TestTokens:
    @pytest.fixture
    def tokens(self) -> tuple[str, ...]:
        return ("right",)

    def test_only_who_has_a_token_is_answered(self, counter: Counter) -> None:
        assert counter.ask(HOUSE).status_code == 401
        assert counter.ask(HOUSE, authorization="Bearer wrong").headers["www-authenticate"] == "Bearer"
        assert counter.ask(HOUSE, authorization="Basic right").status_code == 401
        assert counter.ask(HOUSE, authorization="Bearer right").status_code == 200
        assert counter.client.get("/v2/models/price").status_code == 401
        assert [counter.client.get(path).status_code for path in ("/ping", "/readyz", "/v2/health/live")] == [200] * 3


def test_what_is_not_there(counter: Counter) -> None:
    for path in (
        "/models/x/invocations",
        "/models/%00/invocations",
        "/v2/models/x/infer",
        "/nothing",
        "/models//labels",
    ):
        answer = counter.client.post(path, json={})
        assert answer.status_code == 404, path
        assert answer.json()["instance"]
    wrong = counter.client.get("/invocations")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_which_of_several_models_is_meant(counter: Counter) -> None:
    body = {"inputs": [HOUSE]}
    assert counter.client.post("/invocations", json=body).json()["type"] == "urn:watchkeeper:which-model"
    assert counter.client.post("/invocations?model=price", json=body).status_code == 200
    assert counter.client.post("/invocations", json=body, headers={"x-watchkeeper-model": "price"}).status_code == 200


def test_a_request_waits_a_little_for_a_model_that_is_about_to_be_served(counter: Counter, shop: Shop) -> None:
    counter.app.limits = Limits(patience=20)
    counter.tell(State(asked=True, waiting={"price": "version 1 is being prepared"}))
    later = threading.Timer(0.3, counter.tell, [shop.state()])
    later.start()
    assert counter.ask(HOUSE).status_code == 200
    later.join()


def test_a_server_that_has_nothing_yet_says_so(counter: Counter) -> None:
    counter.tell(State())
    for answer in (counter.ask(HOUSE), counter.client.get("/ping"), counter.client.get("/readyz")):
        assert answer.status_code == 503
    assert "has not been read yet" in counter.ask(HOUSE).json()["detail"]
    counter.tell(State(asked=True, waiting={"price": "version 1 is being prepared"}))
    answer = counter.ask(HOUSE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "version 1 is being prepared" in answer.json()["detail"]
