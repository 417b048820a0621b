"""Open Inference Protocol v2, as its REST specification has it."""

from __future__ import annotations

from typing import Any

import pytest

from ml.serving.routing import Routes
from tests.ml.serving.conftest import Counter, Shop

SIZE = {"name": "size", "shape": [2], "datatype": "FP64", "data": [80.0, 90.5]}
ROOMS = {"name": "rooms", "shape": [2, 1], "datatype": "INT32", "data": [[3], [4]]}
TOWN = {"name": "town", "shape": [2], "datatype": "BYTES", "data": ["Ulm", None]}
GARDEN = {"name": "garden", "shape": [2], "datatype": "BOOL", "data": [True, False]}
BUILT = {"name": "built", "shape": [2], "datatype": "BYTES", "data": ["1999-05-01", None]}
HOUSES = [SIZE, ROOMS, TOWN, GARDEN, BUILT]
PEOPLE = [
    {"name": "age", "shape": [2], "datatype": "FP32", "data": [70, 30]},
    {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["basic", "plus"]},
]


def test_tensors_in_tensors_out(counter: Counter) -> None:
    answer = counter.infer({"id": "order-7", "inputs": HOUSES})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "model_name": "price",
        "model_version": "1",
        "id": "order-7",
        "outputs": [{"name": "predict", "shape": [2], "datatype": "FP64", "data": [100.0, 100.0]}],
    }
    (record,) = counter.journalled()
    assert record.ids == ["order-7.0", "order-7.1"]
    assert {name: list(record.columns[name]) for name in ("rooms", "town", "garden")} == {
        "rooms": [3.0, 4.0],
        "town": ["Ulm", None],
        "garden": [True, False],
    }


def test_classes_and_scores(counter: Counter) -> None:
    answer = counter.infer({"inputs": PEOPLE}, "churn").json()
    predict, score = answer["outputs"]
    assert (predict["name"], predict["datatype"], predict["data"]) == ("predict", "INT64", [1, 0])
    assert (score["name"], score["datatype"], score["shape"]) == ("score", "FP64", [2])
    assert score["data"][0] > 0.5 > score["data"][1]
    only = counter.infer({"inputs": PEOPLE, "outputs": [{"name": "score"}]}, "churn").json()["outputs"]
    assert only == [score]


def test_an_id_is_made_where_none_is_given(counter: Counter) -> None:
    answer = counter.infer({"inputs": PEOPLE}, "churn")
    assert answer.json()["id"] == answer.headers["x-watchkeeper-prediction-id"]
    assert len(answer.json()["id"]) == 36


def test_one_matrix_has_the_columns_in_the_order_of_the_metadata(counter: Counter) -> None:
    names = [tensor["name"] for tensor in counter.client.get("/v2/models/churn").json()["inputs"]]
    rows = [{"age": 70, "plan": 1}, {"age": 30, "plan": 2}]
    flat = [row[name] for row in rows for name in names]
    matrix = {"name": "input-0", "shape": [2, 2], "datatype": "FP32", "data": flat}
    nested = matrix | {"data": [flat[:2], flat[2:]]}
    answers = [counter.infer({"id": "m", "inputs": [tensor]}, "churn").json() for tensor in (matrix, nested)]
    assert answers[0] == answers[1]
    assert answers[0]["outputs"][0]["data"] == [1, 0]
    for record in counter.journalled():
        assert list(record.columns["age"]) == [70, 30]
        assert record.columns["plan"] == ["1", "2"]


def test_a_version_that_is_named_answers(counter: Counter, shop: Shop) -> None:
    counter.tell(shop.state(Routes("1", "2", 1.0)))
    answer = counter.infer({"inputs": HOUSES}, "price/versions/3")
    assert answer.json()["model_version"] == "3"
    assert answer.json()["outputs"][0]["data"] == [300.0, 300.0]
    assert answer.headers["x-watchkeeper-route"] == "pinned"
    assert counter.infer({"inputs": HOUSES}).headers["x-watchkeeper-route"] == "canary"


@pytest.mark.parametrize("version", ["x", "-1", "1e9", "99999999999", "%2e%2e"])
def test_a_version_that_is_none_is_not_found(counter: Counter, version: str) -> None:
    answer = counter.infer({"inputs": HOUSES}, f"price/versions/{version}")
    assert answer.status_code == 404
    assert answer.json()["error"] == answer.json()["detail"]


