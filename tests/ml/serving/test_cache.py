"""Remembered answers are the model's own, row by row, until their time is over."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from ml.errors import DataError
from ml.serving.cache import CachingEngine
from ml.serving.follower import Follower
from ml.serving.routing import Routes
from ml.serving.rows import Answers, Rows
from ml.serving.state import ModelState, State
from ml.spec import Serving


class Doubling:
    """Answers twice the number; counts the rows that it was asked for."""

    model, version, kind, nbytes = "m", "1", "native", 1000

    def __init__(self) -> None:
        self.asked: list[float] = []

    def answer(self, rows: Rows) -> Answers:
        values = list(rows.columns["x"])
        if any(value == 13.0 for value in values):
            raise DataError("13 is not answered")
        self.asked += values
        return Answers([value if math.isnan(value) else 2 * value for value in values], [None] * len(values))


def rows(*values: float) -> Rows:
    return Rows({"x": values, "plan": ["a"] * len(values)}, [f"id-{i}" for i in range(len(values))])


def cached(engine, size=10, seconds=60, **more):
    return CachingEngine(engine, size=size, lifetime=timedelta(seconds=seconds), **more)


def test_a_row_is_asked_once_wherever_it_stands_in_a_request():
    engine = Doubling()
    looked: list[tuple[str, int, int]] = []
    cache = cached(engine, looked=lambda *counts: looked.append(counts))
    assert cache.answer(rows(1.0, 2.0)).predictions == [2.0, 4.0]
    assert cache.answer(rows(3.0, 2.0, 1.0)).predictions == [6.0, 4.0, 2.0]
    assert engine.asked == [1.0, 2.0, 3.0]
    assert looked == [("m", 0, 2), ("m", 2, 1)]


def test_missing_values_are_one_value_and_types_are_told_apart():
    engine = Doubling()
    cache = cached(engine)
    cache.answer(rows(math.nan))
    cache.answer(rows(float("nan")))
    assert len(engine.asked) == 1
    for value in (1, 1.0, True):
        cache.answer(rows(value))
    assert engine.asked[1:] == [1, 1.0, True]
    assert len(engine.asked) == 4


def test_an_answer_dies_of_age():
    engine, now = Doubling(), [0.0]
    cache = cached(engine, seconds=5, clock=lambda: now[0])
    cache.answer(rows(1.0))
    now[0] = 4.9
    cache.answer(rows(1.0))
    assert len(engine.asked) == 1
    now[0] = 5.0
    cache.answer(rows(1.0))
    assert len(engine.asked) == 2


def test_the_longest_unused_goes_first_and_a_large_request_passes_by():
    engine = Doubling()
    cache = cached(engine, size=2)
    for value in (1.0, 2.0, 1.0, 3.0, 1.0):
        cache.answer(rows(value))
    assert engine.asked == [1.0, 2.0, 3.0]
    assert cache.answer(rows(5.0, 6.0, 7.0)).predictions == [10.0, 12.0, 14.0]
    cache.answer(rows(1.0))
    assert engine.asked == [1.0, 2.0, 3.0, 5.0, 6.0, 7.0]


def test_a_failure_is_not_remembered():
    cache = cached(Doubling())
    for _ in range(2):
        with pytest.raises(DataError):
            cache.answer(rows(13.0, 1.0))
    assert cache.answer(rows(1.0)).predictions == [2.0]


def test_it_says_what_it_may_take():
    assert cached(Doubling(), size=100).nbytes > 1000 + 100 * 500


def test_a_spec_that_asks_for_it_has_its_answers_remembered(shop) -> None:
    looked: list[tuple[str, int, int]] = []
    follower = Follower(shop.root, lambda *what: None, looked=lambda *counts: looked.append(counts))
    remembering = shop.churn.model_copy(update={"serving": Serving(cache=10)})
    folder = shop.folders["churn"]["1"]
    follower.state = State({"churn": ModelState(remembering, Routes("1"), {"1": folder})}, asked=True)
    engine = follower.open("churn", folder)
    looked.clear()  # it was warmed
    asked = Rows({"age": [44.0], "plan": ["plus"]}, ["a"])
    first, second = engine.answer(asked), engine.answer(asked)
    assert looked == [("churn", 0, 1), ("churn", 1, 0)]
    assert first == second
    plain = Follower(shop.root, lambda *what: None)
    plain.state = State({"churn": ModelState(shop.churn, Routes("1"), {"1": folder})}, asked=True)
    alone = plain.open("churn", folder)
    assert not isinstance(alone, CachingEngine)
    assert alone.answer(asked) == first
