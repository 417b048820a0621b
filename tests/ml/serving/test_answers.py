"""What a caller gets: answers, ids, routes; and what is journalled of it."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from ml.serving.routing import Routes
from tests.ml.serving.conftest import HOUSE, Counter, Shop

BODIES: dict[str, Any] = {
    "split": {"dataframe_split": {"columns": list(HOUSE), "index": [7], "data": [list(HOUSE.values())]}},
    "records": {"dataframe_records": [HOUSE]},
    "instances": {"instances": [HOUSE]},
    "instances, by place": {"instances": [list(HOUSE.values())]},
    "inputs, columns": {"inputs": {name: [value] for name, value in HOUSE.items()}},
    "inputs, one row": {"inputs": HOUSE},
    "inputs, records": {"inputs": [HOUSE]},
    "inputs, by place": {"inputs": [list(HOUSE.values())]},
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_every_form_of_a_row_is_the_same_row(counter: Counter, body: Any) -> None:
    answer = counter.score(body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [100.0]
    (record,) = counter.journalled()
    assert {name: values[0] for name, values in record.columns.items() if name in HOUSE} == HOUSE | {
        "built": "1999-05-01T00:00:00+00:00"
    }


def test_a_table_of_comma_separated_values(counter: Counter) -> None:
    text = "size,rooms,town,garden,built\n80,3,Ulm,true,1999-05-01\n,,,,\n"
    answer = counter.score(text.encode(), content_type="text/csv; charset=utf-8")
    assert answer.json()["predictions"] == [100.0, 100.0]
    (record,) = counter.journalled()
    assert math.isnan(record.columns["size"][1])
    assert [record.columns[name][1] for name in ("town", "garden", "built")] == [None, None, None]


def test_the_answer_says_who_gave_it(counter: Counter) -> None:
    answer = counter.ask(HOUSE)
    made = answer.json()["prediction_ids"][0]
    assert {name: text for name, text in answer.headers.items() if name.startswith("x-watchkeeper")} == {
        "x-watchkeeper-model": "price",
        "x-watchkeeper-version": "1",
        "x-watchkeeper-route": "champion",
        "x-watchkeeper-prediction-id": made,
    }
    (record,) = counter.journalled()
    assert (record.ids, record.version, record.route, record.predictions) == ([made], "1", "champion", [100.0])


def test_an_id_is_kept_as_it_was_given(counter: Counter) -> None:
    by_header = counter.ask(HOUSE, x_watchkeeper_prediction_id="order-7")
    by_column = counter.ask(HOUSE | {"prediction_id": "a"}, HOUSE | {"prediction_id": 8})
    numbered = counter.ask(HOUSE, HOUSE, x_watchkeeper_prediction_id="order-9")
    assert by_header.json()["prediction_ids"] == ["order-7"]
    assert by_column.json()["prediction_ids"] == ["a", "8"]
    assert numbered.json()["prediction_ids"] == ["order-9.0", "order-9.1"]
    assert [record.ids for record in counter.journalled()] == [["order-7"], ["a", "8"], ["order-9.0", "order-9.1"]]


def test_scores_come_with_classes(counter: Counter) -> None:
    answer = counter.ask({"age": 70, "plan": "basic"}, {"age": 30, "plan": "basic"}, model="churn").json()
    assert answer["predictions"] == [1, 0]
    assert answer["scores"][0] > 0.5 > answer["scores"][1]


def test_what_is_odd_but_data_is_answered_and_journalled(counter: Counter) -> None:
    body = b"""{"inputs": {"size": [NaN, Infinity, "-Infinity", null], "rooms": ["3", 1e999, 3, 3.5],
        "town": ["Atlantis", null, 5, "NaN"], "garden": [null, "yes", 0, 1.0],
        "built": [null, null, null, "2020-02-30T25:00"]}}"""
    refused = counter.score(body)
    assert refused.status_code == 400
    assert refused.json()["errors"] == [
        {
            "row": 3,
            "column": "built",
            "rule": "wrong type",
            "what": "is not a time in ISO 8601, such as 2026-01-31T08:00:00Z; correct the value, or send null.",
        }
    ]
    assert counter.score(body.replace(b'"2020-02-30T25:00"', b'"2020-02-28"')).status_code == 200
    (record,) = counter.journalled()
    size = list(record.columns["size"])
    assert math.isnan(size[0])
    assert size[1:3] == [math.inf, -math.inf]
    assert record.columns["town"] == ["Atlantis", None, "5", None]
    assert record.columns["garden"] == [None, True, False, True]


def test_a_canary_takes_the_rows_of_its_customers_and_keeps_them(counter: Counter, shop: Shop) -> None:
    rows = [HOUSE | {"customer": f"c{number}", "prediction_id": f"p{number}"} for number in range(200)]
    counter.tell(shop.state(Routes("1", "2", 0.3)))
    first = counter.ask(*rows)
    taken = [prediction == 200.0 for prediction in first.json()["predictions"]]
    assert 30 < sum(taken) < 90
    assert first.headers["x-watchkeeper-version"] in ("1,2", "2,1")
    again = counter.ask(*[row | {"prediction_id": f"q{number}"} for number, row in enumerate(rows)][::-1])
    assert [prediction == 200.0 for prediction in again.json()["predictions"]][::-1] == taken
    written = {
        route: sum(len(r.ids) for r in counter.journalled() if r.route == route) for route in ("champion", "canary")
    }
    assert written == {"champion": 2 * (200 - sum(taken)), "canary": 2 * sum(taken)}
    alone = counter.ask(rows[taken.index(True)])
    assert (alone.headers["x-watchkeeper-route"], alone.json()["predictions"]) == ("canary", [200.0])


def test_a_request_without_an_entity_goes_one_way_by_its_id(counter: Counter, shop: Shop) -> None:
    counter.tell(shop.state(Routes("1", "2", 0.5)))
    ways: dict[int, set[tuple[float, ...]]] = {}
    for number in range(20):
        for _ in range(2):
            answer = counter.ask(HOUSE, HOUSE, x_watchkeeper_prediction_id=f"r{number}").json()["predictions"]
            ways.setdefault(number, set()).add(tuple(answer))
    assert {len(way) for way in ways.values()} == {1}
    assert {answer for way in ways.values() for answer in way} == {(100.0, 100.0), (200.0, 200.0)}


def test_a_shadow_answers_too_and_is_only_journalled(counter: Counter, shop: Shop) -> None:
    counter.tell(shop.state(Routes("1", shadow="3")))
    answer = counter.ask(HOUSE)
    assert answer.json()["predictions"] == [100.0]
    until = time.monotonic() + 10
    while len(counter.journalled()) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    champion, shadow = counter.journalled()
    assert (champion.route, champion.predictions) == ("champion", [100.0])
    assert (shadow.route, shadow.version, shadow.predictions) == ("shadow", "3", [300.0])
    assert shadow.ids == champion.ids == answer.json()["prediction_ids"]


def test_labels_go_where_the_answers_go(counter: Counter) -> None:
    one = counter.ask(HOUSE).json()["prediction_ids"][0]
    body = {"rows": [{"prediction_id": one, "label": 95.5}]}
    taken = counter.client.post("/models/price/labels", json=body)
    assert (taken.status_code, taken.json()) == (202, {"accepted": 1, "empty": 0})
    assert [record.labels for record in counter.journalled()[1:]] == [[95.5]]


def test_a_switch_is_seen_by_the_next_request(counter: Counter, shop: Shop) -> None:
    for version in ("2", "3", "1"):
        counter.tell(shop.state(Routes(version)))
        answer = counter.ask(HOUSE)
        assert (answer.headers["x-watchkeeper-version"], answer.json()["predictions"]) == (
            version,
            [100.0 * int(version)],
        )