def test_health_and_metadata(counter: Counter, shop: Shop) -> None:
    counter.tell(shop.state(Routes("1", "2", 0.1)))
    get = counter.client.get
    assert get("/v2").json()["name"] == "watchkeeper"
    assert get("/v2/health/live").json() == {"live": True}
    assert get("/v2/health/ready").json() == {"ready": True}
    assert get("/v2/models/price/ready").json() == {"name": "price", "ready": True}
    assert get("/v2/models/price/versions/1/ready").json()["ready"] is True
    assert get("/v2/models/price/versions/9/ready").status_code == 503
    assert get("/v2/models/x/ready").status_code == 404
    about = get("/v2/models/price").json()
    assert about["versions"] == ["1", "2"]
    assert about["inputs"] == [
        {"name": "size", "datatype": "FP64", "shape": [-1]},
        {"name": "rooms", "datatype": "FP64", "shape": [-1]},
        {"name": "town", "datatype": "BYTES", "shape": [-1]},
        {"name": "garden", "datatype": "BOOL", "shape": [-1]},
        {"name": "built", "datatype": "BYTES", "shape": [-1]},
    ]
    assert about["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [-1]}]
    assert [out["datatype"] for out in get("/v2/models/churn").json()["outputs"]] == ["INT64", "FP64"]


WRONG: dict[str, Any] = {
    "no object": [],
    "no inputs": {"inputs": []},
    "inputs that are none": {"inputs": {"size": 1}},
    "an input that is none": {"inputs": [1]},
    "an input without a name": {"inputs": [{"shape": [1], "datatype": "FP64", "data": [1]}]},
    "an id that is no text": {"id": 7, "inputs": HOUSES},
    "an unknown datatype": {"inputs": [SIZE | {"datatype": "FP128"}, *HOUSES[1:]]},
    "a datatype that is none": {"inputs": [SIZE | {"datatype": ["FP64"]}, *HOUSES[1:]]},
    "a datatype that does not suit": {"inputs": [SIZE | {"datatype": "BYTES", "data": ["1", "2"]}, *HOUSES[1:]]},
    "data of another datatype": {"inputs": [SIZE | {"datatype": "INT64"}, *HOUSES[1:]]},
    "no shape": {"inputs": [SIZE | {"shape": []}, *HOUSES[1:]]},
    "a shape that is none": {"inputs": [SIZE | {"shape": ["2"]}, *HOUSES[1:]]},
    "a shape below nought": {"inputs": [SIZE | {"shape": [-1]}, *HOUSES[1:]]},
    "a shape of other size": {"inputs": [SIZE | {"shape": [3]}, *HOUSES[1:]]},
    "a shape of too many places": {"inputs": [SIZE | {"shape": [1, 2]}, *HOUSES[1:]]},
    "a huge shape": {"inputs": [SIZE | {"shape": [2**31 - 1] * 3}, *HOUSES[1:]]},
    "no data": {"inputs": [{"name": "size", "shape": [2], "datatype": "FP64"}, *HOUSES[1:]]},
    "binary data": {"inputs": [SIZE | {"parameters": {"binary_data_size": 16}}, *HOUSES[1:]]},
    "lists and values mixed": {"inputs": [SIZE | {"data": [[80.0], 90.5]}, *HOUSES[1:]]},
    "a feature twice": {"inputs": [*HOUSES, SIZE]},
    "a feature missing": {"inputs": HOUSES[1:]},
    "an unknown feature": {"inputs": [*HOUSES, SIZE | {"name": "sise"}]},
    "other numbers of rows": {"inputs": [SIZE | {"shape": [1], "data": [1.0]}, *HOUSES[1:]]},
    "a matrix of another width": {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]},
    "a matrix of text": {"inputs": [{"name": "x", "shape": [1, 5], "datatype": "BYTES", "data": list("abcde")}]},
    "an unknown output": {"inputs": HOUSES, "outputs": [{"name": "embedding"}]},
    "outputs that are none": {"inputs": HOUSES, "outputs": ["predict"]},
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_the_error_of_the_protocol(counter: Counter, body: Any) -> None:
    answer = counter.infer(body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == answer.json()["detail"] != ""
    assert counter.journalled() == []


def test_binary_requests_are_refused_with_the_way_out(counter: Counter) -> None:
    headers = {"inference-header-content-length": "10"}
    answer = counter.client.post("/v2/models/price/infer", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:watchkeeper:binary-data")
