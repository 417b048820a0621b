"""Requests that meet a slow engine go together, and each gets its own answer or its own error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ml.errors import DataError
from ml.serving import gathering
from ml.serving.gathering import Gatherer
from ml.serving.rows import Answers, Rows


class Doubling:
    """Answers twice the number; refuses a call that holds a negative one. Each call waits to be let through."""

    model, version, kind, nbytes = "m", "1", "native", 0

    def __init__(self) -> None:
        self.calls: list[list[float]] = []
        self.go = threading.Semaphore(0)

    def answer(self, rows: Rows) -> Answers:
        assert self.go.acquire(timeout=10)
        values = list(rows.columns["x"])
        self.calls.append(values)
        if min(values) < 0:
            raise DataError("a negative number")
        if max(values) > 1e6:
            raise RuntimeError("broken")
        return Answers([2 * value for value in values], [None] * len(values))


def request(*values: float, **others: Any) -> Rows:
    return Rows({"x": values} | {name: [value] * len(values) for name, value in others.items()}, ["id"] * len(values))


def run(work: Callable[[Gatherer, Doubling], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        engine = Doubling()
        with ThreadPoolExecutor(2) as threads:
            try:
                return await asyncio.wait_for(work(Gatherer(threads), engine), 20)
            finally:
                engine.go.release(1000)

    return asyncio.run(main())


async def together(gatherer: Gatherer, engine: Doubling, *asked: Rows) -> list[Any]:
    """The first alone, as it is running when the others come."""
    tasks = [asyncio.create_task(gatherer.answer(engine, asked[0]))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(gatherer.answer(engine, rows)) for rows in asked[1:]]
    await asyncio.sleep(0.01)
    engine.go.release(1000)
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_those_that_come_during_a_call_share_the_next() -> None:
    async def work(gatherer: Gatherer, engine: Doubling) -> None:
        found = await together(gatherer, engine, request(1), request(2), request(3, 4), request(5))
        assert [answers.predictions for answers in found] == [[2], [4], [6, 8], [10]]
        assert engine.calls == [[1], [2, 3, 4, 5]]
        assert (gatherer.calls, gatherer.rows) == (2, 5)
        again = await gatherer.answer(engine, request(7))
        assert again.predictions == [14]

    run(work)


def test_wrong_rows_are_refused_to_the_one_who_sent_them() -> None:
    async def work(gatherer: Gatherer, engine: Doubling) -> None:
        found = await together(gatherer, engine, request(1), request(2), request(-3), request(4))
        assert isinstance(found[2], DataError)
        assert [found[j].predictions for j in (0, 1, 3)] == [[2], [4], [8]]

    run(work)


def test_an_engine_that_breaks_is_told_to_all_and_the_next_are_answered() -> None:
    async def work(gatherer: Gatherer, engine: Doubling) -> None:
        found = await together(gatherer, engine, request(1), request(2), request(1e7))
        assert found[0].predictions == [2]
        assert [type(error) for error in found[1:]] == [RuntimeError, RuntimeError]
        assert (await gatherer.answer(engine, request(3))).predictions == [6]

    run(work)


def test_who_gives_up_is_left_out_and_holds_nobody_up() -> None:
    async def work(gatherer: Gatherer, engine: Doubling) -> None:
        first = asyncio.create_task(gatherer.answer(engine, request(1)))
        await asyncio.sleep(0.01)
        given_up, stays = (asyncio.create_task(gatherer.answer(engine, request(x))) for x in (2.0, 3.0))
        await asyncio.sleep(0.01)
        first.cancel()
        given_up.cancel()
        engine.go.release(1000)
        assert (await stays).predictions == [6]
        assert engine.calls == [[1], [3]]

    run(work)


def test_other_columns_and_too_many_rows_go_in_a_call_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_ROWS", 4)

    async def work(gatherer: Gatherer, engine: Doubling) -> None:
        asked = [request(1), request(2, 2, 2), request(3, 3), request(4, customer="a"), request(*[5] * 9)]
        found = await together(gatherer, engine, *asked)
        assert [answers.predictions for answers in found] == [[2], [4] * 3, [6] * 2, [8], [10] * 9]
        assert sorted(map(len, engine.calls)) == [1, 1, 2, 3, 9]

    run(work)


def test_another_version_is_asked_in_a_call_of_its_own() -> None:
    async def work(gatherer: Gatherer, engine: Doubling) -> None:
        other = Doubling()
        other.go.release(1000)
        tasks = [asyncio.create_task(gatherer.answer(engine, request(1)))]
        await asyncio.sleep(0.01)
        tasks += [asyncio.create_task(gatherer.answer(which, request(x))) for which, x in ((engine, 2.0), (other, 3.0))]
        await asyncio.sleep(0.01)
        engine.go.release(1000)
        assert [(await task).predictions for task in tasks] == [[2], [4], [6]]
        assert (engine.calls, other.calls) == ([[1], [2]], [[3]])

    run(work)
